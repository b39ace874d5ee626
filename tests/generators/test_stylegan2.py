"""StyleGAN2: each part against its definition, written the slow way."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import codes, small_generator
from hypothesis import given, settings
from hypothesis import strategies as st

from i2s.errors import SettingsError
from i2s.generators import layers
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config, modulated_conv


def upsampled(x, kernel):
    """Zeros between the pixels, then the filter: 'upfirdn' spelled out."""
    n, c, h, w = x.shape
    spread = torch.zeros(n, c, 2 * h, 2 * w, dtype=x.dtype)
    spread[:, :, ::2, ::2] = x
    spread = F.pad(spread, (2, 1, 2, 1))
    return F.conv2d(spread, (kernel * 4).flip(0, 1).expand(c, 1, 4, 4), groups=c)


@given(up=st.booleans(), seed=st.integers(0, 50), epsilon=st.sampled_from([1e-8, 1e-2]))
@settings(max_examples=20, deadline=None)
def test_modulated_convolution(up, seed, epsilon):
    """Equations 1 and 3: each sample is convolved with weights of its own."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    x, weight, style = normal(2, 3, 5, 5), normal(4, 3, 3, 3), normal(2, 3)
    kernel = torch.rand(4, 4, generator=rng, dtype=torch.float64)  # no symmetry that could hide a flip
    expected = []
    for sample, s in zip(x, style):
        own = weight * s.view(1, 3, 1, 1)
        own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + epsilon).sqrt()
        if up:  # zeros between the pixels, convolution with the flipped kernel, then the filter
            spread = torch.zeros(1, 3, 11, 11, dtype=torch.float64)
            spread[:, :, 1::2, 1::2] = sample
            y = F.conv2d(F.pad(spread, (1, 1, 1, 1)), own.flip(2, 3))  # [1, 4, 11, 11]
            y = F.conv2d(F.pad(y, (1, 1, 1, 1)), (kernel * 4).flip(0, 1).expand(4, 1, 4, 4), groups=4)
        else:
            y = F.conv2d(sample[None], own, padding=1)
        expected.append(y)
    ours = modulated_conv(x, weight, style, kernel, up=up, epsilon=epsilon)
    torch.testing.assert_close(ours, torch.cat(expected), rtol=1e-10, atol=1e-10)


def test_demodulation_gives_unit_variance():
    """Whatever the style's size, unit-variance input gives unit-variance output."""
    torch.manual_seed(0)
    x, weight, fir = torch.randn(1, 64, 32, 32), torch.randn(32, 64, 3, 3), layers.fir_kernel()
    for size in (1e-3, 1.0, 1e3):
        out = modulated_conv(x, weight, torch.randn(1, 64).abs() * size, fir)
        assert 0.85 < out[..., 1:-1, 1:-1].std() < 1.15


@given(seed=st.integers(0, 50), height=st.integers(1, 6), width=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_resampling(seed, height, width):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, height, width, generator=rng, dtype=torch.float64)
    kernel = torch.rand(4, 4, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(layers.upsample2x(x, kernel), upsampled(x, kernel), rtol=1e-12, atol=1e-12)


def test_upsampling_keeps_brightness():
    x = torch.full((1, 2, 8, 8), 0.7)
    up = layers.upsample2x(x, layers.fir_kernel())
    assert up.shape == (1, 2, 16, 16)
    torch.testing.assert_close(up[..., 2:-2, 2:-2], torch.full((1, 2, 12, 12), 0.7))


def test_skip_image_is_the_sum_of_all_resolutions():
    """With only the 4 px readout left, the picture is that readout, upsampled twice."""
    generator = small_generator("skip").double()
    for block in generator.synthesis.blocks[1:]:
        block.to_rgb.weight.zero_()
        block.to_rgb.bias.zero_()
    w_plus, block = codes(generator, 1, dtype=torch.float64), generator.synthesis.blocks[0]
    x = generator.synthesis.const[None]
    x = block.conv1(x, w_plus[:, 0], block.conv1.noise, generator.synthesis.fir)
    style = F.linear(w_plus[:, 1], block.to_rgb.affine.weight / math.sqrt(8), block.to_rgb.affine.bias) / math.sqrt(10)
    rgb = F.conv2d(x * style[..., None, None], block.to_rgb.weight, block.to_rgb.bias)
    expected = upsampled(upsampled(rgb, generator.synthesis.fir), generator.synthesis.fir)
    torch.testing.assert_close(generator.synthesis(w_plus), expected, rtol=1e-10, atol=1e-10)


def test_clamp_limits_every_layer():
    """conv_clamp acts in float32 too, after the gain, on layers and readouts alike."""
    torch.manual_seed(0)
    generator = StyleGAN2(StyleGAN2Config(8, 6, 8, 2, channels=(10, 8), conv_clamp=0.5))
    seen = []
    for module in generator.modules():
        if hasattr(module, "clamp"):
            module.register_forward_hook(lambda module, _, out: seen.append(out.abs().max().item()))
    generator(generator.sample_z(2, seed=0) * 9)
    assert len(seen) == 5 and all(value <= 0.5 for value in seen) and max(seen) == 0.5


def test_place_of_the_epsilon_shows_in_double_precision_only():
    """rosinality adds 1e-8 after dividing the weights by the fan-in, NVIDIA's torch code before."""
    images = []
    for scaled in (False, True):
        torch.manual_seed(0)
        config = StyleGAN2Config(8, 6, 8, 2, channels=(10, 8), scaled_epsilon=scaled)
        generator = StyleGAN2(config).double()
        images.append(generator(generator.sample_z(1, seed=0)))
    difference = (images[0] - images[1]).abs().max().item()
    assert 1e-11 < difference < 1e-6


def test_sizes_of_the_official_network():
    with torch.device("meta"):
        generator = StyleGAN2(StyleGAN2Config())
    assert generator.num_ws == 18 and len(generator.noise_maps()) == 17
    assert sum(p.numel() for p in generator.parameters()) == 30_370_060  # config-f without noise maps and filters


@pytest.mark.parametrize(
    "change, message",
    [
        ({"resolution": 12}, "power of two"),
        ({"resolution": 2}, "from 4 to 4096"),
        ({"resolution": 16.0}, "whole number"),
        ({"channels": (8, 8)}, "needs 3"),
        ({"channels": (8, 8, 10**6)}, "channel count"),
        ({"channels": "abc"}, "needs 3"),
        ({"mapping_layers": 65}, "mapping_layers"),
        ({"architecture": "skipp"}, "'skip', 'resnet' or 'orig'"),
        ({"architecture": [[]]}, "of type list"),
        ({"conv_clamp": 0}, "conv_clamp"),
        ({"conv_clamp": float("inf")}, "conv_clamp"),
        ({"conv_clamp": "256"}, "conv_clamp"),
        ({"scaled_epsilon": 1}, "scaled_epsilon"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(SettingsError, match=message):
        StyleGAN2Config(**({"resolution": 16, "channels": (8, 8, 8)} | change))
