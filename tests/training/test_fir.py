"""The fused FIR filter: the same function as the plain one, and as often differentiable."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from i2s.encoder import Encoder
from i2s.generators import layers
from training.fir import BinomialFilter, fused_filter, separable_filter

SHAPES = [(2, 5, 9, 7), (1, 3, 16, 20), (2, 4, 5, 5)]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(shape=SHAPES[0], seed=0, dtype=torch.float32, device="cpu"):
    return torch.randn(shape, generator=rng(seed)).to(device, dtype)


def plain(x, padding, gain):
    return layers.filter2d(x, layers.fir_kernel().to(x.device), (padding, padding), gain)


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_separable_filter_is_the_plain_filter(shape, padding):
    x = images(shape)
    torch.testing.assert_close(separable_filter(x, padding, 4.0), plain(x, padding, 4.0))
    torch.testing.assert_close(BinomialFilter.apply(x, padding, 4.0), plain(x, padding, 4.0))


@pytest.mark.parametrize("padding", [1, 2])
def test_binomial_filter_is_its_own_transpose_and_differentiates_twice(padding):
    x = images((1, 2, 6, 5), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: BinomialFilter.apply(x, padding, 2.0), x)
    assert torch.autograd.gradgradcheck(lambda x: BinomialFilter.apply(x, padding, 2.0).pow(3), x)
    y = images((1, 2, 6 + 2 * padding - 3, 5 + 2 * padding - 3), seed=1, dtype=torch.float64)
    there = (BinomialFilter.apply(x, padding, 2.0) * y).sum()
    back = (x * BinomialFilter.apply(y, 3 - padding, 2.0)).sum()
    torch.testing.assert_close(there, back)  # <Ax, y> = <x, A^T y>


def test_fused_filter_leaves_the_cpu_and_the_module_as_they_were():
    x, before = images(), layers.filter2d
    with fused_filter():
        assert torch.equal(layers.filter2d(x, layers.fir_kernel(), (1, 1)), plain(x, 1, 1.0))
    with pytest.raises(ZeroDivisionError), fused_filter():
        assert layers.filter2d is not before
        raise ZeroDivisionError
    assert layers.filter2d is before


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_kernel_is_the_plain_filter_in_tritons_interpreter():
    """The kernel itself, without a GPU: several strips of rows, several blocks, every padding, bfloat16."""
    program = """if True:
        import torch
        from training.fir import separable_filter
        from training.fir_kernel import BLOCK, ROWS, binomial_filter
        for shape in ((2, 5, 9, 7), (1, 3, 2 * ROWS + 1, 5), (1, BLOCK // 4 + 1, 4, 6)):
            for padding in (0, 1, 2, 3):
                for dtype, share in ((torch.float32, 1e-6), (torch.bfloat16, 0.01)):
                    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
                    made, expected = binomial_filter(x, padding, 4.0), separable_filter(x.float(), padding, 4.0)
                    assert made.dtype == dtype and made.is_contiguous(memory_format=torch.channels_last)
                    torch.testing.assert_close(made.float(), expected, rtol=share, atol=share)
    """
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


@needs_cuda
@pytest.mark.parametrize("padding", [0, 1, 2, 3])
@pytest.mark.parametrize("shape", [*SHAPES, (4, 48, 65, 33)])
def test_kernel_is_the_plain_filter_on_cuda(shape, padding):
    x = images(shape, device="cuda")
    torch.testing.assert_close(BinomialFilter.apply(x, padding, 4.0), separable_filter(x, padding, 4.0))
    half = x.bfloat16()
    torch.testing.assert_close(
        BinomialFilter.apply(half, padding, 4.0).float(),
        separable_filter(half.float(), padding, 4.0),
        rtol=0.01,
        atol=0.01,
    )


@needs_cuda
def test_gradients_through_an_encoder_with_the_kernel_are_the_plain_ones():
    """First and second derivative, as R1 takes them."""
    torch.manual_seed(0)
    encoder = Encoder((16, 12, 8), 6).cuda()
    x = images((2, 3, 16, 16), device="cuda")

    def derivatives():
        real = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(encoder(real).square().sum(), real, create_graph=True)
        return [gradient, *torch.autograd.grad(gradient.square().sum(), list(encoder.trunk.parameters()))]

    expected = derivatives()
    with fused_filter():
        found = derivatives()
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max()))
