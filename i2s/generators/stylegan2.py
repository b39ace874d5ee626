"""StyleGAN2 (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020) in plain PyTorch.

    Mapping     z -> normalise -> 8 fully connected layers -> w, repeated once for each style
    Synthesis   a learned 4x4 constant -> a block per resolution (up-convolution, convolution) -> an RGB image
    ModulatedConv  the style scales the input channels; demodulation brings the output back to unit variance

The modulation is applied to activations, not to weights: conv(x * s) * d is the same function as convolving each
sample with its own weights, needs no grouped convolution, and is faster on every device. A layer with frozen weights is
faster still (`i2s.generators.fused`).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.device import is_compiling
from i2s.errors import SettingsError
from i2s.generators import fused, layers
from i2s.generators.base import (
    Generator,
    Noise,
    check_channels,
    check_number,
    check_resolution,
    check_size,
    check_w_plus,
    choose_noise,
    shown,
)
from i2s.generators.mapping import MappingNetwork


@dataclass(frozen=True)
class StyleGAN2Config:
    """Shape of a StyleGAN2; the defaults are those of the official network at 1024 px."""

    resolution: int = 1024
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_lr_mul: float = 0.01  # of the mapping network's learning rate
    channels: tuple[int, ...] = (512, 512, 512, 512, 512, 256, 128, 64, 32)  # channels[k] at 4 * 2**k px
    architecture: str = "skip"  # "skip" sums the RGB of each resolution, "resnet" has residual blocks, "orig" neither
    conv_clamp: float | None = None  # limit of every activation (official networks: 256 or none)
    scaled_epsilon: bool = False  # demodulation adds its 1e-8 after dividing by the fan-in (rosinality), not before
    mapping_width: int | None = None  # of the mapping network's hidden layers; None: w_dim

    def __post_init__(self):
        blocks = check_resolution(self.resolution)
        object.__setattr__(self, "channels", check_channels(self.channels, blocks))
        check_size("z_dim", self.z_dim)
        check_size("w_dim", self.w_dim)
        check_size("mapping_layers", self.mapping_layers, high=64)
        check_number("mapping_lr_mul", self.mapping_lr_mul, 1e-6, 1e6)
        if self.mapping_width is not None:
            check_size("mapping_width", self.mapping_width)
        if self.conv_clamp is not None:
            check_number("conv_clamp", self.conv_clamp, 1e-6, 1e9)
        if not isinstance(self.scaled_epsilon, bool):
            raise SettingsError(f"scaled_epsilon is {shown(self.scaled_epsilon)}: it is True or False.")
        if self.architecture not in ("skip", "resnet", "orig"):
            raise SettingsError(f"architecture is {shown(self.architecture)}: it is 'skip', 'resnet' or 'orig'.")

    @property
    def num_ws(self) -> int:
        """Styles: two for each resolution; the last toRGB shares none (18 at 1024 px, 10 at 64 px)."""
        return 2 * len(self.channels)


class StyleGAN2(Generator):
    """StyleGAN2; see `i2s.generators.base`."""

    kind = "stylegan2"

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.config = config
        self.num_ws = config.num_ws
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)


class SynthesisNetwork(nn.Module):
    """g: W+ -> image. One block per resolution, each fed with its own rows of the W+ code."""

    def __init__(self, config: StyleGAN2Config):
        super().__init__()
        self.num_ws = config.num_ws
        self.w_dim = config.w_dim
        self.dtype: torch.dtype | None = None  # of the convolutions; None: that of the weights
        self.const = nn.Parameter(layers.normal(config.channels[0], 4, 4))
        self.register_buffer("fir", layers.fir_kernel())
        inputs = (None,) + config.channels[:-1]
        self.blocks = nn.ModuleList(
            SynthesisBlock(config, in_channels, out_channels, 4 * 2**k, last=k == len(config.channels) - 1)
            for k, (in_channels, out_channels) in enumerate(zip(inputs, config.channels))
        )

    def noise_maps(self) -> list[Tensor]:
        return [layer.noise for block in self.blocks for layer in block.layers()]

    def forward(self, w_plus: Tensor, noise: Noise = "const", dtype: torch.dtype | None = None) -> Tensor:
        """Generate images.

        Args:
            w_plus: [N, num_ws, w_dim].
            noise: "const" (the stored maps), "none", or a list of maps as `noise_maps()` orders them.
            dtype: Precision of the convolutions, float16 or bfloat16; None: `self.dtype`, else that of the weights
                (styles and the RGB sum stay in that of the weights).

        Returns:
            [N, 3, R, R], float32, nominally in [-1, 1] (not clamped).
        """
        check_w_plus(w_plus, self.num_ws, self.w_dim)
        w_plus = w_plus.to(self.const.dtype)
        maps = iter(choose_noise(noise, self.noise_maps()))
        styles = iter(w_plus.unbind(dim=1))
        x = self.const.to(dtype or self.dtype or w_plus.dtype).expand(len(w_plus), -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        image = None
        w = next(styles)
        for block in self.blocks:
            shortcut = block.shortcut(x, self.fir)
            for layer in block.layers():
                x = layer(x, w, next(maps), self.fir, gain=block.gain(layer))  # [N, C, H, W]
                w = next(styles, None)
            if shortcut is not None:
                x = x + shortcut
            if block.to_rgb is not None:
                # toRGB reads the row that the next block's first layer reads too
                rgb = block.to_rgb(x, w).to(w_plus.dtype)
                image = rgb if image is None else layers.upsample2x(image, self.fir) + rgb
        return image


class SynthesisBlock(nn.Module):
    """One resolution: an up-convolution (not at 4x4), a convolution, and the conversion to RGB."""

    def __init__(
        self, config: StyleGAN2Config, in_channels: int | None, out_channels: int, resolution: int, last: bool
    ):
        super().__init__()
        self.conv0 = (
            None if in_channels is None else SynthesisLayer(config, in_channels, out_channels, resolution, up=True)
        )
        self.conv1 = SynthesisLayer(config, out_channels, out_channels, resolution, up=False)
        to_rgb = last or config.architecture == "skip"
        self.to_rgb = ToRGB(out_channels, config.w_dim, config.conv_clamp) if to_rgb else None
        residual = config.architecture == "resnet" and in_channels is not None
        self.residual = layers.EqualizedConv2d(in_channels, out_channels, 1, bias=False) if residual else None

    def layers(self) -> list["SynthesisLayer"]:
        return [layer for layer in (self.conv0, self.conv1) if layer is not None]

    def shortcut(self, x: Tensor, fir: Tensor) -> Tensor | None:
        """The residual branch, upsampled; scaled by sqrt(1/2) so that the sum keeps its variance."""
        if self.residual is None:
            return None
        return self.residual(layers.upsample2x(x, fir)) * math.sqrt(0.5)

    def gain(self, layer: "SynthesisLayer") -> float:
        """sqrt(1/2) for the layer that the residual branch is added to, else 1."""
        return math.sqrt(0.5) if self.residual is not None and layer is self.conv1 else 1.0


class SynthesisLayer(nn.Module):
    """w -> affine -> style; modulated convolution, noise, bias, leaky ReLU: one of the two layers of a block."""

    def __init__(self, config: StyleGAN2Config, in_channels: int, out_channels: int, resolution: int, up: bool):
        super().__init__()
        self.affine = layers.EqualizedLinear(config.w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(layers.normal(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise", layers.normal(resolution, resolution))
        self.up = up
        self.clamp = config.conv_clamp
        self.epsilon = 1e-8 * (9 * in_channels if config.scaled_epsilon else 1)
        self._frozen: fused.FrozenWeight | None = None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, fir: Tensor, gain: float = 1.0) -> Tensor:
        style = self.affine(w)  # [N, in]
        if noise is not None:
            noise = self._scaled(noise)
        if not (self.weight.requires_grad or self.bias.requires_grad or is_compiling()):
            return self._fused(x, style, noise, fir, gain)
        x = modulated_conv(x, self.weight, style, fir, up=self.up, epsilon=self.epsilon)  # [N, out, H, W]
        shift = self.bias.view(-1, 1, 1)
        x = x + (shift if noise is None else shift + noise).to(x.dtype)
        clamp = None if self.clamp is None else self.clamp * gain
        return layers.leaky_relu(x, layers.LRELU_GAIN * gain, clamp)

    def _scaled(self, noise: Tensor) -> Tensor | None:
        """Multiply the noise by its strength; None if that is a fixed 0, so that nothing is added."""
        strength = self.noise_strength
        if not strength.requires_grad and not noise.requires_grad and strength.device.type == "cpu" and strength == 0:
            return None
        return noise.to(self.bias.dtype) * strength

    def _fused(self, x: Tensor, style: Tensor, noise: Tensor | None, fir: Tensor, gain: float) -> Tensor:
        """The same layer with frozen weights."""
        if self._frozen is None or not self._frozen.matches(self.weight, x.dtype):
            self._frozen = fused.freeze(self.weight, x.dtype, self.up, x.shape)
        if x.dtype == torch.float16:
            style = fused.unit_range(style)
        demodulation = demodulate(style, self._frozen.squares, self.epsilon, x.dtype)
        clamp = None if self.clamp is None else self.clamp * gain
        gain = layers.LRELU_GAIN * gain
        apply = fused.FusedModulatedConv.apply
        return apply(x, style, demodulation, noise, self.bias, self._frozen, fir, self.up, gain, clamp)


class ToRGB(nn.Module):
    """1x1 modulated convolution to three colours, without demodulation: the style sets the contrast."""

    def __init__(self, in_channels: int, w_dim: int, clamp: float | None):
        super().__init__()
        self.affine = layers.EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(layers.normal(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.clamp = clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # -> [N, 3, H, W]
        style = self.affine(w) / math.sqrt(self.weight.shape[1])  # [N, in]
        # three rows of weights for each image are less to multiply than its feature maps
        weight = (self.weight[None, :, :, 0, 0] * style[:, None]).to(x.dtype)  # [N, 3, in]
        count, _, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(count, height * width, -1)  # [N, HW, in]: no copy in channels-last
        x = torch.baddbmm(self.bias.to(x.dtype), pixels, weight.transpose(1, 2))  # [N, HW, 3]
        x = x.view(count, height, width, 3).permute(0, 3, 1, 2)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


def modulated_conv(
    x: Tensor, weight: Tensor, style: Tensor, fir: Tensor, up: bool = False, epsilon: float = 1e-8
) -> Tensor:
    """Modulated and demodulated 3x3 convolution (StyleGAN2, equations 1 and 3), optionally to twice the size.

    The convolution with w'_ijk = s_i w_ijk is conv(x * s); dividing by sqrt(sum_ik w'_ijk^2 + epsilon) is a factor
    on each output channel.

    Args:
        x: [N, in, H, W].
        weight: [out, in, 3, 3].
        style: [N, in].
        fir: [k, k], the low-pass filter of an up-convolution.
        up: Double the size.
        epsilon: Of the demodulation.

    Returns:
        [N, out, H, W], or [N, out, 2H, 2W] when `up`.
    """
    if x.dtype == torch.float16:  # the largest entry becomes 1: half precision ends at 65504, and the factor cancels
        weight, style = fused.unit_range(weight), fused.unit_range(style)
    demodulation = demodulate(style, weight.square().sum(dim=(2, 3)), epsilon, x.dtype)  # [N, out]
    x = x * style[..., None, None].to(x.dtype)
    weight = weight.to(x.dtype)
    if up:
        weight = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        x = F.conv_transpose2d(x, weight, stride=2)  # [N, out, 2H + 1, 2W + 1]
        x = layers.filter2d(x, fir, padding=(1, 1), gain=4)
    else:
        x = F.conv2d(x, weight, padding=1)
    return x * demodulation[..., None, None].to(x.dtype)


def demodulate(style: Tensor, squares: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
    """Demodulation 1 / sqrt(sum_ik (s_i w_ijk)^2 + epsilon), [N, out], from style [N, in] and squares [out, in]."""
    factors = (style.square() @ squares.T + epsilon).rsqrt()
    return factors.clamp_max(60000.0) if dtype == torch.float16 else factors
