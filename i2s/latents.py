"""Where in W are the faces? The principal components of the latent space, in the plane where it is almost a Gaussian.

The mapping network ends in a leaky ReLU of slope 0.2, which folds W. Undone by one of slope 5 it gives the P space of
II2S (Zhu et al., "Improved StyleGAN Embedding: Where are the Good Latents?", 2020), in which w is nearly normal.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.files import digest


@dataclass(frozen=True)
class LatentStatistics:
    """Mean and principal components of W in P space.

    mean [w_dim]; components [w_dim, w_dim], orthonormal rows, the direction of the largest spread first;
    std [w_dim]: the standard deviation along each.
    """

    mean: Tensor
    components: Tensor
    std: Tensor

    def whiten(self, w: Tensor) -> Tensor:
        """v = (x - mean) C^T / std of codes w [..., w_dim], x in P space: near N(0, I) for codes of random z (II2S)."""
        return (to_p(w) - self.mean) @ self.components.T / self.std

    def unwhiten(self, v: Tensor) -> Tensor:
        """The code w [..., w_dim] of v: inverse of `whiten`."""
        return from_p((v * self.std) @ self.components + self.mean)

    def to(self, like: Tensor) -> "LatentStatistics":
        """The same on the device and in the precision of a tensor."""
        return LatentStatistics(self.mean.to(like), self.components.to(like), self.std.to(like))


def to_p(w: Tensor) -> Tensor:
    """W to P: x = leaky ReLU of slope 5 (w)."""
    return torch.where(w < 0, 5 * w, w)


def from_p(x: Tensor) -> Tensor:
    """P to W: w = leaky ReLU of slope 0.2 (x)."""
    return F.leaky_relu(x, 0.2)


def latent_statistics(generator, count: int = 100_000, seed: int = 0) -> LatentStatistics:
    """The statistics that the generator's file holds, else those of `count` random codes; on the generator's device.

    At most the directions in which the codes spread can be told apart: std is at least a hundred thousandth of the
    largest, so that whitening never divides by zero. What was computed is kept with the generator, for as long as its
    mapping network is what it was.
    """
    if generator.latents is not None:
        return generator.latents.to(generator.w_mean)
    key = count, seed, digest(generator.mapping.state_dict().values())
    known = getattr(generator, "_statistics", None)
    if known is None or known[0] != key:
        known = generator._statistics = key, _computed(generator, count, seed)
    return known[1].to(generator.w_mean)


def _computed(generator, count: int, seed: int) -> LatentStatistics:
    with torch.no_grad():
        z = generator.sample_z(count, seed)
        # in float64: a covariance is a small difference of large sums
        x = torch.cat([to_p(generator.mapping(some)[:, 0]).double() for some in z.split(10_000)])  # [count, w_dim]
        variance, vectors = torch.linalg.eigh(torch.cov(x.T))  # ascending
    std = variance.clamp_min(0).sqrt().flip(0)
    std = std.clamp_min(1e-5 * float(std[0]))
    return LatentStatistics(x.mean(0), vectors.T.flip(0), std).to(generator.w_mean)
