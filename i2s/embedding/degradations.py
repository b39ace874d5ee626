"""Degradations: what an embedding may be blind to, so that the generator fills it in.

    loss = Degraded(ImageLoss(net), Inpaint(1 - circle_mask(64, (0.5, 0.6), 0.2)))

Applied to both sides, the generator's image and the photo, a degradation makes the loss see only what survives it.
Many images look alike then; the search ends at one that the generator can draw, and that has what was lost. Each is a
function of images [N, 3, H, W] in [-1, 1], differentiable, and treats each image by itself.

Masks are [1, 1, H, W] in 0..1, and their places are given in parts of the picture, whatever its size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.errors import SettingsError
from i2s.losses.combine import check_mask, select
from i2s.losses.slim import reduced

Degradation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Inpaint:
    """Hides pixels: what the mask leaves at 0 becomes mid-grey, and carries no gradient.

    mask: [N|1, 1, H, W], 1 where the photo is known. Unlike a mask on the loss (`i2s.losses.Masked`) it hides the
    pixels from the perceptual network too. Teaches what a generator knows of faces: the hidden half is made up from the
    seen one. The fewer codes can do so the better, hence W, or a term that keeps W+ near the mean.
    """

    mask: Tensor = field(repr=False)

    def __post_init__(self):
        check_mask(self.mask)

    def select(self, rows: Tensor) -> "Inpaint":
        """The same for some of the photos."""
        return self if len(self.mask) == 1 else Inpaint(self.mask[rows.to(self.mask.device)])

    def __call__(self, images: Tensor) -> Tensor:
        if self.mask.shape[2:] != images.shape[2:] or self.mask.shape[0] not in (1, len(images)):
            raise SettingsError(
                f"The mask of Inpaint is {list(self.mask.shape)}, but the images are {list(images.shape)}: "
                "make it for their size."
            )
        return images * self.mask.to(images)


@dataclass(frozen=True)
class Grey:
    """Takes the colour away: the mean of the channels, three times. Colorization: the generator's colours come back.

    The mean, not the luminance, is what the seed author's colorization used.
    """

    def __call__(self, images: Tensor) -> Tensor:
        return images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class Downsample:
    """Reduces the size: super-resolution, the generator's details at a coarse photo's shapes.

    size: px of the shorter side afterwards. mode: "area" (each pixel the mean of what it covers: what a coarse sensor
    sees) or "bicubic" (antialiased: how programs reduce pictures). A photo that is coarse already is enlarged to the
    generator's size when it is loaded, and comes back to its own here. Below 16 px there is no perceptual loss.
    SettingsError for images below `size`.
    """

    size: int
    mode: str = "area"

    def __post_init__(self):
        if self.mode not in ("area", "bicubic"):
            raise SettingsError(f"mode is {self.mode!r}: it is 'area' or 'bicubic'.")
        if self.size < 1:
            raise SettingsError(f"size is {self.size} px, but must be at least 1.")

    def __call__(self, images: Tensor) -> Tensor:
        shorter = min(images.shape[2:])
        if shorter < self.size:
            raise SettingsError(f"Downsample goes to {self.size} px, but the images have {shorter}.")
        if self.mode == "bicubic":
            return reduced(images, self.size)
        return F.interpolate(images, [round(side * self.size / shorter) for side in images.shape[2:]], mode="area")


@dataclass(frozen=True)
class Blur:
    """Gaussian blur of deviation `sigma` px, the border mirrored. Denoising: grain averages out on both sides, and
    what is left to compare are the shapes; the finest details are the generator's own.
    """

    sigma: float

    def __post_init__(self):
        _check_positive("sigma", self.sigma)

    def __call__(self, images: Tensor) -> Tensor:
        radius = math.ceil(3 * self.sigma)
        if min(images.shape[2:]) <= radius:
            raise SettingsError(
                f"A blur of {self.sigma} px needs more than {radius} px, but has {list(images.shape[2:])}."
            )
        offset = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
        kernel = torch.exp(-(offset**2) / (2 * self.sigma**2))
        kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)  # [C, 1, 1, 2 radius + 1]
        x = F.pad(images, [radius] * 4, mode="reflect")
        x = F.conv2d(x, kernel, groups=images.shape[1])
        return F.conv2d(x, kernel.transpose(2, 3), groups=images.shape[1])


@dataclass(frozen=True)
class Noise:
    """Adds grain, Gaussian of deviation `sigma` in [-1, 1]; the same for every image of a size, fixed by `seed`.

    It is there to spoil a photo for an experiment, `embed(Noise(0.3)(photo))`, and not for both sides: the same grain
    on both cancels out. Not clamped, as its gradient is that of the identity.
    """

    sigma: float
    seed: int = 0

    def __post_init__(self):
        _check_positive("sigma", self.sigma)

    def __call__(self, images: Tensor) -> Tensor:
        rng = torch.Generator().manual_seed(self.seed)  # on the CPU: the same grain on every device
        return images + self.sigma * torch.randn(1, *images.shape[1:], generator=rng).to(images)


@dataclass(frozen=True)
class Compose:
    """Several degradations, the first one first: `Compose((Grey(), Downsample(16)))` for an old, small photo."""

    steps: tuple[Degradation, ...]

    def __post_init__(self):
        object.__setattr__(self, "steps", tuple(self.steps))

    def select(self, rows: Tensor) -> "Compose":
        """The same for some of the photos."""
        return Compose(tuple(select(step, rows) for step in self.steps))

    def __call__(self, images: Tensor) -> Tensor:
        for step in self.steps:
            images = step(images)
        return images


# ---- masks ----------------------------------------------------------------------------------------------------------


def half_mask(size: int | tuple[int, int], side: str = "left") -> Tensor:
    """1 on one half of the picture, "left", "right", "top" or "bottom"; `size` in px, or (height, width)."""
    x, y = _places(size)
    halves = {"left": x < 0.5, "right": x > 0.5, "top": y < 0.5, "bottom": y > 0.5}
    if side not in halves:
        raise SettingsError(f"side is {side!r}: it is one of {', '.join(map(repr, halves))}.")
    return halves[side].float()


def box_mask(size: int | tuple[int, int], left: float, top: float, right: float, bottom: float) -> Tensor:
    """1 within a box whose sides are given in parts of the picture, 0 (left, top) to 1 (right, bottom)."""
    if not (left < right and top < bottom):
        raise SettingsError(f"The box goes from ({left}, {top}) to ({right}, {bottom}): left < right and top < bottom.")
    x, y = _places(size)
    mask = ((x > left) & (x < right) & (y > top) & (y < bottom)).float()
    return _not_empty(mask, "box")


def circle_mask(
    size: int | tuple[int, int], centre: tuple[float, float] = (0.5, 0.5), radius: float = 0.25, blur: float = 0.0
) -> Tensor:
    """1 within a circle (an ellipse if the picture is no square), falling to 0 over an edge of width `blur`.

    centre (x, y), radius and blur in parts of the picture; the edge is half inside the circle, half outside.
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
    """A mask [N, 1, H, W] with a blurred edge, `sigma` px; in 0..1 still."""
    return Blur(sigma)(mask).clamp(0, 1)


def _places(size: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
    """x [1, 1, H, W] and y of the middles of the pixels, from 0 to 1."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise SettingsError(f"The size of the mask is {size}, but must be at least 1 px.")
    y, x = ((torch.arange(side) + 0.5) / side for side in (height, width))
    y, x = torch.meshgrid(y, x, indexing="ij")
    return x[None, None], y[None, None]


def _not_empty(mask: Tensor, shape: str) -> Tensor:
    if not mask.any():
        raise SettingsError(f"The {shape} holds no pixel of the picture: make it larger, or move it inside.")
    return mask


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise SettingsError(f"{name} is {value}, but must be a number above 0.")
