"""The styled convolution of a frozen StyleGAN2, for embeddings: the same function, in fewer passes over memory.

When the weights are fixed, and only the code is looked for, three things are saved at every step:

    weights      their squares and the memory layout that convolutions like are made once
    backward     no gradient of the weights, and none of the intermediate results: what autograd would keep of five
                 operations is one tensor here, the output, which is the next layer's input anyway
    forward      everything after the convolution happens in place

    y = leaky_relu(conv(x * style) * demodulation + noise + bias) * gain

From the output alone the gradients follow. With g the gradient of y, and g' = g * gain * slope that of the argument a
of the leaky ReLU, a g' = y g; so the gradient of the demodulation d is (sum y g - sum g' (noise + bias)) / d.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators import layers

CHUNK = 1 << 19  # numbers; a product of so many stays in the cache of a processor


class FrozenWeight(NamedTuple):
    """What a frozen 3x3 convolution needs at every step.

    weight: as the convolution takes it, [out, in, 3, 3], or [in, out, 3, 3] for an up-convolution; channels last.
    squares [out, in]: of the original weight, summed over the kernel, for the demodulation.
    """

    source: Tensor  # kept, so that its address is not given to another tensor
    version: int
    weight: Tensor
    squares: Tensor

    def belongs_to(self, weight: Tensor, dtype: torch.dtype) -> bool:
        """Is it of this weight, as it is now, in this precision?"""
        same = self.source.data_ptr() == weight.data_ptr() and self.version == weight._version
        return same and self.source.dtype == weight.dtype and self.weight.dtype == dtype


def freeze(weight: Tensor, dtype: torch.dtype, up: bool) -> FrozenWeight:
    """Prepare weight [out, in, 3, 3]; half precision gets it scaled to a largest entry of 1 (see `modulated_conv`)."""
    source = weight.detach()
    scaled = unit_range(source) if dtype == torch.float16 else source
    squares = scaled.square().sum(dim=(2, 3))  # [out, in]
    scaled = (scaled.transpose(0, 1) if up else scaled).to(dtype)
    return FrozenWeight(source, weight._version, scaled.contiguous(memory_format=torch.channels_last), squares)


def unit_range(x: Tensor) -> Tensor:
    """x with a largest entry of 1 in each x[k]; demodulation cancels the factor, and half precision ends at 65504."""
    return x / x.abs().flatten(1).amax(1).clamp_min(1e-8).view(-1, *[1] * (x.ndim - 1))


class StyledConvolution(torch.autograd.Function):
    """leaky_relu(conv(x * style) * demodulation + noise + bias) * gain, limited to [-clamp, clamp].

    x [N, in, H, W]; style [N, in]; demodulation [N, out]; noise [H, W] or [N, 1, H, W], already times its strength, or
    None; bias [out]; frozen: `FrozenWeight`; with `up` the result has twice the size of x. -> [N, out, H, W]
    No gradient for bias and weight.
    """

    @staticmethod
    def forward(ctx, x, style, demodulation, noise, bias, frozen, fir, up, gain, clamp):
        y = x * channels(style, x)
        if up:
            y = F.conv_transpose2d(y, frozen.weight, stride=2)  # [N, out, 2H + 1, 2W + 1]
            y = layers.filter2d(y, fir, padding=(1, 1), gain=4)
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
    def backward(ctx, grad):
        x, style, demodulation, noise, bias, y = ctx.saved_tensors
        frozen, fir, up, gain, clamp = ctx.settings
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted: by autograd
            return *_differentiable(ctx, grad), *[None] * 6
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
        g = g.mul_(channels(demodulation, g))  # of the convolution's result
        if up:
            g = layers.filter2d(g, fir.flip(0, 1), padding=(2, 2), gain=4)
            g = F.conv2d(g, frozen.weight, stride=2)  # [N, in, H, W]: of x * style
        else:
            g = F.conv_transpose2d(g, frozen.weight, padding=1)
        style_grad = dot(x, g).to(style.dtype)  # [N, in]
        x_grad = g.mul_(channels(style, g)) if ctx.needs_input_grad[0] else None
        return x_grad, style_grad, (total / demodulation).to(demodulation.dtype), noise_grad, *[None] * 6


def _differentiable(ctx, grad: Tensor) -> list[Tensor | None]:
    """The gradients of x, style, demodulation and noise as functions that autograd can go through again."""
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
    """[N, C] as [N, C, 1, 1] in the precision of `like`."""
    return factors[..., None, None].to(like.dtype)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of a * b over the pixels, [N, C, H, W] -> [N, C], in float32 at least; row by row where it spares memory."""
    dtype = torch.promote_types(a.dtype, torch.float32)
    if a.is_cuda:
        return (a * b).sum(dim=(2, 3), dtype=dtype)
    rows = max(1, CHUNK * a.shape[2] // a.numel())
    parts = zip(a.split(rows, dim=2), b.split(rows, dim=2))
    return torch.stack([(x * y).sum(dim=(2, 3), dtype=dtype) for x, y in parts]).sum(0)
