"""Pixel losses."""

from torch import Tensor

from i2s.errors import SettingsError
from i2s.losses.base import check_weight, full_precision, masked_mean, mean_square_difference


class PixelMSE:
    """Mean squared difference of the pixels, reported as "mse".

    Args:
        weight: lambda_mse.
        pixel_range: Range in which the difference is taken. (0, 1) is that of the public ports of the paper's code;
            with (-1, 1) the same weight means a term four times as large.
    """

    def __init__(self, weight: float = 1.0, pixel_range: tuple[float, float] = (0, 1)):
        self.weight = check_weight("mse_weight", weight)
        self.scale = _scale(pixel_range)

    def prepare(self, target: Tensor) -> Tensor:
        return target.detach()

    def __call__(self, images: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        return {"mse": self.weight * self.scale**2 * mean_square_difference(images, target, mask)}


class PixelL1:
    """Mean absolute difference of the pixels, reported as "l1"; less sensitive to a few large errors than the square.

    Args:
        weight: Its lambda.
        pixel_range: As in `PixelMSE`; (-1, 1) means a term twice as large.
    """

    def __init__(self, weight: float = 1.0, pixel_range: tuple[float, float] = (0, 1)):
        self.weight = check_weight("l1_weight", weight)
        self.scale = _scale(pixel_range)

    def prepare(self, target: Tensor) -> Tensor:
        return target.detach()

    def __call__(self, images: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        difference = full_precision(images - target).abs()
        return {"l1": self.weight * self.scale * masked_mean(difference, mask)}


def _scale(pixel_range: tuple[float, float]) -> float:
    """The factor from a difference in [-1, 1], the range of all images here."""
    low, high = pixel_range
    if not low < high:
        raise SettingsError(f"pixel_range is {pixel_range}, but goes from a lower to a higher number.")
    return (high - low) / 2
