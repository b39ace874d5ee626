"""Degradations, which an embedding applies to photo and image alike, so that the generator makes them good.

    loss = Degraded(ImageLoss(net), Inpaint(1 - circle_mask(64, (0.5, 0.6), 0.2)))

The loss then sees only what survives. Many images look alike to it; the optimisation ends at one that the generator
can draw, and that has what was lost. Each degradation is a function of images [N, 3, H, W] in [-1, 1], differentiable,
and treats each image by itself. Masks are [1, 1, H, W] in 0..1, and their places are fractions of the image's sides.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.embedding.settings import as_python, store_as_python
from i2s.errors import SettingsError
from i2s.images import check_mask, downsample, gaussian_blur
from i2s.losses.base import select

Degradation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Inpaint:
    """Hide pixels: what the mask leaves at 0 becomes mid-grey, and has no gradient.

    Unlike a mask on the loss (`i2s.losses.Masked`) it hides the pixels from the perceptual network too. The fewer
    numbers a code has, the better it completes the image: use W, or a term that keeps W+ near the mean.

    Args:
        mask: [N|1, 1, H, W], 1 where the photo is known.

    Raises:
        SettingsError: The mask is none; when called, it is of another size than the images.
    """

    mask: Tensor = field(repr=False)

    def __post_init__(self):
        check_mask(self.mask)

    def select(self, index: Tensor) -> "Inpaint":
        """Return the degradation of the photos `index` alone."""
        return self if len(self.mask) == 1 else Inpaint(self.mask[index.to(self.mask.device)])

    def __call__(self, images: Tensor) -> Tensor:
        if self.mask.shape[2:] != images.shape[2:] or self.mask.shape[0] not in (1, len(images)):
            raise SettingsError(
                f"The mask of Inpaint is {list(self.mask.shape)}, but the images are {list(images.shape)}: "
                "make it for their size."
            )
        mask = self.mask.to(images)
        return images * (mask.clone() if mask.is_inference() else mask)


@dataclass(frozen=True)
class Grey:
    """Replace the channels by their mean, for colorization."""

    def __call__(self, images: Tensor) -> Tensor:
        return images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class Downsample:
    """Reduce the size, for super-resolution.

    A photo that is coarse already is enlarged to the generator's size when it is loaded, and comes back to its own
    here. Below 16 px there is no perceptual loss.

    Args:
        size: Px of the shorter side afterwards.
        mode: "area" (each pixel the mean of what it covers, as in a coarse sensor) or "bicubic" (antialiased, as
            programs reduce images).

    Raises:
        SettingsError: Another mode or size; when called, the images are smaller.
    """

    size: int
    mode: str = "area"

    def __post_init__(self):
        store_as_python(self)
        if self.mode not in ("area", "bicubic"):
            raise SettingsError(f"mode is {self.mode!r}: it is 'area' or 'bicubic'.")
        if self.size < 1:
            raise SettingsError(f"size is {self.size} px, but must be at least 1.")

    def __call__(self, images: Tensor) -> Tensor:
        shorter = min(images.shape[2:])
        if shorter < self.size:
            raise SettingsError(f"Downsample goes to {self.size} px, but the images have {shorter}.")
        if self.mode == "bicubic":
            return downsample(images, self.size)
        return F.interpolate(images, [round(side * self.size / shorter) for side in images.shape[2:]], mode="area")


@dataclass(frozen=True)
class Blur:
    """Blur by a Gaussian, the border mirrored, for denoising: grain averages out on both sides.

    Args:
        sigma: Standard deviation in px.

    Raises:
        SettingsError: It is not above 0; when called, the images are smaller than the kernel.
    """

    sigma: float

    def __post_init__(self):
        store_as_python(self)
        _check_positive("sigma", self.sigma)

    def __call__(self, images: Tensor) -> Tensor:
        return gaussian_blur(images, self.sigma)


@dataclass(frozen=True)
class Noise:
    """Add Gaussian noise, the same for every image of a size; not clamped, so its gradient is that of the identity.

    It spoils a photo for an experiment, `embed(Noise(0.3)(photo))`; on both sides the same noise would cancel out.

    Args:
        sigma: Standard deviation, of values in [-1, 1].
        seed: Of the noise.
    """

    sigma: float
    seed: int = 0

    def __post_init__(self):
        store_as_python(self)
        _check_positive("sigma", self.sigma)

    def __call__(self, images: Tensor) -> Tensor:
        rng = torch.Generator().manual_seed(self.seed)  # on the CPU: the same noise on every device
        noise = torch.randn(1, *images.shape[1:], generator=rng, dtype=torch.float32, device="cpu")
        return images + self.sigma * noise.to(images)


@dataclass(frozen=True)
class Compose:
    """Apply several degradations, the first one first: `Compose((Grey(), Downsample(16)))` for an old, small photo."""

    steps: tuple[Degradation, ...]

    def __post_init__(self):
        object.__setattr__(self, "steps", tuple(self.steps))

    def select(self, index: Tensor) -> "Compose":
        """Return the degradations of the photos `index` alone."""
        return Compose(tuple(select(step, index) for step in self.steps))

    def __call__(self, images: Tensor) -> Tensor:
        for step in self.steps:
            images = step(images)
        return images


def hides_nothing(mask: Tensor | None, degradation: Degradation | None) -> bool:
    """True if a mask is given, to the embedding or to `Inpaint`, and it is 1 everywhere."""
    if isinstance(degradation, Compose):
        return any(hides_nothing(mask, step) for step in degradation.steps)
    masks = [mask, degradation.mask if isinstance(degradation, Inpaint) else None]
    return any(one is not None and bool((one == 1).all()) for one in masks)


# ---- masks ----------------------------------------------------------------------------------------------------------


def half_mask(size: int | tuple[int, int], side: str = "left") -> Tensor:
    """Return a mask that is 1 on one half of the image.

    Args:
        size: Px of a side, or (height, width).
        side: "left", "right", "top" or "bottom".
    """
    x, y = _places(size)
    halves = {"left": x < 0.5, "right": x > 0.5, "top": y < 0.5, "bottom": y > 0.5}
    if side not in halves:
        raise SettingsError(f"side is {side!r}: it is one of {', '.join(map(repr, halves))}.")
    return halves[side].float()


def box_mask(size: int | tuple[int, int], left: float, top: float, right: float, bottom: float) -> Tensor:
    """Return a mask that is 1 within a box; its sides are fractions, 0 (left, top) to 1 (right, bottom)."""
    if not (left < right and top < bottom):
        raise SettingsError(f"The box goes from ({left}, {top}) to ({right}, {bottom}): left < right and top < bottom.")
    x, y = _places(size)
    mask = ((x > left) & (x < right) & (y > top) & (y < bottom)).float()
    return _not_empty(mask, "box")


def circle_mask(
    size: int | tuple[int, int], centre: tuple[float, float] = (0.5, 0.5), radius: float = 0.25, blur: float = 0.0
) -> Tensor:
    """Return a mask that is 1 within a circle (an ellipse if the image is no square) and falls to 0 at its edge.

    Args:
        size: Px of a side, or (height, width).
        centre: (x, y) in fractions of the sides.
        radius: Fraction of the sides.
        blur: Width of the edge, half of it inside the circle, as a fraction.
    """
    if not radius > 0 or blur < 0:
        raise SettingsError(f"radius is {radius} and blur {blur}: the first is above 0, the second not below.")
    x, y = _places(size)
    distance = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2).sqrt()
    if blur == 0:
        return _not_empty((distance < radius).float(), "circle")
    t = ((radius - distance) / blur + 0.5).clamp(0, 1)
    return _not_empty(t * t * (3 - 2 * t), "circle")  # without a kink at either end of the edge


def soften(mask: Tensor, sigma: float) -> Tensor:
    """Blur the edge of a mask [N, 1, H, W] by `sigma` px."""
    return Blur(sigma)(mask).clamp(0, 1)


def _places(size: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return x [1, 1, H, W] and y of the centres of the pixels, from 0 to 1."""
    size = as_python(size)
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise SettingsError(f"The size of the mask is {size}, but must be at least 1 px.")
    y, x = (torch.arange(0.5, side, dtype=torch.float32, device="cpu") / side for side in (height, width))
    y, x = torch.meshgrid(y, x, indexing="ij")
    return x[None, None], y[None, None]


def _not_empty(mask: Tensor, shape: str) -> Tensor:
    if not mask.any():
        raise SettingsError(f"The {shape} holds no pixel of the image: make it larger, or move it inside.")
    return mask


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise SettingsError(f"{name} is {value}, but must be a number above 0.")
