"""The low-pass filters of StyleGAN3, and the leaky ReLU between two of them.

A pointwise nonlinearity creates frequencies above what the pixel grid can carry, and they fold back as aliasing. So it
is applied on a finer grid, between an upsampling filter and a downsampling one (Karras et al., "Alias-Free Generative
Adversarial Networks", 2021, section 3 and appendix C).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators import layers


def design_lowpass(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor:
    """A low-pass filter by Kaiser's window method: [taps], or [taps, taps] when `radial`; float32, sum 1.

    cutoff: frequency where the transition begins to fall; width: of the transition; rate: samples per unit length.
    The radial one is the jinc (a disc in the frequency plane), equal in all directions, for rotation equivariance.
    """
    steepness = width / (rate / 2)
    attenuation = 2.285 * (taps - 1) * math.pi * steepness + 7.95  # in dB, what this length and width can reach
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        beta = 0.5842 * max(attenuation - 21, 0) ** 0.4 + 0.07886 * max(attenuation - 21, 0)
    window = np.kaiser(taps, beta)
    position = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        radius = np.maximum(np.hypot(position[:, None], position[None, :]), 1e-9)
        bessel = torch.special.bessel_j1(torch.as_tensor(2 * math.pi * cutoff * radius, device="cpu")).numpy()
        kernel = cutoff * bessel / radius * np.outer(window, window)
    else:
        kernel = np.sinc(2 * cutoff * position) * window
    return torch.as_tensor(kernel / kernel.sum(), dtype=torch.float32, device="cpu")


def filtered_leaky_relu(
    x: Tensor, up_filter: Tensor, down_filter: Tensor, up: int, down: int, crop: int, clamp: float | None
) -> Tensor:
    """Upsample x [N, C, H, W] by `up`, leaky ReLU with gain sqrt(2), clamp, and downsample by `down`.

    crop: pixels of the fine grid taken off at each border after upsampling. A filter is [k] (applied along both
    axes) or [k, k].
    """
    x = _upsample(x, up_filter, up, crop)
    x = layers.leaky_relu(x, clamp=clamp)
    return _downsample(x, down_filter, down)


def _upsample(x: Tensor, kernel: Tensor, up: int, crop: int) -> Tensor:
    """Zeros between the pixels, then the filter (a transposed convolution); brightness is kept."""
    channels = x.shape[1]
    for part, (rows, columns) in _passes(kernel):
        weight = (part * up ** (rows + columns)).to(x.dtype).expand(channels, 1, *part.shape)
        stride = (up if rows else 1, up if columns else 1)
        padding = (crop if rows else 0, crop if columns else 0)
        x = F.conv_transpose2d(x, weight, stride=stride, padding=padding, groups=channels)
    return x


def _downsample(x: Tensor, kernel: Tensor, down: int) -> Tensor:
    """The filter, then every `down`-th pixel."""
    channels = x.shape[1]
    for part, (rows, columns) in _passes(kernel.flip(tuple(range(kernel.ndim)))):
        weight = part.to(x.dtype).expand(channels, 1, *part.shape)
        x = F.conv2d(x, weight, stride=(down if rows else 1, down if columns else 1), groups=channels)
    return x


def _passes(kernel: Tensor) -> list[tuple[Tensor, tuple[bool, bool]]]:
    """2-D kernels to apply in turn, each with the axes (rows, columns) it works on: two for a separable filter."""
    if kernel.ndim == 2:
        return [(kernel, (True, True))]
    return [(kernel[None, :], (False, True)), (kernel[:, None], (True, False))]
