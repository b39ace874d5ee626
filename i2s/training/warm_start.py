"""Phase 2 of a CPU run: the mapping network learns where the encoder put the faces.

After the auto-encoder's phase, W is full of real faces, but a random z lands nowhere near them. First the mapping
network is set by hand to the linear map that sends N(0, I) to the Gaussian with the codes' mean and covariance; then
it learns the rest from samples. Both happen in the plane before the last leaky ReLU (the P space of Zhu et al. 2020),
where the codes are closest to a Gaussian.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators import layers
from i2s.generators.stylegan2 import MappingNetwork


def before_activation(w: Tensor) -> Tensor:
    """Undo the last leaky ReLU: x of w = sqrt(2) leaky_relu(x)."""
    return torch.where(w < 0, w / layers.LRELU_SLOPE, w) / layers.LRELU_GAIN


class Coverage:
    """How far mapping(z) is from having the distribution of the encoder's codes [M, w_dim].

    Measured where every direction of the codes counts the same: whitened, but for those in which they hardly spread.
    """

    def __init__(self, codes: Tensor):
        self.codes = codes
        x = before_activation(codes)
        self.mean = x.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(x.T))
        self.values, self.vectors = values.clamp_min(0), vectors
        self.whiten = vectors / (self.values + 0.003 * self.values.max()).sqrt()
        self.whitened = (x - self.mean) @ self.whiten
        self.axes = torch.eye(codes.shape[1], device=codes.device)

    def __call__(self, mapping: MappingNetwork, count: int, rng: torch.Generator) -> Tensor:
        """Sliced distance between `count` random w and as many codes, along the axes and as many random directions."""
        normal = lambda *shape: torch.randn(shape, generator=rng, device=self.codes.device)  # noqa: E731
        rows = torch.randint(len(self.codes), (count,), generator=rng, device=self.codes.device)
        made = (before_activation(mapping.to_w(normal(count, mapping.z_dim))) - self.mean) @ self.whiten
        directions = torch.cat([self.axes, F.normalize(normal(*self.axes.shape), dim=0)], dim=1)
        return sliced_distance(made, self.whitened[rows], directions)


def fit_mapping(mapping: MappingNetwork, codes: Tensor, steps: int, rng: torch.Generator, report=print) -> None:
    """Give mapping(z), z ~ N(0, I), the distribution of `codes` [M, w_dim]; changes the network in place."""
    coverage = Coverage(codes)
    set_linear(mapping, coverage.mean, (coverage.vectors * coverage.values.sqrt()).T, rng)
    follow(mapping, coverage, steps, rng, report)


def follow(mapping: MappingNetwork, coverage: Coverage, steps: int, rng: torch.Generator, report, rate=0.02) -> None:
    """Move mapping(z) to where the codes are now, from where it is; changes the network in place."""
    adam = torch.optim.Adam(mapping.parameters(), lr=rate, betas=(0.9, 0.99))
    for step in range(steps):
        adam.param_groups[0]["lr"] = rate * (1 - step / steps)
        loss = coverage(mapping, 512, rng)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        if step % 250 == 0:
            report(f"mapping {step}/{steps}: sliced distance {loss.item():.4f}")


def set_linear(
    mapping: MappingNetwork, mean: Tensor, root: Tensor, rng: torch.Generator, shift: float = 2.0
) -> None:
    """Set the layers so that mapping(z) = activation(mean + z @ root), but for |z| beyond `shift`.

    The first layer adds `shift`, so that nearly all values are on the linear side of the leaky ReLUs; the layers
    between pass on, with a little noise on the weights that leaves room to bend; the last is the linear map that
    makes of what arrives, noise and all, the best approximation of mean + z @ root.
    """
    *body, last = mapping.layers
    with torch.no_grad():
        for number, layer in enumerate(body):
            size = layer.weight.shape[0]
            noise = torch.randn(size, size, generator=rng, device=rng.device)
            weight = torch.eye(size, device=rng.device) + 0.1 * noise / size**0.5
            bias = torch.full([size], shift if number == 0 else 0.0)
            _set(layer, weight / layers.LRELU_GAIN, bias / layers.LRELU_GAIN)
        z = layers.normalize_2nd_moment(torch.randn(8192, mapping.z_dim, generator=rng, device=rng.device))
        x = z
        for layer in body:
            x = layers.leaky_relu(layer(x))
        target = z @ root
        matrix = torch.linalg.lstsq(x - x.mean(0), target - target.mean(0)).solution  # [w_dim, w_dim]
        _set(last, matrix.T, mean + target.mean(0) - x.mean(0) @ matrix)


def _set(layer: layers.EqualizedLinear, weight: Tensor, bias: Tensor) -> None:
    """Store the effective weight and bias of an equalised layer."""
    layer.weight.copy_(weight / layer.weight_gain)
    layer.bias.copy_(bias / layer.lr_mul)


def sliced_distance(a: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    """Sliced Wasserstein distance, squared: mean squared gap of the sorted projections (Bonneel et al. 2015).

    a, b [N, C]; directions [C, D] of length 1. Zero just when the two samples look alike from every direction; unlike
    distances between points it does not fade in many dimensions.
    """
    return ((a @ directions).sort(dim=0).values - (b @ directions).sort(dim=0).values).square().mean()
