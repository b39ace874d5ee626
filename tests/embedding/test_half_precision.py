"""A generator in half precision: its gradients are small, and must not be lost."""

import torch
from helpers import TinyEye, targets, tiny_generator

from i2s.embedding import embed
from i2s.embedding.optim import Adam


def run(dtype, weight=1.0):
    generator = tiny_generator()
    photo = targets(generator, 2)
    generator.synthesis.dtype = dtype
    options = {"steps": 15, "learning_rate": 0.05, "perceptual": TinyEye(), "progress": False}
    return embed(photo, generator, mse_weight=weight, tap_weights=(0, 0, 0, 0), **options)


def test_half_precision_finds_what_float32_finds():
    exact, half = run(None), run(torch.float16)
    assert torch.isfinite(half.loss).all()
    assert torch.allclose(half.loss[-1], exact.loss[-1], rtol=0.1)


def test_gradients_below_the_smallest_half_are_not_lost():
    """With so small a weight the unscaled gradients of most activations vanish, and the descent with them."""
    weight = 2e-5
    half, exact = run(torch.float16, weight), run(None, weight)
    fallen = lambda result: 1 - result.loss[-1] / result.loss[0]
    assert torch.allclose(fallen(half), fallen(exact), atol=0.15)


def test_adam_divides_by_the_scale():
    ends = []
    for scale in (1.0, 256.0):
        x = torch.tensor([1.0, -2.0], requires_grad=True)
        adam = Adam([{"params": [x], "lr": 0.1}], (0.9, 0.999), 1e-3)
        for _ in range(5):
            (x.square().sum() * scale).backward()
            adam.step(scale=scale)
        ends.append(x.detach())
    assert torch.equal(*ends)
