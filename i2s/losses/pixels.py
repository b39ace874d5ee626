"""Differences of pixels."""

from torch import Tensor

from i2s.errors import SettingsError
from i2s.losses.base import check_weight, full_precision, mean_square_difference, weighted_mean


class PixelMSE:
    """Mean squared difference of the pixels, reported as "mse".

    pixel_range: the range in which the difference is taken. (0, 1), the default, is that of the ports and of the seed
    author's published numbers; the same weight with (-1, 1) means a term four times as large.
    """

    def __init__(self, weight: float = 1.0, pixel_range: tuple[float, float] = (0, 1)):
        self.weight, self.scale = check_weight("mse_weight", weight), _scale(pixel_range)

    def prepare(self, target: Tensor) -> Tensor:
        return target.detach()

    def __call__(self, images: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        return {"mse": self.weight * self.scale**2 * mean_square_difference(images, target, mask)}


class PixelL1:
    """Mean absolute difference of the pixels, reported as "l1"; kinder to a few large errors than the square.

    pixel_range: as in `PixelMSE`; (-1, 1) means a term twice as large.
    """

    def __init__(self, weight: float = 1.0, pixel_range: tuple[float, float] = (0, 1)):
        self.weight, self.scale = check_weight("l1_weight", weight), _scale(pixel_range)

    def prepare(self, target: Tensor) -> Tensor:
        return target.detach()

    def __call__(self, images: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        difference = full_precision(images - target).abs()
        return {"l1": self.weight * self.scale * weighted_mean(difference, mask)}


def _scale(pixel_range: tuple[float, float]) -> float:
    """What a difference in [-1, 1], the range of all images here, is multiplied by."""
    low, high = pixel_range
    if not low < high:
        raise SettingsError(f"pixel_range is {pixel_range}, but goes from a lower to a higher number.")
    return (high - low) / 2
