"""Augmentation that keeps a discriminator from learning a small data set by heart.

Real and generated images pass through the same random, differentiable changes (Zhao et al. 2020, DiffAugment), each
with probability p, and p follows how sure the discriminator is of the real ones (Karras et al. 2020, ADA: raise p
when E[sign D(real)] is above 0.6). As long as p stays below 1 the generator cannot confuse changes with faces.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STRONGEST = 0.8


class AdaptiveAugment:
    """Callable on images [N, 3, R, R]; `update(sign)` moves p, full scale in `images` images, never below `least`."""

    def __init__(
        self, rng: torch.Generator, p: float = 0.0, target: float = 0.6, images: float = 200_000, least: float = 0.0
    ):
        self.rng, self.p, self.target, self.images, self.least = rng, max(p, least), target, images, least

    def update(self, real_sign: float, seen: int) -> None:
        """real_sign: mean of sign(D(real)) since the last call; seen: images in that time."""
        step = seen / self.images * (1 if real_sign > self.target else -1)
        self.p = min(max(self.p + step, self.least), STRONGEST)

    def __call__(self, images: Tensor) -> Tensor:
        if self.p == 0:
            return images
        for change in (colour, translate, cutout):
            chosen = self._uniform(images, 1) < self.p  # [N, 1]
            images = torch.where(chosen[:, :, None, None], change(images, self._uniform(images, 4)), images)
        return images

    def _uniform(self, images: Tensor, columns: int) -> Tensor:
        return torch.rand(len(images), columns, generator=self.rng, device=images.device)


def colour(x: Tensor, u: Tensor) -> Tensor:
    """Brightness by up to 0.5, saturation 0 to 2, contrast 0.5 to 1.5; u [N, 4] uniform in [0, 1]."""
    brightness, saturation, contrast, _ = u[..., None, None, None].unbind(dim=1)
    x = x + (brightness - 0.5)
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * saturation * 2
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def translate(x: Tensor, u: Tensor, share: float = 0.125) -> Tensor:
    """Shift by up to an eighth of the size, both ways; what comes in from outside is black."""
    size = x.shape[-1]
    shift = ((u[:, :2] * 2 - 1) * (share * size)).round().long()  # [N, 2]
    far = int(share * size)
    x = F.pad(x, (far, far, far, far), value=-1.0)
    line = torch.arange(size, device=x.device)
    rows = (line + far + shift[:, :1])[:, None, :, None]  # [N, 1, R, 1]
    columns = (line + far + shift[:, 1:])[:, None, None, :]  # [N, 1, 1, R]
    sample = torch.arange(len(x), device=x.device).view(-1, 1, 1, 1)
    channel = torch.arange(x.shape[1], device=x.device).view(1, -1, 1, 1)
    return x[sample, channel, rows, columns]


def cutout(x: Tensor, u: Tensor, share: float = 0.4) -> Tensor:
    """Grey out a square of 40 % of the side, anywhere."""
    size = x.shape[-1]
    line = torch.arange(size, device=x.device) / size
    inside = ((line - u[:, :1]).abs() < share / 2, (line - u[:, 1:2]).abs() < share / 2)  # each [N, R]
    return x * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])
