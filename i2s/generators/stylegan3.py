"""StyleGAN3 (Karras et al., "Alias-Free Generative Adversarial Networks", 2021) in plain PyTorch.

    Mapping     z -> normalise -> 2 fully connected layers -> w (as in StyleGAN2)
    Input       an image made of sine waves; the first style rotates and shifts it
    Layers      modulated convolution -> leaky ReLU between two low-pass filters; the band of frequencies grows
                geometrically from layer to layer, and with it, when needed, the size
    ToRGB       a 1x1 modulated convolution at the end

Every layer works on an image with a margin around it, so that no layer can infer its position from the border. A
pointwise nonlinearity creates frequencies above what the pixel grid can carry, and they fold back as aliasing; so it is
applied on a finer grid, between an upsampling filter and a downsampling one (section 3 and appendix C). There is no
noise. StyleGAN3-t has 3x3 convolutions and separable filters (translation equivariance), StyleGAN3-r 1x1
convolutions and radial filters (rotation as well).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.errors import SettingsError
from i2s.generators import layers
from i2s.generators.base import (
    Generator,
    Noise,
    check_number,
    check_resolution,
    check_size,
    check_w_plus,
    choose_noise,
    shown,
)
from i2s.generators.mapping import MappingNetwork


@dataclass(frozen=True)
class StyleGAN3Config:
    """Shape of a StyleGAN3; the defaults are those of the official "t" networks at 1024 px.

    Cutoff and stopband frequencies grow geometrically from the first layer to the last (`bands`).
    """

    resolution: int = 1024
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    mapping_lr_mul: float = 0.01  # of the mapping network's learning rate
    channel_base: int = 32768  # a layer of cutoff f has min(channel_base / 2 / f, channel_max) channels
    channel_max: int = 512
    num_layers: int = 14  # without the input and toRGB
    num_critical: int = 2  # the last layers, which fill the whole band
    first_cutoff: float = 2.0  # cutoff frequency of the first layer
    first_stopband: float = 2**2.1  # stopband frequency of the first layer
    last_stopband_rel: float = 2**0.3  # stopband frequency of the last layer, in units of its cutoff
    margin: int = 10  # px around every image but the last
    output_scale: float = 0.25
    conv_kernel: int = 3
    filter_size: int = 6  # taps of a low-pass filter per factor of up- or downsampling
    oversampling: int = 2  # of the grid on which the leaky ReLU is applied
    radial_filters: bool = False
    conv_clamp: float | None = 256.0  # limit of every activation
    mapping_width: int | None = None  # of the mapping network's hidden layers; None: w_dim

    def __post_init__(self):
        check_resolution(self.resolution, lowest=16)
        for name, high in {"z_dim": 65536, "w_dim": 65536, "mapping_layers": 64, "channel_base": 2**24}.items():
            check_size(name, getattr(self, name), high=high)
        for name, high in {"channel_max": 65536, "num_layers": 64, "margin": 64, "conv_kernel": 15}.items():
            check_size(name, getattr(self, name), high=high)
        check_size("num_critical", self.num_critical, low=0, high=self.num_layers - 1)
        check_size("filter_size", self.filter_size, low=2, high=32)
        check_number("mapping_lr_mul", self.mapping_lr_mul, 1e-6, 1e6)
        check_number("last_stopband_rel", self.last_stopband_rel, 1.0, 16.0)
        # bands never shrink from layer to layer
        check_number("first_cutoff", self.first_cutoff, 1.0, self.resolution / 2)
        last_stopband = self.resolution / 2 * self.last_stopband_rel
        check_number("first_stopband", self.first_stopband, self.first_cutoff, last_stopband)
        check_number("output_scale", self.output_scale, 1e-6, 1e6)
        if self.mapping_width is not None:
            check_size("mapping_width", self.mapping_width)
        if self.conv_clamp is not None:
            check_number("conv_clamp", self.conv_clamp, 1e-6, 1e9)
        if self.oversampling not in (2, 4):
            raise SettingsError(f"oversampling is {shown(self.oversampling)}: it is 2 or 4.")
        if self.conv_kernel % 2 == 0:
            raise SettingsError(f"conv_kernel is {self.conv_kernel}: it must be odd.")
        if not isinstance(self.radial_filters, bool):
            raise SettingsError(f"radial_filters is {shown(self.radial_filters)}: it is True or False.")

    @property
    def num_ws(self) -> int:
        """Styles: the input, `num_layers` layers and toRGB have one each (16)."""
        return self.num_layers + 2


@dataclass(frozen=True)
class Band:
    """The frequency band of a layer's output; cutoff + half_width <= rate / 2."""

    channels: int
    size: int  # px, margins included
    rate: int  # px per unit of length, without margins
    cutoff: float  # where the low-pass filter's transition begins
    half_width: float  # half of the transition's width


