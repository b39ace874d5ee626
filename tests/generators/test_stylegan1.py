"""StyleGAN1: each part against its definition, written the slow way."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import codes, small_generator

from i2s.errors import SettingsError
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config, UpConv2d, adain


def blur(x):
    """[1, 2, 1] along both axes, zeros outside, sum 1."""
    line = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype) / 4
    kernel = (line[:, None] * line[None, :]).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def test_up_convolution_is_nearest_neighbour_convolution_and_blur():
    torch.manual_seed(0)
    layer, fir = UpConv2d(3, 5).double(), small_generator("stylegan1").synthesis.fir.double()
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    weight = layer.weight * math.sqrt(2) / math.sqrt(3 * 9)
    expected = blur(F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1))
    torch.testing.assert_close(layer(x, fir), expected, rtol=1e-12, atol=1e-12)


def test_adain_is_instance_normalisation_with_a_small_epsilon():
    """Where a channel hardly varies, the epsilon of 1e-8 decides; PyTorch's 1e-5 would give another picture."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64) * torch.tensor([1.0, 1e-2, 1e-4]).view(3, 1, 1) + 5
    scale, shift = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    ours = adain(x, scale, shift)

    def styled(eps):
        return F.instance_norm(x, eps=eps) * (scale + 1)[..., None, None] + shift[..., None, None]

    torch.testing.assert_close(ours, styled(1e-8), rtol=1e-6, atol=1e-9)
    assert (ours - styled(1e-5)).abs()[:, 2].max() > 0.1


def test_adain_gives_each_channel_the_mean_and_deviation_of_its_style():
    torch.manual_seed(0)
    x, scale, shift = torch.randn(2, 3, 16, 16) * 7 - 2, torch.rand(2, 3), torch.randn(2, 3)
    result = adain(x, scale, shift)
    torch.testing.assert_close(result.mean(dim=(2, 3)), shift, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(result.std(dim=(2, 3), correction=0), scale + 1, rtol=1e-4, atol=1e-4)


def test_adain_in_half_precision_keeps_its_epsilon():
    """A constant channel has no variance: 1e-8 would vanish in float16 and divide by nothing."""
    x = torch.full((1, 1, 4, 4), 3.0, dtype=torch.float16)
    result = adain(x, torch.zeros(1, 1), torch.full((1, 1), 0.25))
    assert result.dtype == torch.float16 and torch.equal(result, torch.full_like(x, 0.25))


def test_layers_in_the_paper_s_order():
    """The 4x4 block by hand: noise, bias, leaky ReLU, AdaIN; convolution with He's gain in between."""
    generator = small_generator("stylegan1").double()
    w_plus = codes(generator, dtype=torch.float64)
    block, x = generator.synthesis.blocks[0], generator.synthesis.const.expand(2, -1, -1, -1)
    for layer, w in zip((block.layer0, block.layer1), w_plus.unbind(1)):
        if layer.conv is not None:
            x = F.conv2d(x, layer.conv.weight * math.sqrt(2 / (9 * x.shape[1])), padding=1)
        x = x + layer.noise * layer.noise_strength.view(-1, 1, 1)
        x = F.leaky_relu(x + layer.bias.view(-1, 1, 1), 0.2)
        style = F.linear(w, layer.affine.weight / math.sqrt(8), layer.affine.bias)
        x = F.instance_norm(x, eps=1e-8) * (style[:, :10] + 1)[..., None, None] + style[:, 10:][..., None, None]
    maps = iter(generator.noise_maps())
    ours = generator.synthesis.const.expand(2, -1, -1, -1)
    for layer, w in zip((block.layer0, block.layer1), w_plus.unbind(1)):
        ours = layer(ours, w, next(maps), generator.synthesis.fir)
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


def test_mapping_by_hand():
    generator = small_generator("stylegan1").double()
    z = generator.sample_z(3, seed=0)
    x = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for layer in generator.mapping.layers:
        gain = math.sqrt(2) / math.sqrt(layer.weight.shape[1]) * 0.01
        x = F.leaky_relu(x @ (layer.weight * gain).T + layer.bias * 0.01, 0.2)
    torch.testing.assert_close(generator.mapping(z)[:, 0], x, rtol=1e-12, atol=1e-12)


def test_official_truncation_is_there_but_not_applied_unasked():
    generator = small_generator("stylegan1")
    z = generator.sample_z(1, seed=0)
    assert generator.official_truncation == StyleGAN1.official_truncation == (0.7, 8)
    w_plus = generator.mapping(z)
    assert torch.equal(w_plus, generator.mapping(z, 1.0))
    assert not torch.equal(w_plus, generator.mapping(z, *generator.official_truncation))


def test_sizes_of_the_official_network():
    with torch.device("meta"):
        generator = StyleGAN1(StyleGAN1Config())
    assert generator.num_ws == 18 and len(generator.noise_maps()) == 18
    # ffhq-1024 has 26,219,627 parameters, which counts the unused ToRGB of lower resolutions and two scalars `lod`
    ours = sum(p.numel() for p in generator.parameters())
    others = sum(3 * c + 3 for c in generator.config.channels[:-1])
    assert ours + others == 26_219_627


@pytest.mark.parametrize(
    "change, message",
    [
        ({"resolution": 12}, "power of two"),
        ({"resolution": 8192}, "from 4 to 4096"),
        ({"resolution": "16"}, "whole number"),
        ({"resolution": True}, "whole number"),
        ({"channels": (8, 8)}, "needs 3"),
        ({"channels": (8, 0, 8)}, "channel count"),
        ({"channels": None}, "needs 3"),
        ({"z_dim": 2.0}, "z_dim"),
        ({"w_dim": 10**9}, "w_dim"),
        ({"mapping_layers": 0}, "mapping_layers"),
        ({"mapping_width": -1}, "mapping_width"),
        ({"mapping_lr_mul": float("nan")}, "mapping_lr_mul"),
    ],
)
def test_bad_settings(change, message):
    with pytest.raises(SettingsError, match=message):
        StyleGAN1Config(**({"resolution": 16, "channels": (8, 8, 8)} | change))
