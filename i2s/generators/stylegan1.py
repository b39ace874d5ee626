"""StyleGAN (Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks", 2019).

    Mapping     z -> normalise -> 8 fully connected layers -> w, repeated once for each style
    Synthesis   a learned 4x4 constant -> a block per resolution -> an RGB image
    AdaIN       after each convolution: noise, bias, leaky ReLU, then every channel is normalised over the picture
                and given the scale and shift that the style asks for (equation 1)

This is the generator of the Image2StyleGAN paper. StyleGAN2 changed three things: here the style acts on activations
that were normalised first (which causes the droplets), noise has a strength for each channel, and even the constant has
a noise map and a style of its own.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.generators import layers
from i2s.generators.base import (
    Generator,
    Noise,
    check_channels,
    check_number,
    check_resolution,
    check_size,
    check_w_plus,
    choose_noise,
)
from i2s.generators.mapping import MappingNetwork

INSTANCE_NORM_EPS = 1e-8  # the network was trained with this; PyTorch's default of 1e-5 changes the pictures


@dataclass(frozen=True)
class StyleGAN1Config:
    """Shape of a StyleGAN1; the defaults are those of the official network at 1024 px."""

    resolution: int = 1024
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_width: int = 512  # of the mapping network's hidden layers
    mapping_lr_mul: float = 0.01  # of the mapping network's learning rate
    channels: tuple[int, ...] = (512, 512, 512, 512, 256, 128, 64, 32, 16)  # channels[k] at 4 * 2**k px

    def __post_init__(self):
        blocks = check_resolution(self.resolution)
        object.__setattr__(self, "channels", check_channels(self.channels, blocks))
        check_size("z_dim", self.z_dim)
        check_size("w_dim", self.w_dim)
        check_size("mapping_layers", self.mapping_layers, high=64)
        check_size("mapping_width", self.mapping_width)
        check_number("mapping_lr_mul", self.mapping_lr_mul, 1e-6, 1e6)

    @property
    def num_ws(self) -> int:
        """Styles: two for each resolution (18 at 1024 px)."""
        return 2 * len(self.channels)


class StyleGAN1(Generator):
    """StyleGAN1; see `i2s.generators.base`.

    The official network truncates by default: psi 0.7 on the first 8 rows (`official_truncation`).
    """

    kind = "stylegan1"
    official_truncation = (0.7, 8)

    def __init__(self, config: StyleGAN1Config):
        super().__init__()
        self.config = config
        self.num_ws = config.num_ws
        self.mapping = MappingNetwork(config, weight_gain=layers.LRELU_GAIN, activation_gain=1.0)
        self.synthesis = SynthesisNetwork(config)


class SynthesisNetwork(nn.Module):
    """g: W+ -> image. Two layers per resolution, each followed by noise and a style; then the conversion to RGB."""

    def __init__(self, config: StyleGAN1Config):
        super().__init__()
        self.num_ws = config.num_ws
        self.w_dim = config.w_dim
        self.dtype: torch.dtype | None = None  # of the convolutions; None: that of the weights
        self.const = nn.Parameter(torch.ones(config.channels[0], 4, 4))
        self.register_buffer("fir", layers.fir_kernel((1, 2, 1)))
        inputs = (None,) + config.channels[:-1]
        self.blocks = nn.ModuleList(
            SynthesisBlock(in_channels, out_channels, 4 * 2**k, config.w_dim)
            for k, (in_channels, out_channels) in enumerate(zip(inputs, config.channels))
        )
        self.to_rgb = layers.EqualizedConv2d(config.channels[-1], 3, 1)

    def noise_maps(self) -> list[Tensor]:
        return [layer.noise for block in self.blocks for layer in block.layers()]

    def forward(self, w_plus: Tensor, noise: Noise = "const", dtype: torch.dtype | None = None) -> Tensor:
        """Generate images.

        Args:
            w_plus: [N, num_ws, w_dim].
            noise: "const" (the stored maps), "none", or a list of maps as `noise_maps()` orders them.
            dtype: Precision of the convolutions, float16 or bfloat16; None: `self.dtype`, else that of the weights
                (styles and normalisation stay in that of the weights).

        Returns:
            [N, 3, R, R], float32, nominally in [-1, 1] (not clamped).
        """
        check_w_plus(w_plus, self.num_ws, self.w_dim)
        w_plus = w_plus.to(self.const.dtype)
        maps = iter(choose_noise(noise, self.noise_maps()))
        styles = iter(w_plus.unbind(dim=1))
        x = self.const.to(dtype or self.dtype or w_plus.dtype).expand(len(w_plus), -1, -1, -1)
        for block in self.blocks:
            for layer in block.layers():
                x = layer(x, next(styles), next(maps), self.fir)  # [N, C, H, W]
        return self.to_rgb(x).to(w_plus.dtype)


class SynthesisBlock(nn.Module):
    """One resolution: an up-convolution (at 4x4: the constant as it is), then a convolution."""

    def __init__(self, in_channels: int | None, out_channels: int, resolution: int, w_dim: int):
        super().__init__()
        up = None if in_channels is None else UpConv2d(in_channels, out_channels)
        conv = layers.EqualizedConv2d(out_channels, out_channels, 3, bias=False, gain=layers.LRELU_GAIN)
        self.layer0 = SynthesisLayer(up, out_channels, resolution, w_dim)
        self.layer1 = SynthesisLayer(conv, out_channels, resolution, w_dim)

    def layers(self) -> list["SynthesisLayer"]:
        return [self.layer0, self.layer1]


class SynthesisLayer(nn.Module):
    """Convolution (none for the constant), noise, bias, leaky ReLU, AdaIN: one of the two layers of a block."""

    def __init__(self, conv: nn.Module | None, channels: int, resolution: int, w_dim: int):
        super().__init__()
        self.conv = conv
        self.noise_strength = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = layers.EqualizedLinear(w_dim, 2 * channels)
        self.register_buffer("noise", layers.normal(resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, fir: Tensor) -> Tensor:  # -> [N, C, H, W]
        if isinstance(self.conv, UpConv2d):
            x = self.conv(x, fir)
        elif self.conv is not None:
            x = self.conv(x)  # [N, C, H, W]
        shift = self.bias.view(-1, 1, 1)
        if noise is not None:
            shift = shift + noise.to(shift.dtype) * self.noise_strength.view(-1, 1, 1)
        x = layers.leaky_relu(x + shift.to(x.dtype), gain=1.0)
        return adain(x, *self.affine(w).chunk(2, dim=1))


class UpConv2d(nn.Module):
    """Nearest-neighbour upsampling, a 3x3 convolution, and the blur [1, 2, 1].

    The first two are one transposed convolution: each input pixel meets the kernel twice in each direction, at the
    two places it was copied to, so summing those shifts beforehand saves more than half of the work.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.weight = nn.Parameter(layers.normal(out_channels, in_channels, 3, 3))
        self.weight_gain = layers.LRELU_GAIN / math.sqrt(in_channels * 9)

    def forward(self, x: Tensor, fir: Tensor) -> Tensor:  # [N, in, H, W] -> [N, out, 2H, 2W]
        kernel = (self.weight * self.weight_gain).flip(2, 3)
        kernel = F.pad(kernel, (0, 1)) + F.pad(kernel, (1, 0))  # [out, in, 3, 4]
        kernel = F.pad(kernel, (0, 0, 0, 1)) + F.pad(kernel, (0, 0, 1, 0))  # [out, in, 4, 4]
        x = F.conv_transpose2d(x, kernel.transpose(0, 1).to(x.dtype), stride=2, padding=1)
        return layers.filter2d(x, fir, padding=(1, 1))


def adain(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Adaptive instance normalisation (StyleGAN, equation 1): (scale + 1) (x - mean) / sqrt(var + 1e-8) + shift.

    Computed in the precision of the style, as 1e-8 vanishes in half precision.

    Args:
        x: [N, C, H, W]; mean and variance are taken over H and W.
        scale: [N, C], around 0.
        shift: [N, C].

    Returns:
        [N, C, H, W].
    """
    wide = x.to(scale.dtype)
    wide = wide - wide.mean(dim=(2, 3), keepdim=True)
    factor = (scale + 1) * (wide.square().mean(dim=(2, 3)) + INSTANCE_NORM_EPS).rsqrt()  # [N, C]
    return (wide * factor[..., None, None] + shift[..., None, None]).to(x.dtype)
