"""StyleGAN2's layer with frozen weights, for embeddings: the same function, in fewer passes over memory.

When the weights are fixed and only the code is optimised, much is saved at every step:

    weights      their squares, and the memory layout that convolutions prefer, are computed once
    backward     no gradient of the weights, and none of the intermediate results: instead of the results of five
                 operations one tensor is kept, the output, which is the next layer's input anyway
    forward      everything after the convolution happens in place; wide convolutions take fewer multiplications
                 (`winograd`)

    y = leaky_relu(conv(x * style) * demodulation + noise + bias) * gain

From the output alone the gradients follow. With g the gradient of y, and g' = g * gain * slope that of the argument a
of the leaky ReLU, a g' = y g; so the gradient of the demodulation d is (sum y g - sum g' (noise + bias)) / d.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.device import CHUNK, row_chunks
from i2s.generators import layers, winograd


class FrozenWeight(NamedTuple):
    """Cached form of the weight of a frozen 3x3 convolution."""

    source: Tensor  # the weight; kept, so that its address is not given to another tensor
    version: int  # the weight's version when it was cached
    weight: Tensor  # as the convolution takes it: [out, in, 3, 3], or [in, out, 3, 3] when `up`; channels last
    squares: Tensor  # [out, in], of the source, summed over the kernel, for the demodulation
    tiles: Tensor | None = None  # [36, in, out], as `winograd` takes it, where that is faster

    def matches(self, weight: Tensor, dtype: torch.dtype) -> bool:
        """True if the cached copy matches `weight` (same storage and version) and `dtype`."""
        same = self.source.data_ptr() == weight.data_ptr() and self.version == version_of(weight)
        return same and self.source.dtype == weight.dtype and self.weight.dtype == dtype


def freeze(weight: Tensor, dtype: torch.dtype, up: bool, size: torch.Size | None = None) -> FrozenWeight:
    """Cache weight [out, in, 3, 3]; for half precision it is scaled to a largest entry of 1 (see `modulated_conv`).

    Args:
        weight: The weight.
        dtype: Of the images.
        up: It is of an up-convolution.
        size: Of the images that it will be used for, but for their number; see `winograd.pays`.
    """
    source = weight.detach()
    scaled = unit_range(source) if dtype == torch.float16 else source
    squares = scaled.square().sum(dim=(2, 3))  # [out, in]
    scaled = (scaled.transpose(0, 1) if up else scaled).to(dtype)
    tiles = None
    if size is not None and not up and dtype == torch.float32 and winograd.pays(source, size):
        tiles = winograd.transform(scaled)
    scaled = scaled.contiguous(memory_format=torch.channels_last)
    return FrozenWeight(source, version_of(weight), scaled, squares, tiles)


def version_of(weight: Tensor) -> int:
    """Count the changes made to a tensor in place; 0 if it was made in inference mode, where none are counted."""
    return 0 if weight.is_inference() else weight._version


def unit_range(x: Tensor) -> Tensor:
    """Scale each x[k] to a largest entry of 1: demodulation cancels the factor, and half precision ends at 65504."""
    return x / x.abs().flatten(1).amax(1).clamp_min(1e-8).view(-1, *[1] * (x.ndim - 1))


class FusedModulatedConv(torch.autograd.Function):
    """leaky_relu(conv(x * style) * demodulation + noise + bias) * gain, limited to [-clamp, clamp].

    There is no gradient for bias and weight. Arguments of `apply`:

        x [N, in, H, W]
        style [N, in]
        demodulation [N, out]
        noise [H, W] or [N, 1, H, W], already times its strength, or None
        bias [out]
        frozen: `FrozenWeight`
        fir [k, k]: low-pass filter of an up-convolution
        up: the result, [N, out, H, W], has twice the size of x
        gain, clamp: of the leaky ReLU
    """

    @staticmethod
    def forward(
        ctx,
        x: Tensor,
        style: Tensor,
        demodulation: Tensor,
        noise: Tensor | None,
        bias: Tensor,
        frozen: FrozenWeight,
        fir: Tensor,
        up: bool,
        gain: float,
        clamp: float | None,
    ) -> Tensor:
        y = x * channels(style, x)
        if up:
            y = F.conv_transpose2d(y, frozen.weight, stride=2)  # [N, out, 2H + 1, 2W + 1]
            y = layers.filter2d(y, fir, padding=(1, 1), gain=4)
        elif frozen.tiles is not None:
            y = winograd.conv(y, frozen.tiles)
        else:
            y = F.conv2d(y, frozen.weight, padding=1)
        if noise is None:
            y = torch.addcmul(channels(bias[None], y), y, channels(demodulation, y), out=y)
        else:
            y = y.mul_(channels(demodulation, y)).add_(noise.to(y.dtype)).add_(channels(bias[None], y))
        y = F.leaky_relu_(y, layers.LRELU_SLOPE).mul_(gain)
        if clamp is not None:
            y = y.clamp_(-clamp, clamp)
        ctx.save_for_backward(x, style, demodulation, noise, bias, y)
        ctx.settings = frozen, fir, up, gain, clamp
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, style, demodulation, noise, bias, y = ctx.saved_tensors
        frozen, fir, up, gain, clamp = ctx.settings
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted
            return *_differentiable(ctx, grad), *[None] * 6
        # Demodulation, bias and noise, from the output alone
        if clamp is not None:
            grad = grad * (y.abs() < clamp)
        total = dot(y, grad)  # [N, out]: sum of a g'
        # y has the sign of a
        g = torch.ops.aten.leaky_relu_backward(grad, y, layers.LRELU_SLOPE, True)
        g = g.mul_(gain) if g is not grad else g * gain  # [N, out, H, W]: of a
        total -= g.sum(dim=(2, 3), dtype=total.dtype) * bias.to(total.dtype)
        noise_grad = None
        if noise is not None:
            total -= dot(noise.to(g.dtype).expand_as(g), g)
            if ctx.needs_input_grad[3]:
                noise_grad = g.sum(dim=1, keepdim=True, dtype=total.dtype).to(noise.dtype).sum_to_size(noise.shape)
        # Convolution
        g = g.mul_(channels(demodulation, g))  # of the convolution's result
        if up:
            g = layers.filter2d(g, fir.flip(0, 1), padding=(2, 2), gain=4)
            g = F.conv2d(g, frozen.weight, stride=2)  # [N, in, H, W]: of x * style
        elif frozen.tiles is not None:
            g = winograd.conv_transpose(g, frozen.tiles)
        else:
            g = F.conv_transpose2d(g, frozen.weight, padding=1)
        style_grad = dot(x, g).to(style.dtype)  # [N, in]
        x_grad = g.mul_(channels(style, g)) if ctx.needs_input_grad[0] else None
        return x_grad, style_grad, (total / demodulation).to(demodulation.dtype), noise_grad, *[None] * 6


def _differentiable(ctx, grad: Tensor) -> list[Tensor | None]:
    """Compute the gradients of x, style, demodulation and noise by autograd, so that they are differentiable again."""
    *inputs, bias, _ = ctx.saved_tensors
    frozen, fir, up, gain, clamp = ctx.settings
    x, style, demodulation, noise = inputs
    with torch.enable_grad():
        y = x * channels(style, x)
        if up:
            y = layers.filter2d(F.conv_transpose2d(y, frozen.weight, stride=2), fir, padding=(1, 1), gain=4)
        else:
            y = F.conv2d(y, frozen.weight, padding=1)
        y = y * channels(demodulation, y) + channels(bias[None], y)
        y = layers.leaky_relu(y if noise is None else y + noise.to(y.dtype), gain, clamp)
        wanted = [k for k, needed in enumerate(ctx.needs_input_grad[:4]) if needed]
        found = torch.autograd.grad(y, [inputs[k] for k in wanted], grad, create_graph=True)
    grads: list[Tensor | None] = [None] * 4
    for k, gradient in zip(wanted, found):
        grads[k] = gradient
    return grads


def channels(factors: Tensor, like: Tensor) -> Tensor:
    """Reshape [N, C] to [N, C, 1, 1], in the precision of `like`."""
    return factors[..., None, None].to(like.dtype)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum a * b over the pixels, [N, C, H, W] -> [N, C], in float32 at least; strip by strip where it saves memory."""
    dtype = torch.promote_types(a.dtype, torch.float32)
    if a.device.type != "cpu" or a.numel() <= CHUNK:
        return (a * b).sum(dim=(2, 3), dtype=dtype)
    return torch.stack([(x * y).sum(dim=(2, 3), dtype=dtype) for x, y in row_chunks(a, b)]).sum(0)
