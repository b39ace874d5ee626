"""What a term of a loss is, and the means over an image that the terms share."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.errors import SettingsError


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


def full_precision(x: Tensor) -> Tensor:
    """At least float32: squares of half-precision features overflow, and their sums lose all small numbers."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def check_weight(name: str, value: float) -> float:
    """SettingsError unless it is a finite number of at least 0."""
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name} is {value}, but must be a number of at least 0.")
    return float(value)
