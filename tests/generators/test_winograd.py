"""Winograd's convolution: the same sums and gradients as the plain one, chosen where it is faster."""

import pytest
import torch
import torch.nn.functional as F

from i2s.generators import fused, winograd
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("height, width", [(4, 4), (16, 8)])
def test_the_same_sums_and_gradients(count, height, width):
    torch.manual_seed(0)
    x = torch.randn(count, 24, height, width, requires_grad=True)
    weight = torch.randn(40, 24, 3, 3)
    kernel = winograd.transform(weight)
    found = winograd.conv(x, kernel)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()
    gradient = torch.randn(found.shape)
    (exact,) = torch.autograd.grad(exact, x, gradient.double())
    assert (winograd.conv_transpose(gradient, kernel) - exact).abs().max() < 1e-5 * exact.abs().max()


def test_rounding_is_a_few_times_that_of_the_plain_sums():
    torch.manual_seed(0)
    x = torch.randn(1, 256, 32, 32)
    weight = torch.randn(256, 256, 3, 3)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    error = (winograd.conv(x, winograd.transform(weight)) - exact).norm() / exact.norm()
    assert error < 4e-6


@pytest.mark.parametrize(
    "channels, size, dtype, chosen",
    [
        (192, 16, torch.float32, True),
        (192, 8, torch.float32, False),
        (192, 18, torch.float32, False),
        (191, 16, torch.float32, False),
        (192, 16, torch.float64, False),
        (192, 16, torch.bfloat16, False),
    ],
)
def test_it_is_chosen_where_it_pays(channels, size, dtype, chosen):
    weight = torch.randn(192, channels, 3, 3)
    images = torch.Size([1, channels, size, size])
    assert (fused.freeze(weight, dtype, False, images).tiles is not None) == chosen
    assert fused.freeze(weight, dtype, True, images).tiles is None


def test_a_generator_draws_the_same_with_it(monkeypatch):
    torch.manual_seed(0)
    config = StyleGAN2Config(16, 32, 32, channels=(64, 64, 192), mapping_layers=1)
    generator = StyleGAN2(config).eval().requires_grad_(False)
    code = torch.randn(2, generator.num_ws, 32, requires_grad=True)
    found = []
    for chosen in (True, False):
        if not chosen:
            monkeypatch.setattr(winograd, "pays", lambda *_: False)
        for block in generator.synthesis.blocks:
            for layer in block.layers():
                layer._frozen = None
        image = generator.synthesis(code)
        found.append((image.detach(), torch.autograd.grad(image.square().mean(), code)[0]))
        assert (generator.synthesis.blocks[-1].conv1._frozen.tiles is not None) == chosen
    for ours, theirs in zip(*found):
        assert not torch.equal(ours, theirs)  # both ways were taken
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))
