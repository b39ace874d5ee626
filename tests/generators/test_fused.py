"""Frozen layers: the same function and the same gradients as layers in training, from fewer stored numbers."""

import copy

import pytest
import torch
from helpers import small_generator

from i2s.generators import fused, layers
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config, SynthesisLayer


def pair(up: bool, clamp: float | None = None, seed: int = 0) -> tuple[SynthesisLayer, SynthesisLayer]:
    """The same layer in float64, frozen and in training; noise and bias that matter."""
    torch.manual_seed(seed)
    config = StyleGAN2Config(16, 5, 5, channels=(6, 6, 6), conv_clamp=clamp)
    layer = SynthesisLayer(config, 6, 4, 16 if up else 8, up).double()
    with torch.no_grad():
        layer.bias.normal_()
        layer.noise_strength.fill_(0.7)
    return copy.deepcopy(layer).requires_grad_(False), layer


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("clamp", [None, 1.0])
@pytest.mark.parametrize("count", [1, 3])
def test_the_same_image_and_gradients_as_in_training(up, clamp, count):
    fast, plain = pair(up, clamp)
    x = torch.randn(count, 6, 8, 8, dtype=torch.float64, requires_grad=True)
    w = torch.randn(count, 5, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(fast.noise.shape, dtype=torch.float64, requires_grad=True)
    fir = layers.fir_kernel().double()
    found = []
    for layer in (fast, plain):
        y = layer(x, w, noise, fir, gain=0.6)
        found.append([y, *torch.autograd.grad((y * torch.linspace(-1, 1, y.shape[-1])).square().sum(), (x, w, noise))])
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("many", [False, True])
def test_gradients_of_both_orders_against_finite_differences(up, many):
    layer = pair(up)[0]
    x = torch.randn(2, 6, 3, 3, dtype=torch.float64, requires_grad=True)
    style = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    demodulation = torch.rand(2, 4, dtype=torch.float64, requires_grad=True)
    size = 6 if up else 3
    noise = torch.randn(*([2, 1] if many else []), size, size, dtype=torch.float64, requires_grad=True)
    weight, fir = fused.freeze(layer.weight, torch.float64, up), layers.fir_kernel().double()

    def function(*inputs):
        return fused.FusedModulatedConv.apply(*inputs, layer.bias, weight, fir, up, 1.3, None)

    inputs = (x, style, demodulation, noise)
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("change", ["in place", "loaded", "replaced", "double"])
def test_new_weights_are_seen(change):
    """What was prepared of the weights must not outlive them."""
    generator, other = small_generator(seed=0), small_generator(seed=1)
    code = torch.randn(1, generator.num_ws, generator.w_dim)
    generator.synthesis(code)
    if change == "in place":
        with torch.no_grad():
            for ours, theirs in zip(generator.parameters(), other.parameters()):
                ours.copy_(theirs)
        generator.synthesis.load_state_dict(dict(other.synthesis.named_buffers()), strict=False)
    elif change == "loaded":
        generator.load_state_dict(other.state_dict())
    elif change == "replaced":
        generator.load_state_dict(other.state_dict(), assign=True)
        generator.requires_grad_(False)
    else:
        generator.double(), other.double()
        generator.load_state_dict(other.state_dict())
    fresh = copy.deepcopy(other)
    for layer in (layer for block in fresh.synthesis.blocks for layer in block.layers()):
        layer._frozen = None
    torch.testing.assert_close(generator.synthesis(code), fresh.synthesis(code), rtol=1e-6, atol=1e-6)


def test_noise_of_strength_0_is_not_added_but_can_be_learned():
    generator = small_generator()
    layer = generator.synthesis.blocks[0].conv1
    layer.noise_strength.zero_()
    assert layer._scaled(layer.noise) is None
    layer.noise_strength.fill_(0.1)
    assert torch.equal(layer._scaled(layer.noise), layer.noise * 0.1)
    layer.noise_strength.zero_()
    layer.noise_strength.requires_grad_()  # as when the generator is tuned: it must be able to leave 0
    assert layer._scaled(layer.noise) is not None


def test_less_is_kept_for_the_way_back():
    """One tensor a layer: its output, which is the next one's input. Autograd of the plain operations keeps four."""
    generator = small_generator(32)
    code = torch.randn(1, generator.num_ws, generator.w_dim, requires_grad=True)
    kept = []
    for trained in (False, True):
        generator.requires_grad_(trained)
        seen = {}

        def pack(tensor, seen=seen):
            seen[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        own = {t.untyped_storage().data_ptr() for t in [*generator.parameters(), *generator.buffers()]}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            generator.synthesis(code)
        kept.append(
            sum(t.numel() for address, t in seen.items() if address not in own and t.ndim == 4 and t.shape[1] > 3)
        )
    assert kept[0] < kept[1] / 2.5


def test_half_precision_of_extreme_codes_stays_finite():
    torch.manual_seed(0)
    config = StyleGAN2Config(16, 12, 12, channels=(64, 64, 64), mapping_layers=1)
    generator = StyleGAN2(config).eval().requires_grad_(False)
    code = (torch.randn(1, generator.num_ws, 12) * 300).requires_grad_()
    full, half = (generator.synthesis(code, dtype=dtype) for dtype in (torch.float32, torch.float16))
    assert half.isfinite().all()
    assert (full - half).norm() / full.norm() < 0.02
    gradient = [torch.autograd.grad(image.square().mean(), code)[0] for image in (full, half)]
    assert (gradient[0] - gradient[1]).norm() / gradient[0].norm() < 0.1
