"""Structural similarity at several sizes, as a loss.

Written out rather than taken from a package: those average over the whole picture, which leaves no place for a mask,
and refuse pictures below 161 px.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.errors import SettingsError
from i2s.losses.base import check_weight, full_precision, weighted_mean

WINDOW, SIGMA = 11, 1.5  # px
C1, C2 = 0.01**2, 0.03**2  # of pixels in [0, 1]
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents, from the full size down


class MSSSIM:
    """1 - MS-SSIM, reported as "ms_ssim" (Wang, Simoncelli, Bovik 2003, equation 7); 0 for equal images.

    At each of five sizes, each half the one before, contrast and structure are compared in a Gaussian window of
    11 px (deviation 1.5), at the last size luminance too; the means over the picture, to the powers of the paper, are
    multiplied; the mean over the channels is the result. As a picture must hold the window, one below 176 px has
    fewer sizes, and the powers of those are scaled to a sum of 1: at 64 px three, below 22 px one, which is plain SSIM.
    With several sizes a mean below 1e-6 (the pictures are each other's negative) counts as 1e-6 and has no gradient,
    as no power of a negative number would.
    """

    def __init__(self, weight: float = 1.0):
        self.weight = check_weight("ms_ssim weight", weight)

    def prepare(self, target: Tensor) -> Tensor:
        if min(target.shape[2:]) < WINDOW:
            raise SettingsError(f"MS-SSIM needs {WINDOW} px, but the photos have {list(target.shape[2:])}.")
        return target.detach()

    def __call__(self, images: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        return {"ms_ssim": self.weight * (1 - ms_ssim(images, target, mask))}


def ms_ssim(images: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """MS-SSIM of images [N, 3, H, W] in [-1, 1], each by itself: [N]; see `MSSSIM` and `weighted_mean`."""
    x, y = ((full_precision(picture) + 1) / 2 for picture in (images, target))
    levels = 1
    while levels < len(SCALES) and min(x.shape[2:]) >> levels >= WINDOW:
        levels += 1
    total = sum(SCALES[:levels]) if levels < len(SCALES) else 1.0  # the paper's five are left as they are printed
    powers = [power / total for power in SCALES[:levels]]

    result = x.new_ones(x.shape[:2])  # [N, 3]
    for level, power in enumerate(powers):
        if level:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        luminance, structure = _compare(x, y)  # [N, 3, h - 10, w - 10]
        alike = structure if level < levels - 1 else luminance * structure
        mean = _means(alike, x.shape[2:], mask)
        result = result * (mean if levels == 1 else mean.clamp_min(1e-6) ** power)
    return result.mean(dim=1)


def _means(alike: Tensor, size: torch.Size, mask: Tensor | None) -> Tensor:
    """Mean of each channel's map, [N, 3, h, w] -> [N, 3]; 1 where the mask leaves nothing of the picture."""
    if mask is not None:
        edge = WINDOW // 2  # px around the map for which there is no whole window
        mask = F.interpolate(mask.to(alike), size, mode="area")[:, :, edge:-edge, edge:-edge]
    # of 1 - alike, so that nothing to look at means no difference
    return torch.stack([1 - weighted_mean(1 - channel, mask) for channel in alike.split(1, dim=1)], dim=1)


def _compare(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, in each whole window of [N, C, H, W]."""
    mx, my = _blur(x), _blur(y)
    vx, vy, covariance = _blur(x * x) - mx * mx, _blur(y * y) - my * my, _blur(x * y) - mx * my
    luminance = (2 * mx * my + C1) / (mx * mx + my * my + C1)
    return luminance, (2 * covariance + C2) / (vx + vy + C2)


def _blur(x: Tensor) -> Tensor:
    """Gaussian means over whole windows: [N, C, H, W] -> [N, C, H - 10, W - 10]."""
    offset = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    kernel = torch.exp(-(offset**2) / (2 * SIGMA**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, WINDOW)
    x = F.conv2d(x, kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])
