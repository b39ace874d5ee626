"""Differentiable augmentation of the discriminator's images, with an adaptive probability.

Real and generated images pass through the same random changes, each with probability p: colour, translation and
cutout (DiffAugment, Zhao et al. 2020), or one affine map, colour and cutout ("ada", after Karras et al. 2020). p rises
when E[sign D(real)] is above its target (ADA). As long as p stays below 1 the generator cannot take changes for faces.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

STRONGEST = 0.8  # of p


class AdaptiveAugment:
    """Callable on images [N, 3, R, R]; `update` moves p.

    p is a tensor on the device, and nothing waits for its value: a step with it can be captured as a CUDA graph.

    Args:
        rng: Source of random numbers, on the device of the images.
        pipeline: "diffaugment" or "ada".
        p: Probability of each change at the start.
        target: Of the mean sign of D(real).
        images: Number of images in which p goes from 0 to 1.
        least: p never falls below.
    """

    def __init__(
        self,
        rng: torch.Generator,
        pipeline: str = "diffaugment",
        p: float = 0.0,
        target: float = 0.6,
        images: float = 200_000,
        least: float = 0.0,
    ):
        self.rng = rng
        self.pipeline = PIPELINES[pipeline]
        self.p = torch.tensor(max(p, least), dtype=torch.float64, device=rng.device)
        self.target = target
        self.images = images
        self.least = least

    def update(self, real_sign: Tensor, seen: int) -> None:
        """Move p by the mean of sign(D(real)) over the last `seen` images."""
        up = torch.where(real_sign > self.target, 1.0, -1.0).to(self.p)
        self.p.add_(up * (seen / self.images)).clamp_(self.least, STRONGEST)

    def __call__(self, images: Tensor) -> Tensor:
        return self.pipeline(images, self.p, self.rng)


def diffaugment(images: Tensor, p: Tensor, rng: torch.Generator) -> Tensor:
    """Colour, translation and cutout, each with probability p."""
    for change in (colour, translate, cutout):
        chosen = _uniform(rng, len(images), 1) < p  # [N, 1]
        images = torch.where(chosen[:, :, None, None], change(images, _uniform(rng, len(images), 4)), images)
    return images


def ada(images: Tensor, p: Tensor, rng: torch.Generator) -> Tensor:
    """One affine map, then brightness, contrast, saturation and cutout; each change with probability p."""
    count = len(images)
    images = affine(images, affine_matrices(count, p, rng))

    def drawn(values: Tensor, neutral: float) -> Tensor:  # [N] -> [N, 1, 1, 1]
        values = torch.where(_uniform(rng, count) < p, values, torch.full_like(values, neutral))
        return values[:, None, None, None]

    # Brightness, contrast, saturation
    images = images + drawn(0.2 * _normal(rng, count), 0.0)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * drawn(torch.exp2(0.5 * _normal(rng, count)), 1.0)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * drawn(torch.exp2(_normal(rng, count)).clamp(max=3), 1.0)

    # Cutout, half as often
    chosen = _uniform(rng, count, 1) < p / 2
    return torch.where(chosen[:, :, None, None], cutout(images, _uniform(rng, count, 2), share=0.5), images)


PIPELINES = {"diffaugment": diffaugment, "ada": ada}


def affine_matrices(count: int, p: Tensor, rng: torch.Generator) -> Tensor:
    """Random 2x3 matrices for `affine`, [count, 2, 3]: scale, rotation, stretch and translation, each with p."""

    def drawn(values: Tensor, neutral: float) -> Tensor:
        return torch.where(_uniform(rng, count) < p, values, torch.full_like(values, neutral))

    scale = drawn(torch.exp2(0.2 * _normal(rng, count)), 1.0)
    stretch = drawn(torch.exp2(0.2 * _normal(rng, count)), 1.0)
    quarter_turns = drawn((_uniform(rng, count) * 4).floor() * (math.pi / 2), 0.0)
    # Rotation by any angle with 1 - sqrt(1 - p), as in ADA: an upright image stays as likely as the quarter turns
    turned = _uniform(rng, count) < 1 - (1 - p).sqrt()
    angle = torch.where(turned, (_uniform(rng, count) * 2 - 1) * math.pi, torch.zeros_like(scale))
    across = drawn((_uniform(rng, count) * 2 - 1) * 0.25, 0.0)  # in half widths
    down = drawn((_uniform(rng, count) * 2 - 1) * 0.25, 0.0)

    cos = (quarter_turns + angle).cos() * scale
    sin = (quarter_turns + angle).sin() * scale
    top = torch.stack([cos * stretch, -sin * stretch, across], dim=1)
    bottom = torch.stack([sin / stretch, cos / stretch, down], dim=1)
    return torch.stack([top, bottom], dim=1)


def affine(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample images [N, 3, R, R] at coordinates mapped by [N, 2, 3], bilinear, mirrored at the border."""
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def colour(x: Tensor, u: Tensor) -> Tensor:
    """Change brightness by up to 0.5, saturation 0 to 2, contrast 0.5 to 1.5; u [N, 4] uniform in [0, 1]."""
    brightness, saturation, contrast, _ = u[..., None, None, None].unbind(dim=1)
    x = x + (brightness - 0.5)
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * saturation * 2
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def translate(x: Tensor, u: Tensor, share: float = 0.125) -> Tensor:
    """Shift by up to an eighth of the size, both ways; black comes in from outside."""
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
    """Grey out a square of `share` of the side, centred at u [N, 2 or more] of the size."""
    size = x.shape[-1]
    line = torch.arange(size, device=x.device) / size
    rows = (line - u[:, :1]).abs() < share / 2  # [N, R]
    columns = (line - u[:, 1:2]).abs() < share / 2
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _uniform(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=rng, device=rng.device)


def _normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device)
