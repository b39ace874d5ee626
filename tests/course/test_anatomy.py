"""Looking into a generator: what lesson 1 shows is what the network does."""

import pytest
import torch
from helpers import tiny_generator

from i2s.course import adain_layer, enlarged, feature_maps, layers_at_work, stages
from i2s.generators import layers, stylegan2
from training.distill_adain import sibling_of


@pytest.fixture
def generator():
    generator = tiny_generator()
    for layer in (layer for block in generator.synthesis.blocks for layer in block.layers()):
        layer.noise_strength.data.zero_()  # as in the shipped one
    return generator


@pytest.fixture
def w_plus(generator):
    return generator.mapping(generator.sample_z(2, seed=0))


def test_the_last_stage_is_the_image(generator, w_plus):
    found = stages(generator, w_plus)
    assert [tuple(s.shape) for s in found] == [(2, 3, 4, 4), (2, 3, 8, 8), (2, 3, 16, 16)]
    torch.testing.assert_close(found[-1], generator.synthesis(w_plus))


def test_feature_maps_of_each_size(generator, w_plus):
    found = feature_maps(generator, w_plus)
    assert [tuple(m.shape) for m in found] == [(2, 12, 4, 4), (2, 10, 8, 8), (2, 8, 16, 16)]
    assert enlarged(found[0][0], 16).shape == (12, 16, 16)


def test_feature_maps_of_a_stylegan1_are_what_adain_made(generator):
    """As lesson 1 looks into the sibling: mean and spread of each map are shift and scale of the style."""
    sibling = sibling_of(generator)
    w_plus = sibling.mapping(sibling.sample_z(2, seed=0))
    maps, layer = feature_maps(sibling, w_plus)[2], sibling.synthesis.blocks[2].layer1
    scale, shift = layer.affine(w_plus[:, 5]).chunk(2, dim=1)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), shift, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(maps.std(dim=(2, 3), unbiased=False), (1 + scale).abs(), rtol=1e-3, atol=1e-3)


def test_a_layer_at_work_gives_what_the_network_gives(generator, w_plus):
    at_work = layers_at_work(generator, w_plus)
    assert len(at_work) == generator.num_ws - 1
    layer, x, style = at_work[0]  # the only one of 4 px: its output is the first feature map
    y = stylegan2.modulated_conv(x, layer.weight, style, layers.fir_kernel())
    y = layers.leaky_relu(y + layer.bias.view(-1, 1, 1))
    torch.testing.assert_close(y, feature_maps(generator, w_plus)[0])


def test_hooks_are_taken_off_again(generator, w_plus):
    for look in (stages, feature_maps, layers_at_work):
        look(generator, w_plus)
        with pytest.raises(Exception, match="latent code"):
            look(generator, w_plus[:, :2])
    assert not any(module._forward_hooks for module in generator.modules())


def test_adain_layer_has_the_styles_mean_and_spread():
    layer = adain_layer(channels=4, w_dim=6)
    rng = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 4, 32, 32, generator=rng) * 7 + 3, torch.randn(2, 6, generator=rng)
    y = layer(x, w, noise=None, fir=None)
    scale, shift = layer.affine(w).chunk(2, dim=1)
    torch.testing.assert_close(y.mean(dim=(2, 3)), shift, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(y.std(dim=(2, 3), unbiased=False), (1 + scale).abs(), rtol=1e-3, atol=1e-4)


def test_adain_layer_is_the_same_each_time_and_leaves_the_seed_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    layer = adain_layer(channels=4, w_dim=6)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(layer.affine.weight, adain_layer(channels=4, w_dim=6).affine.weight)
    assert not torch.equal(layer.affine.weight, adain_layer(channels=4, w_dim=6, seed=1).affine.weight)
