"""The bank of codes: the newest code of every face, and what the adversarial phase draws from it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.generators import layers
from training.warm_start import before_activation, sliced_distance, whitening

SAMPLE = 1024  # codes of either side that `distance` compares
DIRECTIONS = 256  # random ones; the axes come on top


class CodeBank(nn.Module):
    """Codes w [2 M, w_dim] of M faces, plain and then mirrored, with their statistics before the last activation.

    All updates are in place, since captured CUDA graphs read the buffers.

    Args:
        faces: M.
        w_dim: Width of a code.
    """

    def __init__(self, faces: int, w_dim: int):
        super().__init__()
        self.register_buffer("codes", torch.zeros(2 * faces, w_dim))
        self.register_buffer("mean", torch.zeros(w_dim))
        self.register_buffer("whiten", torch.eye(w_dim))
        self.register_buffer("std", torch.tensor(0.3))  # moving average over coordinates and batches

    @torch.no_grad()
    def store(self, rows: Tensor, w: Tensor) -> None:
        """Store the codes w [N, w_dim] of a batch at rows [N]."""
        w = w.detach().float()
        self.codes[rows] = w
        self.std.lerp_(w.std(0, unbiased=False).mean(), 0.02)

    @torch.no_grad()
    def replace(self, codes: Tensor) -> None:
        """Replace all codes [2 M, w_dim], and compute the statistics."""
        self.codes.copy_(codes)
        self.std.copy_(codes.std(0).mean())
        self.update_statistics()

    @torch.no_grad()
    def update_statistics(self) -> None:
        """Compute mean and whitening of the codes as they are now."""
        mean, matrix = whitening(before_activation(self.codes))
        self.mean.copy_(mean)
        self.whiten.copy_(matrix)

    def perturb(self, w: Tensor, share: float, rng: torch.Generator) -> Tensor:
        """Add noise of `share` standard deviations, so that neighbours of a code draw the same face."""
        return w + torch.randn(w.shape, generator=rng, device=w.device) * (self.std * share)

    @torch.no_grad()
    def blend(self, count: int, rng: torch.Generator) -> Tensor:
        """Blends of two random codes, [count, w_dim], with the mean and the covariance of the bank.

        In P space, mean + (a - mean) cos t + (b - mean) sin t: for independent a and b of covariance C the
        covariance is C (cos^2 t + sin^2 t) = C at any angle t. t is uniform in 0..45 degrees.
        """
        a, b = (self._sample(2 * count, rng) - self.mean).chunk(2)
        angle = torch.rand(count, 1, generator=rng, device=a.device) * (math.pi / 4)
        return layers.leaky_relu(self.mean + a * angle.cos() + b * angle.sin())

    def distance(self, w: Tensor, rng: torch.Generator) -> Tensor:
        """Sliced Wasserstein distance of codes w [SAMPLE, w_dim] to the bank, whitened in P space; a scalar."""
        made = (before_activation(w) - self.mean) @ self.whiten
        codes = (self._sample(len(w), rng) - self.mean) @ self.whiten
        random = torch.randn(w.shape[1], DIRECTIONS, generator=rng, device=w.device)
        axes = torch.eye(w.shape[1], device=w.device)
        return sliced_distance(made, codes, torch.cat([F.normalize(random, dim=0), axes], dim=1))

    def _sample(self, count: int, rng: torch.Generator) -> Tensor:
        """Random codes of the bank in P space, [count, w_dim]."""
        rows = torch.randint(len(self.codes), (count,), generator=rng, device=self.codes.device)
        return before_activation(self.codes[rows])
