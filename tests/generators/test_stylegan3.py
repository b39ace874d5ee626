"""StyleGAN3: each part against its definition, and the equivariance that it was built for."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import codes, small_generator
from hypothesis import given, settings
from hypothesis import strategies as st

from i2s.errors import SettingsError
from i2s.generators.stylegan3 import (
    StyleGAN3,
    StyleGAN3Config,
    bands,
    design_lowpass,
    filtered_leaky_relu,
    modulated_conv,
)


def resampled(x, kernel, up, down, crop):
    """Zeros between the pixels, a full convolution, `crop` pixels off each side, every `down`-th pixel."""
    n, c, h, w = x.shape
    kernel = torch.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    spread = torch.zeros(n, c, (h - 1) * up + 1, (w - 1) * up + 1, dtype=x.dtype)
    spread[:, :, ::up, ::up] = x
    full = len(kernel) - 1 if up > 1 else 0
    spread = F.pad(spread, (full, full, full, full))
    y = F.conv2d(spread, kernel.flip(0, 1).expand(c, 1, *kernel.shape), groups=c) * up**2
    return y[:, :, crop : y.shape[2] - crop : down, crop : y.shape[3] - crop : down]


@given(seed=st.integers(0, 50), up=st.sampled_from([2, 4]), crop=st.integers(0, 3), radial=st.booleans())
@settings(max_examples=20, deadline=None)
def test_filtered_leaky_relu(seed, up, crop, radial):
    """Up, leaky ReLU with its gain, clamp, down; with filters that have no symmetry to hide a flip."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    x, up_filter, down_filter = normal(2, 3, 7, 7), normal(5), normal(4, 4) if radial else normal(4)
    expected = F.leaky_relu(resampled(x, up_filter, up, 1, crop), 0.2) * math.sqrt(2)
    expected = resampled(expected.clamp(-3, 3), down_filter, 1, 2, 0)
    ours = filtered_leaky_relu(x, up_filter, down_filter, up, 2, crop, 3.0)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def test_modulated_convolution():
    torch.manual_seed(0)
    x, weight = torch.randn(2, 3, 6, 6, dtype=torch.float64), torch.randn(4, 3, 3, 3, dtype=torch.float64)
    style, magnitude = torch.randn(2, 3, dtype=torch.float64), torch.tensor(2.5, dtype=torch.float64)
    normalised = weight / weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    factor = style / style.square().mean().sqrt()
    expected = []
    for sample, s in zip(x, factor):
        own = normalised * s.view(1, 3, 1, 1)
        own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(sample[None] / magnitude.sqrt(), own, padding=2))
    ours = modulated_conv(x, weight, style, magnitude)
    torch.testing.assert_close(ours, torch.cat(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cutoff, width, rate", [(2.0, 12.0, 32), (4.0, 8.0, 64), (500.0, 100.0, 2048)])
def test_filter_design_is_the_textbook_s(cutoff, width, rate):
    signal = pytest.importorskip("scipy.signal")
    theirs = torch.from_numpy(signal.firwin(12, cutoff, width=width, fs=rate)).float()
    torch.testing.assert_close(design_lowpass(12, cutoff, width, rate), theirs, rtol=1e-6, atol=1e-8)


@given(
    taps=st.integers(4, 24),
    cutoff=st.floats(0.05, 0.4),
    width=st.floats(0.05, 0.9),
    radial=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_filters_are_symmetric_and_keep_brightness(taps, cutoff, width, radial):
    kernel = design_lowpass(taps, cutoff, width, 1.0, radial)
    assert kernel.shape == ((taps, taps) if radial else (taps,)) and kernel.dtype == torch.float32
    torch.testing.assert_close(kernel.sum(), torch.tensor(1.0))
    torch.testing.assert_close(kernel, kernel.flip(tuple(range(kernel.ndim))), rtol=1e-5, atol=1e-6)
    if radial:
        torch.testing.assert_close(kernel, kernel.T, rtol=1e-5, atol=1e-6)


def test_filter_passes_low_and_stops_high_frequencies():
    cutoff, width, rate = 4.0, 4.0, 32
    kernel = design_lowpass(48, cutoff, width, rate).double()
    place = torch.arange(48, dtype=torch.float64) / rate

    def response(f):
        return (kernel * torch.exp(-2j * math.pi * f * place)).sum().abs().item()

    assert response(1.0) > 0.97 and abs(response(cutoff) - 0.5) < 0.02
    assert all(response(f) < 0.03 for f in (cutoff + width, 10.0, 15.0))


def test_bands_of_the_official_network():
    plan = bands(StyleGAN3Config())
    assert [band.size for band in plan] == [36, 36, 52, 52, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044, 1024, 1024]
    assert [band.channels for band in plan] == [512] * 6 + [512, 323, 203, 128, 81, 51, 32, 32, 3]
    assert plan[0].cutoff == 2 and plan[-1].cutoff == 512
    assert all(band.cutoff + band.half_width <= max(band.rate / 2, 512 * 2**0.3) + 1e-9 for band in plan)
    with torch.device("meta"):
        generator = StyleGAN3(StyleGAN3Config())
    assert generator.num_ws == 16 and generator.noise_maps() == []


def shifted(generator, w_plus, x, y):
    """The picture with the input moved by (x, y) units of length; a unit is the whole output."""
    move = torch.eye(3, dtype=w_plus.dtype)
    move[0, 2], move[1, 2] = -x, -y
    generator.synthesis.input.transform.copy_(move)
    return generator.synthesis(w_plus)


def test_translation_moves_the_picture_and_nothing_else():
    """Alias-free: the input moved by a fraction of its own pixels moves the output by whole pixels."""
    torch.manual_seed(0)
    config = StyleGAN3Config(32, 6, 8, 2, channel_base=256, channel_max=8, filter_size=6)
    generator = StyleGAN3(config).double().requires_grad_(False)
    w_plus = torch.randn(1, 1, 8, dtype=torch.float64).expand(-1, generator.num_ws, -1)
    still, moved = shifted(generator, w_plus, 0, 0), shifted(generator, w_plus, 3 / 32, -2 / 32)
    inner, outer = moved[..., 4:-4, 7:-4], still[..., 6:-2, 4:-7]  # 3 to the right, 2 up
    assert (inner - outer).std() < 0.02 * still.std()
    assert (moved - still).std() > 0.3 * still.std()


def test_rotation_turns_the_picture():
    """StyleGAN3-r: a quarter turn of the input is a quarter turn of the output."""
    generator = small_generator("stylegan3-r").double()
    w_plus = codes(generator, 1, dtype=torch.float64)
    still = generator.synthesis(w_plus)
    generator.synthesis.input.transform[:2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    turned = generator.synthesis(w_plus)
    quarter = torch.rot90(still, 1, dims=(2, 3)), torch.rot90(still, -1, dims=(2, 3))
    assert min((turned - one).abs().max() for one in quarter) < 1e-9 * still.abs().max()
    assert (turned - still).std() > 0.5 * (still - still.mean(dim=(2, 3), keepdim=True)).std()


def test_style_turns_and_moves_the_input():
    """(cos, sin, x, y) of style 0: what it does to the input is what the same `transform` does."""
    generator = small_generator("stylegan3-t").double()
    first, w = generator.synthesis.input, torch.zeros(1, 8, dtype=torch.float64)
    first.affine.bias.copy_(torch.tensor([2 * math.cos(0.3), 2 * math.sin(0.3), 2 * 0.1, -2 * 0.2]))
    styled = first(w)
    first.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    cos, sin = math.cos(0.3), math.sin(0.3)
    rotation = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
    move = torch.tensor([[1, 0, -0.1], [0, 1, 0.2], [0, 0, 1]], dtype=torch.float64)
    first.transform.copy_(rotation @ move)
    torch.testing.assert_close(first(w), styled, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"resolution": 48}, "power of two"),
        ({"resolution": 8}, "from 16"),
        ({"num_layers": 0}, "num_layers"),
        ({"num_critical": 14}, "num_critical"),
        ({"num_critical": -1}, "num_critical"),
        ({"first_cutoff": 0.5}, "first_cutoff"),
        ({"first_cutoff": 600.0}, "first_cutoff"),
        ({"first_stopband": 1.0}, "first_stopband"),
        ({"first_stopband": 900.0}, "first_stopband"),
        ({"last_stopband_rel": 0.5}, "last_stopband_rel"),
        ({"margin": 1000}, "margin"),
        ({"output_scale": 0}, "output_scale"),
        ({"conv_kernel": 2}, "conv_kernel"),
        ({"filter_size": 1}, "filter_size"),
        ({"oversampling": 3}, "oversampling"),
        ({"oversampling": [2]}, "of type list"),
        ({"radial_filters": 1}, "radial_filters"),
        ({"channel_base": 2**30}, "channel_base"),
        ({"conv_clamp": -1.0}, "conv_clamp"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(SettingsError, match=message):
        StyleGAN3Config(**change)
