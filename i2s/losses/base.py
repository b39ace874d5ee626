"""What a term of a loss is, and the means over an image that the terms share."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.device import is_compiling
from i2s.errors import SettingsError

CHUNK = 1 << 19  # numbers; so many stay in the cache of a processor


class Term(Protocol):
    """A part of a loss that compares images with photos, both [N, 3, H, W] in [-1, 1].

    `prepare(target)` computes once what depends on the photos alone. The call gives {name: [N]}, the weighted share of
    each image, differentiable in `images`. `mask` ([N|1, 1, H, W] in 0..1, of the images' size, or None) says how much
    each pixel counts; it goes on to `weighted_mean`.
    """

    def prepare(self, target: Tensor) -> Any: ...

    def __call__(self, images: Tensor, prepared: Any, mask: Tensor | None = None) -> dict[str, Tensor]: ...


class LatentTerm(Protocol):
    """A part of a loss that looks at the code, w_plus [N, num_ws, w_dim], and at the noise maps.

    noise: one tensor for each noise input, [N|1, 1, H, W] or [H, W]. Gives {name: [N]}, weighted.
    """

    def latent(self, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]: ...


def weighted_mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean of each image's map by itself, [N, C, h, w] -> [N], each place counting as much as the mask says there.

    mask: [N|1, 1, H, W] of at least 0, reduced to h x w by area, so that a place of a small map has the mean of what
    it covers. The weights are divided by their mean: a mask of ones changes no bit, and half a mask does not halve the
    loss. An image whose mask is 0 everywhere has a mean of 0. Half precision is added up in float32.
    """
    x = full_precision(x)
    if mask is not None:
        weights = F.interpolate(mask.to(x), x.shape[2:], mode="area")  # [N|1, 1, h, w]
        x = x * (weights / weights.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12))
    return x.mean(dim=(1, 2, 3))


def mean_square(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """|x|^2 / N of each image by itself, N being the numbers in one: [N, C, H, W] -> [N]; see `weighted_mean`."""
    return weighted_mean(full_precision(x).square(), mask)


def mean_square_difference(ours: Tensor, theirs: Tensor, mask: Tensor | None = None) -> Tensor:
    """`mean_square(ours - theirs, mask)`, in few passes over memory where there is no mask."""
    if mask is not None or is_compiling():
        return mean_square(ours - theirs, mask)
    return _MeanSquareDifference.apply(ours, theirs)


class _MeanSquareDifference(torch.autograd.Function):
    """Feature maps are large: the difference is never kept, nor its square written down as a whole."""

    @staticmethod
    def forward(ctx, ours: Tensor, theirs: Tensor) -> Tensor:
        ctx.save_for_backward(ours, theirs)
        rows = max(1, CHUNK * ours.shape[2] // ours.numel()) if ours.device.type == "cpu" else ours.shape[2]
        parts = zip(ours.split(rows, dim=2), theirs.split(rows, dim=2))
        sums = [full_precision(a - b).square_().sum(dim=(1, 2, 3)) for a, b in parts]
        return torch.stack(sums).sum(0) / ours[0].numel()

    @staticmethod
    def backward(ctx, grad: Tensor):  # grad: [N]
        ours, theirs = ctx.saved_tensors
        factor = (grad * (2 / ours[0].numel())).view(-1, 1, 1, 1)
        difference = ours - theirs
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted
            gradient = (full_precision(difference) * factor).to(ours.dtype)
        elif difference.dtype == factor.dtype:
            gradient = difference.mul_(factor)
        else:
            gradient = (difference * factor).to(ours.dtype)
        return gradient, -gradient if ctx.needs_input_grad[1] else None


def full_precision(x: Tensor) -> Tensor:
    """At least float32: squares of half-precision features overflow, and their sums lose all small numbers."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def check_weight(name: str, value: float) -> float:
    """SettingsError unless it is a finite number of at least 0."""
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name} is {value}, but must be a number of at least 0.")
    return float(value)
