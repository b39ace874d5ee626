"""Combine terms: their weighted sum, a mask on them, a degradation before them."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from i2s.errors import SettingsError
from i2s.images import check_mask
from i2s.losses.base import FeatureNet, LatentTerm, Term, select, takes_mask
from i2s.losses.perceptual import Perceptual
from i2s.losses.pixels import PixelMSE


class WeightedSum:
    """Sum of terms, each with its own weight.

    Args:
        terms: Terms that compare images (`Term`) and terms that look at codes (`LatentTerm`), in any order; a sum
            within a sum is replaced by its terms.

    Raises:
        SettingsError: No term compares images.
    """

    def __init__(self, *terms: "Term | LatentTerm | WeightedSum"):
        flat = [part for term in terms for part in (term.terms if isinstance(term, WeightedSum) else (term,))]
        self.terms = tuple(flat)
        self.image_parts = [term for term in flat if hasattr(term, "prepare")]
        self.latent_parts = [term for term in flat if hasattr(term, "latent")]
        if not self.image_parts:
            raise SettingsError("No term of this loss compares the image with the photo: add one, such as PixelMSE().")

    def select(self, index: Tensor) -> "WeightedSum":
        """The same loss for some of the photos, `index` [M]."""
        return WeightedSum(*(select(term, index) for term in self.terms))

    def prepare(self, target: Tensor) -> tuple[tuple[int, ...], list]:
        """Compute, once, what depends on the photos [N, 3, H, W] alone."""
        return tuple(target.shape), [term.prepare(target) for term in self.image_parts]

    def __call__(
        self, images: Tensor, prepared: tuple[tuple[int, ...], list], mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return {name: [N]}, weighted, differentiable in `images`.

        Args:
            images: [N, 3, H, W] in [-1, 1].
            prepared: What `prepare` returned.
            mask: As in `Term`.

        Raises:
            SettingsError: Images and photos differ in shape, or two terms have one name.
        """
        shape, parts = prepared
        if tuple(images.shape) != shape:
            raise SettingsError(f"Images {list(images.shape)} and photos {list(shape)} differ in shape: resize one.")
        masked = {} if mask is None else {"mask": mask}  # a term may take no mask
        return _joined(term(images, part, **masked) for term, part in zip(self.image_parts, parts))

    def latent_terms(self, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]:
        """Return {name: [N]}, weighted, of the terms that look at w_plus [N, num_ws, w_dim] and noise maps."""
        return _joined(term.latent(w_plus, noise) for term in self.latent_parts)


Sum = WeightedSum  # its earlier name


class ImageLoss(WeightedSum):
    """The paper's loss: pixels and four feature maps.

        loss = ImageLoss(load_perceptual("slim"))
        prepared = loss.prepare(photos)     # once
        terms = loss(images, prepared)      # {"mse", "conv1_1", "conv1_2", "conv3_2", "conv4_2"}: [N] each
        sum(terms.values()).sum().backward()

    Args:
        perceptual: Network of the feature maps.
        mse_weight: lambda_mse; 0 leaves the pixels out.
        tap_weights: lambda_j of the feature maps; all lambdas are 1 in the paper.
        pixel_range: As in `PixelMSE`.
    """

    def __init__(
        self,
        perceptual: FeatureNet,
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
    """A term (or a sum) for which some pixels count more than others.

    The weights are relative: a mask of ones is no mask, exactly. Features near the border of a mask still see the
    pixels beyond it, as their 3 x 3 windows reach there; if those must have no influence at all, hide them on both
    sides: `Degraded(term, Inpaint(mask))`.

    Args:
        term: The term.
        mask: [N|1, 1, H, W] of the photos' size, from 0 (does not count) to 1. Pixel terms weigh pixels, perceptual
            terms each place of each feature map by the share of the mask that it covers.
        label: Prefix of the names that the term reports, so that a loss can hold one term with two masks.

    Raises:
        SettingsError: The mask has another shape, leaves 0..1, or is empty; or the term takes none.
    """

    def __init__(self, term: Term, mask: Tensor, label: str = ""):
        if not hasattr(term, "prepare"):
            raise SettingsError(f"{type(term).__name__} looks at codes, not at pixels: leave the mask out.")
        if not takes_mask(term):
            raise SettingsError(f"{type(term).__name__} takes no mask: give its __call__ an argument mask=None.")
        self.term = term
        self.mask = check_mask(mask)
        self.label = label

    def select(self, index: Tensor) -> "Masked":
        """The same term for some of the photos, `index` [M]."""
        mask = self.mask if len(self.mask) == 1 else self.mask[index.to(self.mask.device)]
        return Masked(select(self.term, index), mask, self.label)

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
    """A term (or a sum) of images and photos that went through the same degradation.

    What the degradation destroys is left to the generator to fill in.

    Args:
        term: The term. A mask of it has the degraded size.
        degradation: A function of images, [N, 3, H, W] -> [N, 3, h, w] (`i2s.embedding.degradations`).
    """

    def __init__(self, term: Term, degradation):
        if not hasattr(term, "prepare"):
            raise SettingsError(f"{type(term).__name__} looks at codes, which a degradation does not change.")
        self.term = term
        self.degradation = degradation

    def select(self, index: Tensor) -> "Degraded":
        """The same term for some of the photos, `index` [M]."""
        return Degraded(select(self.term, index), select(self.degradation, index))

    def prepare(self, target: Tensor) -> Any:
        return self.term.prepare(self.degradation(target))

    def __call__(self, images: Tensor, prepared: Any, mask: Tensor | None = None) -> dict[str, Tensor]:
        masked = {} if mask is None else {"mask": mask}
        return self.term(self.degradation(images), prepared, **masked)


def _joined(dicts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for values in dicts:
        if twice := found.keys() & values.keys():
            raise SettingsError(f"Two terms of the loss report {', '.join(sorted(twice))}: give one of them.")
        found |= values
    return found
