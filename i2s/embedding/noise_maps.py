"""Noise maps as variables: each photo has its own, [N, 1, H, W] for each noise input of the generator."""

import torch
from torch import Tensor

from i2s.generators.base import Generator


def shows_noise(generator: Generator) -> bool:
    """Whether noise maps change the image at all: there are some, and not every strength is 0."""
    strengths = [p for name, p in generator.named_parameters() if name.endswith("noise_strength")]
    return bool(generator.noise_maps()) and any(strength.any() for strength in strengths)


def stored_maps(generator: Generator, count: int) -> list[Tensor]:
    """The generator's own maps, once for each photo."""
    return [noise.expand(count, 1, *noise.shape[-2:]).clone() for noise in generator.noise_maps()]


def fresh_maps(generator: Generator, count: int, seed: int) -> list[Tensor]:
    """Maps of N(0, 1), the same for every photo, so that none depends on how many others come with it."""
    rng = torch.Generator().manual_seed(seed)
    maps = [torch.randn(1, 1, *noise.shape[-2:], generator=rng).to(noise) for noise in generator.noise_maps()]
    return [noise.expand(count, -1, -1, -1).clone() for noise in maps]


@torch.no_grad()
def normalize(maps: list[Tensor]) -> None:
    """Bring each map back to mean 0 and deviation 1, in place (StyleGAN2's projector, after each update)."""
    for noise in maps:
        noise -= noise.mean(dim=(1, 2, 3), keepdim=True)
        noise *= noise.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
