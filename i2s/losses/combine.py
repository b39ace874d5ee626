"""Terms put together: their sum, a mask on them, a degradation before them."""

import inspect
from typing import Any

import torch
from torch import Tensor

from i2s.errors import SettingsError
from i2s.losses.base import LatentTerm, Term
from i2s.losses.perceptual import Perceptual
from i2s.losses.pixels import PixelMSE


class Sum:
    """Several terms as one; `prepared` holds what each of them prepared.

    Terms that look at images (`Term`) and terms that look at codes (`LatentTerm`) stand side by side; a sum within a
    sum is its terms.
    """

    def __init__(self, *terms: Term | LatentTerm):
        flat = [part for term in terms for part in (term.terms if isinstance(term, Sum) else (term,))]
        self.terms = tuple(flat)
        self.image_parts = [term for term in flat if hasattr(term, "prepare")]
        self.latent_parts = [term for term in flat if hasattr(term, "latent")]
        if not self.image_parts:
            raise SettingsError("No term of this loss compares the image with the photo: add one, such as PixelMSE().")

    def select(self, rows: Tensor) -> "Sum":
        """The same for some of the photos, `rows` [M] of their numbers: masks of the others are left out."""
        return Sum(*(select(term, rows) for term in self.terms))

    def prepare(self, target: Tensor) -> tuple[tuple[int, ...], list]:
        return tuple(target.shape), [term.prepare(target) for term in self.image_parts]

    def __call__(
        self, images: Tensor, prepared: tuple[tuple[int, ...], list], mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """{name: [N]}, weighted; differentiable in `images`. SettingsError when images and targets differ in shape."""
        shape, parts = prepared
        if tuple(images.shape) != shape:
            raise SettingsError(f"Images {list(images.shape)} and photos {list(shape)} differ in shape: resize one.")
        masked = {} if mask is None else {"mask": mask}  # a term of a user's own may know nothing of masks
        return _joined(term(images, part, **masked) for term, part in zip(self.image_parts, parts))

    def latent_terms(self, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]:
        """{name: [N]}, weighted, of the terms that look at w_plus [N, num_ws, w_dim] and noise; {} without such terms.

        noise: see `LatentTerm`.
        """
        return _joined(term.latent(w_plus, noise) for term in self.latent_parts)


class ImageLoss(Sum):
    """The paper's loss: pixels and four feature maps; all lambdas are 1 there.

    loss = ImageLoss(load_perceptual("slim"))
    prepared = loss.prepare(photos)     # once
    terms = loss(images, prepared)      # {"mse", "conv1_1", "conv1_2", "conv3_2", "conv4_2"}: [N] each
    sum(terms.values()).sum().backward()
    """

    def __init__(
        self,
        perceptual,
        mse_weight: float = 1.0,
        tap_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
        pixel_range: tuple[float, float] = (0, 1),
    ):
        pixels, features = PixelMSE(mse_weight, pixel_range), Perceptual(perceptual, tap_weights)
        terms = ([pixels] if mse_weight else []) + ([features] if any(tap_weights) else [])
        if not terms:
            raise SettingsError("All weights of the loss are 0: give at least one a value above 0.")
        super().__init__(*terms)


class Masked:
    """A term (or a `Sum`) for which some pixels count more than others.

    mask: [N|1, 1, H, W] of the photos' size, from 0 (does not count) to 1. Pixel terms weigh pixels, perceptual terms
    each place of each feature map by the share of the mask that it covers. The weights are relative: a mask of ones
    is no mask, exactly. Features near the border of a mask still see the pixels beyond it, as their 3 x 3 windows
    reach there; where those must have no influence at all, hide them on both sides: `Degraded(term, Inpaint(mask))`.
    label: set before the names that the term reports, so that a loss can hold one term with two masks.
    SettingsError for a mask of another shape, out of 0..1, or empty.
    """

    def __init__(self, term: Term, mask: Tensor, label: str = ""):
        if not hasattr(term, "prepare"):
            raise SettingsError(f"{type(term).__name__} looks at codes, not at pixels: leave the mask out.")
        if "mask" not in inspect.signature(term.__call__).parameters:
            raise SettingsError(f"{type(term).__name__} takes no mask: give its __call__ an argument mask=None.")
        self.term, self.mask, self.label = term, check_mask(mask), label

    def select(self, rows: Tensor) -> "Masked":
        """The same for some of the photos."""
        mask = self.mask if len(self.mask) == 1 else self.mask[rows.to(self.mask.device)]
        return Masked(select(self.term, rows), mask, self.label)

    def prepare(self, target: Tensor) -> tuple[Any, Tensor | None]:
        count, _, height, width = target.shape
        if self.mask.shape[2:] != (height, width) or self.mask.shape[0] not in (1, count):
            raise SettingsError(
                f"The mask is {list(self.mask.shape)}, but the photos {list(target.shape)} need "
                f"[1, 1, {height}, {width}] or [{count}, 1, {height}, {width}]."
            )
        # sums in another order are not the same to the last bit: a mask of ones is left out
        return self.term.prepare(target), None if (self.mask == 1).all() else self.mask.to(target)

    def __call__(
        self, images: Tensor, prepared: tuple[Any, Tensor | None], mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        part, own = prepared
        if mask is not None and own is not None:
            own = own * mask
        values = self.term(images, part, mask=mask if own is None else own)
        return {self.label + name: value for name, value in values.items()}


class Degraded:
    """A term (or a `Sum`) that sees images and photos through the same degradation, a function of images
    (`i2s.embedding.degradations`): what it destroys is left to the generator to fill in. A mask is of the degraded size.
    """

    def __init__(self, term: Term, degradation):
        if not hasattr(term, "prepare"):
            raise SettingsError(f"{type(term).__name__} looks at codes, which a degradation does not change.")
        self.term, self.degradation = term, degradation

    def select(self, rows: Tensor) -> "Degraded":
        """The same for some of the photos."""
        return Degraded(select(self.term, rows), select(self.degradation, rows))

    def prepare(self, target: Tensor) -> Any:
        return self.term.prepare(self.degradation(target))

    def __call__(self, images: Tensor, prepared: Any, mask: Tensor | None = None) -> dict[str, Tensor]:
        masked = {} if mask is None else {"mask": mask}
        return self.term(self.degradation(images), prepared, **masked)


def select(part: Any, rows: Tensor) -> Any:
    """A term or a degradation for some of the photos; what holds nothing of single photos is that already."""
    return part.select(rows) if hasattr(part, "select") else part


def check_mask(mask: Tensor) -> Tensor:
    """The mask; SettingsError unless it is a float tensor [N, 1, H, W] in 0..1, none of its images empty."""
    if not isinstance(mask, Tensor) or mask.ndim != 4 or mask.shape[1] != 1 or not mask.is_floating_point():
        found = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise SettingsError(f"The mask is {found}, but must be a tensor of floats, [N, 1, H, W] or [1, 1, H, W].")
    if not ((mask >= 0) & (mask <= 1)).all():  # NaN is neither
        raise SettingsError("The mask holds values beyond 0..1: 1 is where pixels count, 0 where they do not.")
    if not torch.amax(mask, dim=(1, 2, 3)).all():
        raise SettingsError("The mask is 0 everywhere, so that no pixel counts: set it to 1 where pixels should.")
    return mask


def _joined(dicts) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for values in dicts:
        if twice := found.keys() & values.keys():
            raise SettingsError(f"Two terms of the loss report {', '.join(sorted(twice))}: give one of them.")
        found |= values
    return found
