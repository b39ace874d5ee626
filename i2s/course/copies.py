"""Changed copies of a photo, on which the distances of lesson 3 disagree."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from i2s.errors import SettingsError


def shifted(images: Tensor, right: int) -> Tensor:
    """Images [N, 3, H, W] moved to the right (to the left where negative) by whole px; the border is repeated.

    SettingsError for a shift that leaves nothing of the image.
    """
    width = images.shape[3]
    if not abs(right) < width:
        raise SettingsError(f"right is {right} px, but the images are {width} px wide: move them by less.")
    padded = F.pad(images, (max(right, 0), max(-right, 0), 0, 0), mode="replicate")
    return padded[..., :width] if right >= 0 else padded[..., -width:]


def bent(images: Tensor, amount: float = 1.5, seed: int = 0) -> Tensor:
    """Images [N, 3, H, W] drawn on a rubber sheet that is pulled about smoothly, by `amount` px on the average."""
    count, _, height, width = images.shape
    pull = torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(seed))
    pull = F.interpolate(pull, (height, width), mode="bicubic", align_corners=True)  # [1, 2, H, W], px: right, down
    pull = amount * pull / pull.square().sum(dim=1).sqrt().mean()
    straight = F.affine_grid(torch.eye(2, 3)[None], [1, 3, height, width], align_corners=False)  # in [-1, 1]
    grid = straight + pull.permute(0, 2, 3, 1) * torch.tensor([2 / width, 2 / height])
    grid = grid.to(images).expand(count, -1, -1, -1)
    return F.grid_sample(images, grid, "bicubic", "border", align_corners=False).clamp(-1, 1)


def blurred(images: Tensor, deviation: float = 2.1) -> Tensor:
    """Images [N, 3, H, W] under a Gaussian of that deviation, in px."""
    return gaussian_blur(images, 2 * int(3 * deviation) + 1, deviation)


def brighter(images: Tensor, by: float = 0.3) -> Tensor:
    """Images [N, 3, H, W] in [-1, 1] with `by` added, and clipped."""
    return (images + by).clamp(-1, 1)
