"""PCA statistics of W in the P space of II2S (Zhu et al. 2020, "Improved StyleGAN Embedding", arXiv 2012.09036).

The mapping network ends in a leaky ReLU of slope 0.2. A leaky ReLU of slope 5 inverts it and gives the P space, in
which the codes are nearly normally distributed.
"""

import operator
import threading
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from i2s.device import in_float64
from i2s.files import digest

FLOOR = 0.002  # of the largest standard deviation, in whitening
KEPT = 8  # statistics that are remembered; of W in 512 dimensions they take 1 MB each
_known: "dict[tuple, LatentStatistics]" = {}  # not in the generator, which another thread may be copying
_lock = threading.Lock()


@dataclass(frozen=True)
class LatentStatistics:
    """Mean and principal components of W in P space."""

    mean: Tensor  # [w_dim]
    components: Tensor  # [w_dim, w_dim], orthonormal rows, the largest spread first
    std: Tensor  # [w_dim], the standard deviation along each component

    def whiten(self, w: Tensor) -> Tensor:
        """Whiten codes w [..., w_dim]: v = (x - mean) C^T / std, x in P space; near N(0, I) for codes of random z.

        A component counts as at least `FLOOR` of the largest: along some, random codes hardly differ, and there a step
        that cannot be seen in the image would outweigh all others.
        """
        return (to_p(w) - self.mean) @ self.components.T / self.std.clamp_min(FLOOR * self.std.max())

    def to(self, like: Tensor) -> "LatentStatistics":
        """Move to the device and the precision of a tensor."""
        return LatentStatistics(self.mean.to(like), self.components.to(like), self.std.to(like))


def to_p(w: Tensor) -> Tensor:
    """Map W to P: x = leaky ReLU of slope 5 (w)."""
    return torch.where(w < 0, 5 * w, w)


def latent_statistics(generator: nn.Module, count: int = 100_000, seed: int = 0) -> LatentStatistics:
    """Statistics of a generator's W: those of its file, else of random codes.

    What is computed is remembered for this mapping network and its copies. std is at least a hundred thousandth of its
    largest value, so that whitening never divides by zero.

    Args:
        generator: A `Generator`.
        count: Number of random codes.
        seed: Of the random codes.

    Returns:
        Statistics on the generator's device.
    """
    if generator.latents is not None:
        return generator.latents.to(generator.w_mean)
    count, seed = operator.index(count), operator.index(seed)  # numbers of NumPy
    kind = type(generator).__name__, str(generator.w_mean.device)
    key = (count, seed, *kind, digest(generator.mapping.state_dict().values()))
    found = _known.get(key)
    if found is None:
        found = _compute(generator, count, seed)
        with _lock:
            _known[key] = found
            while len(_known) > KEPT:
                del _known[next(iter(_known))]
    return found.to(generator.w_mean)


@torch.inference_mode(False)  # whatever it is outside: the statistics take part in gradients later
def _compute(generator: nn.Module, count: int, seed: int) -> LatentStatistics:
    with torch.no_grad():
        z = generator.sample_z(count, seed)
        # in float64: a covariance is a small difference of large sums
        x = torch.cat([in_float64(to_p(generator.mapping(some)[:, 0])) for some in z.split(10_000)])  # [count, w_dim]
        variance, vectors = torch.linalg.eigh(torch.cov(x.T))  # ascending
    std = variance.clamp_min(0).sqrt().flip(0)
    std = std.clamp_min(1e-5 * float(std[0]))
    return LatentStatistics(x.mean(0), vectors.T.flip(0), std).to(generator.w_mean)