def bands(config: StyleGAN3Config) -> list[Band]:
    """Compute the band of each layer and, last, of toRGB (appendix D of the paper): `num_layers + 1` of them."""
    count, resolution = config.num_layers, config.resolution
    last_cutoff = resolution / 2
    last_stopband = last_cutoff * config.last_stopband_rel
    result = []
    for k in range(count + 1):
        progress = min(k / (count - config.num_critical), 1)
        cutoff = config.first_cutoff * (last_cutoff / config.first_cutoff) ** progress
        stopband = config.first_stopband * (last_stopband / config.first_stopband) ** progress
        rate = 2 ** math.ceil(math.log2(min(stopband * 2, resolution)))
        size = resolution if k >= count - 1 else rate + 2 * config.margin
        channels = 3 if k == count else max(round(min(config.channel_base / 2 / cutoff, config.channel_max)), 1)
        result.append(Band(channels, size, rate, cutoff, max(stopband, rate / 2) - cutoff))
    return result


class StyleGAN3(Generator):
    """StyleGAN3; see `i2s.generators.base`. It has no noise maps."""

    kind = "stylegan3"

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.config = config
        self.num_ws = config.num_ws
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)


class SynthesisNetwork(nn.Module):
    """g: W+ -> image. Row 0 of the code feeds the input, the others one layer each."""

    def __init__(self, config: StyleGAN3Config):
        super().__init__()
        self.num_ws = config.num_ws
        self.w_dim = config.w_dim
        self.output_scale = config.output_scale
        self.dtype: torch.dtype | None = None  # of convolutions and filters; None: that of the weights
        plan = bands(config)
        self.input = FourierInput(config.w_dim, plan[0])
        self.layers = nn.ModuleList(
            SynthesisLayer(config, plan[max(k - 1, 0)], plan[k], critical=k >= config.num_layers - config.num_critical)
            for k in range(config.num_layers)
        )
        self.to_rgb = ToRGB(config, plan[-2], plan[-1])

    def noise_maps(self) -> list[Tensor]:
        return []

    def forward(self, w_plus: Tensor, noise: Noise = "const", dtype: torch.dtype | None = None) -> Tensor:
        """Generate images.

        Args:
            w_plus: [N, num_ws, w_dim].
            noise: "const" and "none" are the same here.
            dtype: Precision of convolutions and filters, float16 or bfloat16; None: `self.dtype`, else that of the
                weights.

        Returns:
            [N, 3, R, R], float32, nominally in [-1, 1] (not clamped).
        """
        check_w_plus(w_plus, self.num_ws, self.w_dim)
        choose_noise(noise, [])
        w_plus = w_plus.to(self.input.weight.dtype)
        styles = iter(w_plus.unbind(dim=1))
        x = self.input(next(styles)).to(dtype or self.dtype or w_plus.dtype)  # [N, C, S, S]
        x = x.contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            x = layer(x, next(styles))
        return self.to_rgb(x, next(styles)).to(w_plus.dtype) * self.output_scale


