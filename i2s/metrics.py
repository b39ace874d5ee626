"""Metrics of reconstruction, for images and targets [N, 3, H, W] in [-1, 1].

Images are clamped first, as they are when they are written to a file.
"""

import torch
from torch import Tensor

from i2s.errors import SettingsError


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, 10 log10(1 / MSE) over pixels in [0, 1].

    Returns:
        [N], in dB, float64; infinite for equal images.

    Raises:
        SettingsError: The shapes differ.
    """
    a, b = _pixels(images, targets)
    return -10 * (a - b).square().mean(dim=(1, 2, 3)).log10()


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004), the mean over pixels and channels.

    By scikit-image, with the paper's Gaussian window (deviation 1.5 px).

    Returns:
        [N], float64; 1 for equal images.

    Raises:
        SettingsError: The shapes differ, or a side has less than the window's 11 px.
    """
    from skimage.metrics import structural_similarity

    a, b = _pixels(images, targets)
    if min(a.shape[2:]) < 11:
        raise SettingsError(f"SSIM looks at 11 x 11 px, but the images are {a.shape[3]} x {a.shape[2]}.")
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    values = [structural_similarity(x.numpy(), y.numpy(), channel_axis=0, **settings) for x, y in zip(a, b)]
    return torch.tensor(values, dtype=torch.float64, device="cpu")


def _pixels(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Convert both to [0, 1], float64, on the CPU."""
    if images.shape != targets.shape or images.ndim != 4:
        shapes = f"Images {list(images.shape)} and photos {list(targets.shape)}"
        raise SettingsError(f"{shapes} cannot be compared: both must be [N, 3, H, W] with the same sizes.")
    a, b = ((x.detach().cpu().double().clamp(-1, 1) + 1) / 2 for x in (images, targets))
    return a, b
