"""PCA statistics of W in the P space of II2S (Zhu et al. 2020, "Improved StyleGAN Embedding", arXiv 2012.09036).

The mapping network ends in a leaky ReLU of slope 0.2. A leaky ReLU of slope 5 inverts it and gives the P space, in
which the codes are nearly normally distributed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from i2s.files import digest


@dataclass(frozen=True)
class LatentStatistics:
    """Mean and principal components of W in P space."""

    mean: Tensor  # [w_dim]
    components: Tensor  # [w_dim, w_dim], orthonormal rows, the largest spread first
    std: Tensor  # [w_dim], the standard deviation along each component

    def whiten(self, w: Tensor) -> Tensor:
        """Whiten codes w [..., w_dim]: v = (x - mean) C^T / std, x in P space; near N(0, I) for codes of random z."""
        return (to_p(w) - self.mean) @ self.components.T / self.std

    def to(self, like: Tensor) -> "LatentStatistics":
        """Move to the device and the precision of a tensor."""
        return LatentStatistics(self.mean.to(like), self.components.to(like), self.std.to(like))


def to_p(w: Tensor) -> Tensor:
    """Map W to P: x = leaky ReLU of slope 5 (w)."""
    return torch.where(w < 0, 5 * w, w)


def latent_statistics(generator: nn.Module, count: int = 100_000, seed: int = 0) -> LatentStatistics:
    """Statistics of a generator's W: those of its file, else of random codes.

    What is computed is cached in the generator until its mapping network changes. std is at least a hundred thousandth
    of its largest value, so that whitening never divides by zero.

    Args:
        generator: A `Generator`.
        count: Number of random codes.
        seed: Of the random codes.

    Returns:
        Statistics on the generator's device.
    """
    if generator.latents is not None:
        return generator.latents.to(generator.w_mean)
    key = count, seed, digest(generator.mapping.state_dict().values())
    known = getattr(generator, "_statistics", None)
    if known is None or known[0] != key:
        known = generator._statistics = key, _compute(generator, count, seed)
    return known[1].to(generator.w_mean)


def _compute(generator: nn.Module, count: int, seed: int) -> LatentStatistics:
    with torch.no_grad():
        z = generator.sample_z(count, seed)
        # in float64: a covariance is a small difference of large sums
        x = torch.cat([to_p(generator.mapping(some)[:, 0]).double() for some in z.split(10_000)])  # [count, w_dim]
        variance, vectors = torch.linalg.eigh(torch.cov(x.T))  # ascending
    std = variance.clamp_min(0).sqrt().flip(0)
    std = std.clamp_min(1e-5 * float(std[0]))
    return LatentStatistics(x.mean(0), vectors.T.flip(0), std).to(generator.w_mean)