class FourierInput(nn.Module):
    """Fourier features: for each channel a plane wave of its own frequency and phase, then a 1x1 mixing of channels.

    Style 0 gives (cos, sin, shift x, shift y): a rotation and a translation of the whole image, exact because a wave
    is rotated and shifted without resampling. The buffer `transform` [3, 3] is a further one, set by the user.
    """

    def __init__(self, w_dim: int, band: Band):
        super().__init__()
        self.size = band.size
        self.rate = band.rate
        self.bandwidth = band.cutoff
        freqs = torch.randn(band.channels, 2, device="cpu")
        radii = freqs.square().sum(dim=1, keepdim=True).sqrt()
        freqs = freqs / (radii * radii.square().exp().pow(0.25)) * band.cutoff  # even in radius, within the band
        self.weight = nn.Parameter(layers.normal(band.channels, band.channels))
        self.affine = layers.EqualizedLinear(w_dim, 4)
        self.register_buffer("transform", torch.eye(3, device="cpu"))
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(band.channels, device="cpu") - 0.5)
        self.affine.weight.data.zero_()
        self.affine.bias.data[:1].fill_(1)  # no rotation, no shift

    def forward(self, w: Tensor) -> Tensor:  # [N, w_dim] -> [N, C, S, S]
        # Rotate and shift frequencies and phases
        cos, sin, x, y = self.affine(w).unbind(dim=1)
        length = (cos.square() + sin.square()).sqrt()
        cos, sin, x, y = cos / length, sin / length, x / length, y / length
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
        transform = rotation @ shift @ self.transform  # [N, 3, 3]
        freqs = self.freqs @ transform[:, :2, :2]  # [N, C, 2]
        phases = self.phases + (self.freqs @ transform[:, :2, 2:]).squeeze(2)  # [N, C]
        # Fade out the waves that the transform pushed beyond the band
        excess = (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        amplitudes = (1 - excess).clamp(0, 1)  # [N, C]

        # Draw the waves, and mix the channels
        place = torch.arange(self.size, dtype=w.dtype, device=w.device)
        place = (place + 0.5 - self.size / 2) / self.rate  # [S], pixel centres around 0
        columns, rows = freqs[:, :, 0, None] * place, freqs[:, :, 1, None] * place  # [N, C, S] each
        turns = rows[..., :, None] + columns[..., None, :] + phases[..., None, None]  # [N, C, S, S]
        waves = torch.sin(turns * (2 * math.pi)) * amplitudes[..., None, None]
        mixing = self.weight / math.sqrt(self.weight.shape[1])
        return F.conv2d(waves, mixing[..., None, None])


class SynthesisLayer(nn.Module):
    """w -> affine -> style; modulated convolution, bias, leaky ReLU on a finer grid between two low-pass filters."""

    def __init__(self, config: StyleGAN3Config, source: Band, target: Band, critical: bool):
        super().__init__()
        kernel = config.conv_kernel
        self.affine = layers.EqualizedLinear(config.w_dim, source.channels, bias_init=1.0)
        self.weight = nn.Parameter(layers.normal(target.channels, source.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(target.channels))
        self.register_buffer("magnitude", torch.ones([]))  # mean square of this layer's input, as seen in training
        self.clamp = config.conv_clamp

        fine = max(source.rate, target.rate) * config.oversampling
        self.up = fine // source.rate
        self.down = fine // target.rate
        up_taps = config.filter_size * self.up
        down_taps = config.filter_size * self.down
        radial = config.radial_filters and not critical
        up_filter = design_lowpass(up_taps, source.cutoff, 2 * source.half_width, fine)
        down_filter = design_lowpass(down_taps, target.cutoff, 2 * target.half_width, fine, radial)
        self.register_buffer("up_filter", up_filter)  # [up_taps]
        self.register_buffer("down_filter", down_filter)  # [down_taps], or [down_taps, down_taps] when radial
        # the convolution grows the image by kernel - 1, upsampling by up_taps - up; the rest is cropped on both sides
        fine_size = (source.size + kernel - 1 - 1) * self.up + up_taps
        self.crop = (fine_size - (target.size - 1) * self.down - down_taps) // 2
        if self.crop < 0:
            raise SettingsError("This StyleGAN3's layers shrink faster than its filters allow: use a larger margin.")

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # [N, in, S, S] -> [N, out, S', S']
        x = modulated_conv(x, self.weight, self.affine(w), self.magnitude)
        x = x + self.bias.view(-1, 1, 1).to(x.dtype)
        return filtered_leaky_relu(x, self.up_filter, self.down_filter, self.up, self.down, self.crop, self.clamp)


class ToRGB(nn.Module):
    """1x1 modulated convolution to three colours, without demodulation and without a nonlinearity."""

    def __init__(self, config: StyleGAN3Config, source: Band, target: Band):
        super().__init__()
        self.affine = layers.EqualizedLinear(config.w_dim, source.channels, bias_init=1.0)
        self.weight = nn.Parameter(layers.normal(target.channels, source.channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(target.channels))
        self.register_buffer("magnitude", torch.ones([]))
        self.clamp = config.conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # [N, C, R, R] -> [N, 3, R, R]
        style = self.affine(w) * (self.magnitude.rsqrt() / math.sqrt(self.weight.shape[1]))
        x = F.conv2d(x * style[..., None, None].to(x.dtype), self.weight.to(x.dtype), self.bias.to(x.dtype))
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


def modulated_conv(x: Tensor, weight: Tensor, style: Tensor, magnitude: Tensor) -> Tensor:
    """Modulated and demodulated convolution with full padding.

    Weight and style are normalised first; demodulation cancels that, but for the 1e-8 and in half precision. (The
    style's mean square is taken over the batch, as in the official network, so images of a batch differ by 1e-10.)

    Args:
        x: [N, in, S, S].
        weight: [out, in, k, k].
        style: [N, in].
        magnitude: [], the mean square of x in training, which brings the input to unit variance.

    Returns:
        [N, out, S + k - 1, S + k - 1].
    """
    weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
    style = style * style.square().mean().rsqrt()
    squares = weight.square().sum(dim=(2, 3))  # [out, in]
    demodulation = (style.square() @ squares.T + 1e-8).rsqrt()  # [N, out]
    style = style * magnitude.rsqrt()
    x = F.conv2d(x * style[..., None, None].to(x.dtype), weight.to(x.dtype), padding=weight.shape[-1] - 1)
    return x * demodulation[..., None, None].to(x.dtype)


def design_lowpass(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor:
    """Design a low-pass filter by Kaiser's window method.

    Args:
        taps: Length of the filter.
        cutoff: Frequency at which the transition begins.
        width: Width of the transition.
        rate: Samples per unit of length.
        radial: A jinc (a disc in the frequency plane), equal in all directions, for rotation equivariance.

    Returns:
        [taps], or [taps, taps] when `radial`; float32, sum 1.
    """
    from scipy import signal, special  # slow to import, and needed by StyleGAN3 alone

    if not radial:
        return torch.as_tensor(signal.firwin(taps, cutoff, width=width, fs=rate), dtype=torch.float32, device="cpu")
    window = np.kaiser(taps, signal.kaiser_beta(signal.kaiser_atten(taps, width / (rate / 2))))
    position = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.maximum(np.hypot(position[:, None], position[None, :]), 1e-9)
    kernel = special.j1(2 * math.pi * cutoff * radius) / radius * np.outer(window, window)
    return torch.as_tensor(kernel / kernel.sum(), dtype=torch.float32, device="cpu")


def filtered_leaky_relu(
    x: Tensor, up_filter: Tensor, down_filter: Tensor, up: int, down: int, crop: int, clamp: float | None
) -> Tensor:
    """Upsample, apply a leaky ReLU with gain sqrt(2), clamp, and downsample.

    Args:
        x: [N, C, H, W].
        up_filter: [k] (applied along both axes) or [k, k].
        down_filter: The same.
        up: Factor of upsampling.
        down: Factor of downsampling.
        crop: Pixels of the fine grid that are cropped at each border after upsampling.
        clamp: Limit of the activations, or None.
    """
    x = _upsample(x, up_filter, up, crop)
    x = layers.leaky_relu(x, clamp=clamp)
    return _downsample(x, down_filter, down)


def _upsample(x: Tensor, kernel: Tensor, up: int, crop: int) -> Tensor:
    """Insert zeros between the pixels, then filter (a transposed convolution); brightness is kept."""
    channels = x.shape[1]
    for part, (rows, columns) in _passes(kernel):
        weight = (part * up ** (rows + columns)).to(x.dtype).expand(channels, 1, *part.shape)
        stride = (up if rows else 1, up if columns else 1)
        padding = (crop if rows else 0, crop if columns else 0)
        x = F.conv_transpose2d(x, weight, stride=stride, padding=padding, groups=channels)
    return x


def _downsample(x: Tensor, kernel: Tensor, down: int) -> Tensor:
    """Filter, then keep every `down`-th pixel."""
    channels = x.shape[1]
    for part, (rows, columns) in _passes(kernel.flip(tuple(range(kernel.ndim)))):
        weight = part.to(x.dtype).expand(channels, 1, *part.shape)
        x = F.conv2d(x, weight, stride=(down if rows else 1, down if columns else 1), groups=channels)
    return x


def _passes(kernel: Tensor) -> list[tuple[Tensor, tuple[bool, bool]]]:
    """2-D kernels to apply in turn, each with the axes (rows, columns) that it works on: two for a separable filter."""
    if kernel.ndim == 2:
        return [(kernel, (True, True))]
    return [(kernel[None, :], (False, True)), (kernel[:, None], (True, False))]
