"""Regularisers of the code and of the noise maps: they keep an embedding where edits work.

A code, w_plus, is [N, num_ws, w_dim]. In W its rows are equal, and the means below are then those of one row.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.errors import LatentError
from i2s.latents import LatentStatistics
from i2s.losses.base import check_weight


class PNorm:
    """Distance of a code from those of the generator's own images, the mean of v^2, reported as "p_norm".

    v is the code in P space, whitened (`LatentStatistics.whiten`): near N(0, I) for codes of random z, so that the
    unweighted value is about 1 there. It is the regulariser P_N of II2S for equal rows, and P_N+ for a row per layer
    (Zhu et al. 2020, arXiv 2012.09036). Whitening divides by the standard deviation: dividing by singular values
    instead, larger by sqrt(number of samples), would make it inert.

    Args:
        statistics: `i2s.latents.latent_statistics(generator)`.
        weight: Its lambda.
    """

    def __init__(self, statistics: LatentStatistics, weight: float = 0.001):
        self.statistics = statistics
        self.weight = check_weight("p_norm weight", weight)

    def latent(self, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]:
        _check_width(w_plus, self.statistics.mean)
        v = self.statistics.to(w_plus).whiten(w_plus)  # [N, num_ws, w_dim]
        return {"p_norm": self.weight * v.square().mean(dim=(1, 2))}


class NoiseRegularization:
    """Autocorrelation of the noise maps, reported as "noise" (Karras et al. 2020, StyleGAN2, appendix D).

    Optimised noise maps would take over the image; a map that is still noise has no correlation between neighbours at
    any size. Each map is halved in size step by step down to 8 px, by averages of 2 x 2 times 2, which keeps the
    variance of white noise; at every size the mean products with the map moved by one pixel, to the side and down, are
    squared; all of it is added up. The value for each photo is that of its own maps; without maps it is 0.

    Args:
        weight: Its lambda; 1e5 in the paper.
    """

    SMALLEST = 8  # px of the smallest map

    def __init__(self, weight: float = 1e5):
        self.weight = check_weight("noise weight", weight)

    def latent(self, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]:
        total = w_plus.new_zeros(len(w_plus))
        for given in noise:
            x = given[None, None] if given.ndim == 2 else given  # [N|1, 1, H, W]
            if x.ndim != 4 or x.shape[1] != 1 or x.shape[0] not in (1, len(w_plus)):
                raise LatentError(
                    f"A noise map is {list(given.shape)}, but {len(w_plus)} codes need [{len(w_plus)}, 1, H, W], "
                    "[1, 1, H, W] or [H, W]."
                )
            total = total + self._map(x)
        return {"noise": self.weight * total}

    def _map(self, x: Tensor) -> Tensor:
        """Sum over the sizes of one map, [N, 1, H, W] -> [N]."""
        total = self._neighbours(x)
        while min(x.shape[2:]) > self.SMALLEST:
            x = 2 * F.avg_pool2d(x, 2)
            total = total + self._neighbours(x)
        return total

    @staticmethod
    def _neighbours(x: Tensor) -> Tensor:
        """Squared autocorrelation at a lag of one pixel, [N, 1, H, W] -> [N]."""
        aside, below = (torch.roll(x, 1, dims=dim) for dim in (3, 2))
        return sum((x * moved).mean(dim=(1, 2, 3)).square() for moved in (aside, below))


def _check_width(w_plus: Tensor, own: Tensor) -> None:
    if w_plus.shape[-1:] != own.shape:
        raise LatentError(
            f"The code has width {w_plus.shape[-1]}, but the loss was made for width {own.shape[-1]}: "
            "make the term from the generator that is used."
        )
