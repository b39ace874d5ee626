"""What a term of a loss is, and the means over an image that the terms share."""

import inspect
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.device import is_compiling, row_chunks
from i2s.errors import SettingsError

TAP_NAMES = ("conv1_1", "conv1_2", "conv3_2", "conv4_2")  # VGG-16's feature maps that the paper compares


@runtime_checkable
class Term(Protocol):
    """A part of a loss that compares images with photos, both [N, 3, H, W] in [-1, 1]."""

    def prepare(self, target: Tensor) -> Any:
        """Compute, once, what depends on the photos alone."""
        ...

    def __call__(self, images: Tensor, prepared: Any, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Return {name: [N]}, the weighted share of each image, differentiable in `images`.

        Args:
            images: [N, 3, H, W] in [-1, 1].
            prepared: What `prepare` returned.
            mask: [N|1, 1, H, W] in 0..1, of the images' size: how much each pixel counts; see `masked_mean`. A term
                may leave this argument out, and then takes no mask.
        """
        ...


@runtime_checkable
class LatentTerm(Protocol):
    """A part of a loss that looks at the code and at the noise maps."""

    def latent(self, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]:
        """Return {name: [N]}, weighted.

        Args:
            w_plus: [N, num_ws, w_dim].
            noise: One tensor for each noise input, [N|1, 1, H, W] or [H, W].
        """
        ...


class FeatureNet(Protocol):
    """A network of a perceptual loss. It may also say its `tap_names` and take `count` (run no further)."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps [N, C, h, w] of images [N, 3, H, W] in [-1, 1], one per tap."""
        ...


def masked_mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of each image's map, each place counting as much as the mask says there.

    Args:
        x: [N, C, h, w]; half precision is summed in float32.
        mask: [N|1, 1, H, W] of at least 0, reduced to h x w by area, so that a place of a small map has the mean of
            what it covers. The weights are divided by their mean: a mask of ones changes no bit, and half a mask does
            not halve the loss. An image whose mask is 0 everywhere has a mean of 0.

    Returns:
        [N].
    """
    x = full_precision(x)
    if mask is not None:
        weights = F.interpolate(mask.to(x), x.shape[2:], mode="area")  # [N|1, 1, h, w]
        x = x * (weights / weights.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12))
    return x.mean(dim=(1, 2, 3))


def mean_square(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean square of each image, [N, C, H, W] -> [N]; see `masked_mean`."""
    return masked_mean(full_precision(x).square(), mask)


def mean_square_difference(ours: Tensor, theirs: Tensor, mask: Tensor | None = None) -> Tensor:
    """`mean_square(ours - theirs, mask)`, in few passes over memory if there is no mask."""
    if mask is not None or is_compiling():
        return mean_square(ours - theirs, mask)
    return _MeanSquareDifference.apply(ours, theirs)


class _MeanSquareDifference(torch.autograd.Function):
    """Keep neither the difference of two feature maps nor its square: they are large."""

    @staticmethod
    def forward(ctx, ours: Tensor, theirs: Tensor) -> Tensor:
        ctx.save_for_backward(ours, theirs)
        sums = [full_precision(a - b).square_().sum(dim=(1, 2, 3)) for a, b in row_chunks(ours, theirs)]
        return torch.stack(sums).sum(0) / ours[0].numel()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor | None]:  # grad: [N]
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


def select(part: Any, index: Tensor) -> Any:
    """A term or a degradation for some of the photos, `index` [M]; a part without `select` holds nothing of photos."""
    return part.select(index) if hasattr(part, "select") else part


def takes_mask(term: Term) -> bool:
    """True if the term takes a mask."""
    return "mask" in inspect.signature(term.__call__).parameters


def check_weight(name: str, value: float) -> float:
    """Return the weight; SettingsError unless it is a finite number of at least 0."""
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name} is {value}, but must be a number of at least 0.")
    return float(value)


def check_images(images: Tensor, smallest: int = 16) -> None:
    """SettingsError unless `images` is a float tensor [N, 3, H, W] with H and W at least `smallest`."""
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < smallest or not images.is_floating_point():
        raise SettingsError(
            f"The perceptual network got {images.dtype} of shape {list(images.shape)}: "
            f"it takes float images [N, 3, H, W] of at least {smallest} px."
        )
