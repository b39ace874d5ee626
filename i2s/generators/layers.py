"""Layers shared by StyleGAN1, 2 and 3.

Equalised learning rate (Karras et al. 2018, ProGAN), the FIR filter against aliasing, and the leaky ReLU with its gain
(Karras et al. 2020, StyleGAN2).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)


def normal(*shape: int, std: float = 1.0) -> Tensor:
    """Draw initial weights from N(0, std^2); on the meta device, which has only shapes, none are drawn."""
    x = torch.empty(shape)
    return x if x.is_meta else x.normal_(std=std)


class EqualizedLinear(nn.Module):
    """Fully connected layer whose weights are stored with unit variance and scaled when used.

    y = x (weight * gain * lr_mul / sqrt(in))^T + bias * lr_mul, so that every layer learns at the same speed (ProGAN,
    section 4.1); `lr_mul` slows it down (0.01 in the mapping network).
    """

    def __init__(
        self, in_features: int, out_features: int, bias_init: float = 0.0, lr_mul: float = 1.0, gain: float = 1.0
    ):
        super().__init__()
        self.weight = nn.Parameter(normal(out_features, in_features, std=1 / lr_mul))
        self.bias = nn.Parameter(torch.full([out_features], bias_init / lr_mul))
        self.weight_gain = gain * lr_mul / math.sqrt(in_features)
        self.lr_mul = lr_mul

    def forward(self, x: Tensor) -> Tensor:  # [..., in] -> [..., out]
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.lr_mul)


class EqualizedConv2d(nn.Module):
    """Convolution with weights of unit variance, scaled by gain / sqrt(in * k * k) when used; size is kept."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, bias: bool = True, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(normal(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight_gain = gain / math.sqrt(in_channels * kernel**2)

    def forward(self, x: Tensor) -> Tensor:  # [N, in, H, W] -> [N, out, H, W]
        bias = None if self.bias is None else self.bias.to(x.dtype)
        weight = (self.weight * self.weight_gain).to(x.dtype)
        return F.conv2d(x, weight, bias, padding=self.weight.shape[-1] // 2)


def leaky_relu(x: Tensor, gain: float = LRELU_GAIN, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of slope 0.2, times `gain` (sqrt(2) keeps the variance), limited to [-clamp, clamp]."""
    x = F.leaky_relu(x, LRELU_SLOPE)
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def normalize_2nd_moment(z: Tensor) -> Tensor:
    """Scale each row of z [N, C] to a mean square of 1, as the mapping network does first."""
    return z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def fir_kernel(taps: tuple[float, ...] = (1, 3, 3, 1)) -> Tensor:
    """Make the separable low-pass filter, a [k, k] kernel that sums to 1."""
    line = torch.tensor(taps, dtype=torch.float32, device="cpu")
    kernel = line[:, None] * line[None, :]
    return kernel / kernel.sum()


def filter2d(x: Tensor, kernel: Tensor, padding: tuple[int, int], gain: float = 1.0) -> Tensor:
    """Filter each channel of x [N, C, H, W] with a kernel [k, k]: a true convolution, so the kernel is flipped.

    Args:
        x: [N, C, H, W].
        kernel: [k, k].
        padding: Zeros before and after, along both axes.
        gain: Factor on the result.
    """
    channels = x.shape[1]
    weight = (kernel.flip(0, 1) * gain).to(x.dtype).expand(channels, 1, *kernel.shape)
    before, after = padding
    if before == after:
        return F.conv2d(x, weight, padding=before, groups=channels)
    return F.conv2d(F.pad(x, (before, after, before, after)), weight, groups=channels)


def upsample2x(x: Tensor, kernel: Tensor) -> Tensor:
    """Double the size of x [N, C, H, W]: insert zeros between the pixels, then filter (StyleGAN2, section 4.1)."""
    channels, taps = x.shape[1], kernel.shape[-1]
    weight = (kernel * 4).to(x.dtype).expand(channels, 1, taps, taps)
    return F.conv_transpose2d(x, weight, stride=2, padding=taps // 2 - 1, groups=channels)
