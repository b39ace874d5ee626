"""The FIR filter of StyleGAN2, [1, 3, 3, 1] / 8 along both axes, in one pass over memory.

As a depthwise convolution it is the slowest part of a training step on a GPU. The filter is separable and symmetric,
so its transpose, which the gradient needs, is the same filter with padding 3 - p: one kernel serves the filter, its
gradient, and the gradient of the gradient (R1).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators import layers

TAPS = (0.125, 0.375, 0.375, 0.125)


class BinomialFilter(torch.autograd.Function):
    """Filter x [N, C, H, W] with zero padding p (0..3) on all sides, times gain: [N, C, H + 2p - 3, W + 2p - 3].

    A Triton kernel on CUDA (channels last), `separable_filter` elsewhere. Differentiable any number of times.
    """

    @staticmethod
    def forward(ctx, x: Tensor, padding: int, gain: float) -> Tensor:
        ctx.padding = padding
        ctx.gain = gain
        if x.is_cuda:
            from training.fir_kernel import binomial_filter  # imports triton, which only CUDA builds of torch bring

            return binomial_filter(x, padding, gain)
        return separable_filter(x, padding, gain)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        return BinomialFilter.apply(grad, 3 - ctx.padding, ctx.gain), None, None


def separable_filter(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """The same as two weighted sums of shifted images, along each axis: the reference of the kernel."""
    x = F.pad(x, (padding, padding, padding, padding))
    width = x.shape[3] - 3
    x = sum(tap * x[:, :, :, k : k + width] for k, tap in enumerate(TAPS))
    height = x.shape[2] - 3
    return sum(gain * tap * x[:, :, k : k + height] for k, tap in enumerate(TAPS))


@contextmanager
def fused_filter() -> Iterator[None]:
    """Within the block, let `layers.filter2d` filter CUDA tensors by the fused kernel.

    For networks with the default kernel, `layers.fir_kernel()`.
    """
    plain = layers.filter2d

    def filter2d(x: Tensor, kernel: Tensor, padding: tuple[int, int], gain: float = 1.0) -> Tensor:
        before, after = padding
        if x.is_cuda and before == after and kernel.shape == (4, 4):
            return BinomialFilter.apply(x, before, float(gain))
        return plain(x, kernel, padding, gain)

    layers.filter2d = filter2d
    try:
        yield
    finally:
        layers.filter2d = plain
