"""StyleGAN3 (Karras et al., "Alias-Free Generative Adversarial Networks", 2021) in plain PyTorch.

    Mapping     z -> normalise -> 2 fully connected layers -> w (as in StyleGAN2)
    Input       a picture made of sine waves; the first style turns and shifts it
    Layers      modulated convolution -> leaky ReLU between two low-pass filters; the band of frequencies grows
                geometrically from layer to layer, and with it, when needed, the size
    ToRGB       a 1x1 modulated convolution at the end

Every layer works on a picture with a margin around it, so that no layer can read its position off the border. There
is no noise. StyleGAN3-t has 3x3 convolutions and separable filters (translation equivariance), StyleGAN3-r 1x1
convolutions and radial filters (rotation as well).
"""

import math
from dataclasses import dataclass

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
from i2s.generators.filters import design_lowpass, filtered_leaky_relu
from i2s.generators.stylegan2 import MappingNetwork


@dataclass(frozen=True)
class StyleGAN3Config:
    """Shape of a StyleGAN3; the defaults are those of the official "t" networks at 1024 px.

    A layer of cutoff frequency f has min(channel_base / 2 / f, channel_max) channels. `first_*` and `last_*` fix the
    band of the first and the last layers (stopband_rel: in units of the cutoff), the layers between are spaced
    geometrically; the last `num_critical` layers fill the whole band. `margin` pixels lie around every picture.
    """

    resolution: int = 1024
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    mapping_lr_mul: float = 0.01
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin: int = 10
    output_scale: float = 0.25
    conv_kernel: int = 3
    filter_size: int = 6
    oversampling: int = 2
    radial_filters: bool = False
    conv_clamp: float | None = 256.0

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
    """What a layer's output can carry: `size` pixels at `rate` pixels per unit, `cutoff` + `half_width` <= rate / 2."""

    channels: int
    size: int
    rate: int
    cutoff: float
    half_width: float


def bands(config: StyleGAN3Config) -> list[Band]:
    """The band of each layer and, last, of toRGB (appendix D of the paper): `num_layers + 1` of them."""
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
    """The whole generator; see `i2s.generators.base` for what it offers. It has no noise maps."""

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
        self.num_ws, self.w_dim = config.num_ws, config.w_dim
        self.output_scale = config.output_scale
        self.dtype: torch.dtype | None = None
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
        """Image [N, 3, R, R], float32, nominally in [-1, 1] (not clamped), of w_plus [N, num_ws, w_dim].

        noise: "const" and "none" are the same here. dtype: precision of the convolutions and filters (float16 or
        bfloat16; `self.dtype` when None, else that of the weights).
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
    """The input picture: for each channel a plane wave of its own frequency and phase, then a 1x1 mixing of channels.

    Style 0 gives (cos, sin, shift x, shift y): a rotation and a translation of the whole picture, exact because a
    wave can be turned and shifted without resampling. `transform` [3, 3] is a further one, set by the user.
    """

    def __init__(self, w_dim: int, band: Band):
        super().__init__()
        self.size, self.rate, self.bandwidth = band.size, band.rate, band.cutoff
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
        cos, sin, x, y = self.affine(w).unbind(dim=1)
        length = (cos.square() + sin.square()).sqrt()
        cos, sin, x, y = cos / length, sin / length, x / length, y / length
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).view(-1, 3, 3)
        transform = rotation @ shift @ self.transform  # [N, 3, 3]
        freqs = self.freqs @ transform[:, :2, :2]  # [N, C, 2]
        phases = self.phases + (self.freqs @ transform[:, :2, 2:]).squeeze(2)  # [N, C]
        # waves that the transform pushed beyond the band fade out
        excess = (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        amplitudes = (1 - excess).clamp(0, 1)  # [N, C]

        place = torch.arange(self.size, dtype=w.dtype, device=w.device)
        place = (place + 0.5 - self.size / 2) / self.rate  # [S], pixel centres around 0
        columns, rows = freqs[:, :, 0, None] * place, freqs[:, :, 1, None] * place  # [N, C, S] each
        turns = rows[..., :, None] + columns[..., None, :] + phases[..., None, None]  # [N, C, S, S]
        waves = torch.sin(turns * (2 * math.pi)) * amplitudes[..., None, None]
        mixing = self.weight / math.sqrt(self.weight.shape[1])
        return F.conv2d(waves, mixing[..., None, None])


class SynthesisLayer(nn.Module):
    """w -> affine -> style; modulated convolution; bias; leaky ReLU on a finer grid between two low-pass filters."""

    def __init__(self, config: StyleGAN3Config, source: Band, target: Band, critical: bool):
        super().__init__()
        kernel = config.conv_kernel
        self.affine = layers.EqualizedLinear(config.w_dim, source.channels, bias_init=1.0)
        self.weight = nn.Parameter(layers.normal(target.channels, source.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(target.channels))
        self.register_buffer("magnitude", torch.ones([]))  # mean square of this layer's input, as seen in training
        self.clamp = config.conv_clamp

        fine = max(source.rate, target.rate) * config.oversampling
        self.up, self.down = fine // source.rate, fine // target.rate
        up_taps, down_taps = config.filter_size * self.up, config.filter_size * self.down
        radial = config.radial_filters and not critical
        up_filter = design_lowpass(up_taps, source.cutoff, 2 * source.half_width, fine)
        down_filter = design_lowpass(down_taps, target.cutoff, 2 * target.half_width, fine, radial)
        self.register_buffer("up_filter", up_filter)  # [up_taps]
        self.register_buffer("down_filter", down_filter)  # [down_taps], or [down_taps, down_taps] when radial
        # The convolution grows the picture by kernel - 1, upsampling by up_taps - up; the rest is cut off both sides.
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
    """Modulated and demodulated convolution with full padding; the input is brought to unit variance by `magnitude`.

    x [N, in, S, S], weight [out, in, k, k], style [N, in], magnitude [] -> [N, out, S + k - 1, S + k - 1].
    Weight and style are normalised first; demodulation cancels it, but for the 1e-8 and in half precision. (The style's
    mean square is taken over the batch, as in the official network, so pictures of a batch differ by 1e-10.)
    """
    weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
    style = style * style.square().mean().rsqrt()
    squares = weight.square().sum(dim=(2, 3))  # [out, in]
    demodulation = (style.square() @ squares.T + 1e-8).rsqrt()  # [N, out]
    style = style * magnitude.rsqrt()
    x = F.conv2d(x * style[..., None, None].to(x.dtype), weight.to(x.dtype), padding=weight.shape[-1] - 1)
    return x * demodulation[..., None, None].to(x.dtype)
