"""Terms that look at the code and at the noise maps, not at the image: they keep a search where edits work.

A code, w_plus, is [N, num_ws, w_dim]. A search in W has equal rows, and the means below are then those of one row.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.errors import LatentError
from i2s.latents import LatentStatistics
from i2s.losses.base import check_weight


class PNorm:
    """How far a code is from where the generator's own codes are: the mean of v^2, reported as "p_norm".

    v is the code in P space, whitened (`LatentStatistics.whiten`): near N(0, I) for codes of random z, so that the
    unweighted value is about 1 there and grows with the square of the distance. It is the regulariser P_N of
    II2S for equal rows, and P_N+ for a row per layer (Zhu et al. 2020, arXiv 2012.09036). Whitening divides by the
    standard deviation: dividing by singular values instead, larger by sqrt(number of samples), would make it inert.
    statistics: `i2s.latents.latent_statistics(generator)`. LatentError when they are of another w_dim than the code.
    """

    def __init__(self, statistics: LatentStatistics, weight: float = 0.001):
        self.statistics, self.weight = statistics, check_weight("p_norm weight", weight)

    def latent(self, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]:
        _check_width(w_plus, self.statistics.mean)
        v = self.statistics.to(w_plus).whiten(w_plus)  # [N, num_ws, w_dim]
        return {"p_norm": self.weight * v.square().mean(dim=(1, 2))}


class LatentDistance:
    """Mean squared distance of the code's rows from the mean latent, reported as "latent_distance".

    The plainest way to keep a code near the average face: it draws all directions of W in alike, where `PNorm` draws
    each by how little the generator's own codes spread in it.
    w_mean: [w_dim], `generator.w_mean`. LatentError when it is of another w_dim than the code.
    """

    def __init__(self, w_mean: Tensor, weight: float = 1.0):
        self.w_mean, self.weight = w_mean.detach(), check_weight("latent_distance weight", weight)

    def latent(self, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]:
        _check_width(w_plus, self.w_mean)
        return {"latent_distance": self.weight * (w_plus - self.w_mean.to(w_plus)).square().mean(dim=(1, 2))}


class NoiseRegularization:
    """How much noise maps resemble their own neighbourhood, reported as "noise".

    Optimised noise maps would take over the picture; a map that is still noise has no correlation between
    neighbours at any size. The appendix of StyleGAN2 (Karras et al. 2020): each map is halved in size step by step down
    to 8 px, by averages of 2 x 2 times 2, which keeps the variance of white noise; at every size the mean products
    with the map moved by one pixel, to the side and down, are squared; all of it is added up. Weight there: 1e5.
    The value for each photo is that of its own maps; without maps it is 0.
    """

    SMALLEST = 8

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
        """One map, [N, 1, H, W] -> [N]."""
        total = self._neighbours(x)
        while min(x.shape[2:]) > self.SMALLEST:
            x = 2 * F.avg_pool2d(x, 2)
            total = total + self._neighbours(x)
        return total

    @staticmethod
    def _neighbours(x: Tensor) -> Tensor:
        aside, below = (torch.roll(x, 1, dims=dim) for dim in (3, 2))
        return sum((x * moved).mean(dim=(1, 2, 3)).square() for moved in (aside, below))


def _check_width(w_plus: Tensor, own: Tensor) -> None:
    if w_plus.shape[-1:] != own.shape:
        raise LatentError(
            f"The code has width {w_plus.shape[-1]}, but the loss was made for width {own.shape[-1]}: "
            "make the term from the generator that is used."
        )
