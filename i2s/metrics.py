"""How close an image came to its photo: two measures of pixels, and two of what people see.

Images and targets are [N, 3, H, W] in [-1, 1]; images are clamped first, as they are when they are written to a file.
"""

import torch
from torch import Tensor

from i2s.errors import SettingsError


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / MSE) over pixels in [0, 1], of each image: [N], float64.

    Infinite for equal images. SettingsError when the shapes differ.
    """
    a, b = _pixels(images, targets)
    return -10 * (a - b).square().mean(dim=(1, 2, 3)).log10()


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004), the mean over pixels and channels: [N], float64.

    By scikit-image with the paper's Gaussian window (deviation 1.5 px), so at least 11 px. SettingsError when the
    shapes differ.
    """
    from skimage.metrics import structural_similarity

    a, b = _pixels(images, targets)
    if min(a.shape[2:]) < 11:
        raise SettingsError(f"SSIM looks at 11 x 11 px, but the images are {a.shape[3]} x {a.shape[2]}.")
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    values = [structural_similarity(x.numpy(), y.numpy(), channel_axis=0, **settings) for x, y in zip(a, b)]
    return torch.tensor(values, dtype=torch.float64)


def ms_ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity at up to five sizes of each image (`i2s.losses.MSSSIM`): [N], float64; at least 11 px."""
    from i2s.losses import MSSSIM

    a, b = (2 * x - 1 for x in _pixels(images, targets))
    term = MSSSIM()
    return 1 - term(a, term.prepare(b))["ms_ssim"]


def lpips(images: Tensor, targets: Tensor, net="alex", size: int | None = 256) -> Tensor:
    """LPIPS of each image, less is closer: [N], float64.

    net: "alex", with which most papers report it, "vgg", "squeeze", or a loaded `lpips.LPIPS`; see `i2s.losses.LPIPS`
    for what it needs and its errors. A search that minimised LPIPS with one net is to be judged with another.
    size: larger images are reduced to it; None compares them as they are.
    """
    from i2s.losses import LPIPS

    term = LPIPS(net, size=size)
    return _judged(term, images, targets, next(term.model.parameters()))


def perceptual_distance(images: Tensor, targets: Tensor, net="auto") -> Tensor:
    """The paper's perceptual term of each image, four feature maps with weights of 1: [N], float64.

    net: as `embed` takes it: "auto", "vgg16", "slim", or a loaded network. Only numbers of the same network compare.
    """
    from i2s.losses import Perceptual
    from i2s.losses.perceptual import load_perceptual

    net = load_perceptual(net) if isinstance(net, str) else net
    return _judged(Perceptual(net), images, targets, next(net.parameters(), torch.zeros(0)))


def _judged(term, images: Tensor, targets: Tensor, like: Tensor) -> Tensor:
    """The sum of a term's values, without gradients, on the device and in the precision of its network."""
    with torch.no_grad():
        a, b = ((2 * x - 1).to(like) for x in _pixels(images, targets))
        return sum(term(a, term.prepare(b)).values()).double().cpu()


def _pixels(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both in [0, 1], float64, on the CPU."""
    if images.shape != targets.shape or images.ndim != 4:
        shapes = f"Images {list(images.shape)} and photos {list(targets.shape)}"
        raise SettingsError(f"{shapes} cannot be compared: both must be [N, 3, H, W] with the same sizes.")
    a, b = ((x.detach().double().cpu().clamp(-1, 1) + 1) / 2 for x in (images, targets))
    return a, b
