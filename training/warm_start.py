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


def fit_mapping(mapping: MappingNetwork, codes: Tensor, steps: int, rng: torch.Generator, report=print) -> None:
    """Give mapping(z), z ~ N(0, I), the distribution of `codes` [M, w_dim]; changes the network in place."""
    codes = before_activation(codes)
    mean = codes.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(codes.T))
    values = values.clamp_min(0)
    set_linear(mapping, mean, (vectors * values.sqrt()).T, rng)
    whiten = vectors / (values + 0.003 * values.max()).sqrt()
    whitened = (codes - mean) @ whiten  # every direction of the codes counts
    axes = torch.eye(codes.shape[1], device=codes.device)
    adam = torch.optim.Adam(mapping.parameters(), lr=0.02, betas=(0.9, 0.99))
    normal = lambda *shape: torch.randn(shape, generator=rng, device=codes.device)  # noqa: E731
    for step in range(steps):
        adam.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        rows = torch.randint(len(codes), (512,), generator=rng, device=codes.device)
        made = (before_activation(mapping.to_w(normal(512, mapping.z_dim))) - mean) @ whiten
        directions = torch.cat([axes, F.normalize(normal(*axes.shape), dim=0)], dim=1)
        loss = sliced_distance(made, whitened[rows], directions)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        if step % 250 == 0:
            report(f"mapping {step}/{steps}: sliced distance {loss.item():.4f}")


@torch.no_grad()
def widen(mapping: MappingNetwork, spread: float, count: int = 20_000, seed: int = 4) -> None:
    """Draw the codes of random z `spread` times as far from their mean, before the last leaky ReLU; in place.

    1 changes nothing. A little above 1 makes up for what a fitted mapping network loses at the edges of the codes.
    """
    last = mapping.layers[-1]
    z = torch.randn(count, mapping.z_dim, generator=torch.Generator().manual_seed(seed)).to(last.weight.device)
    mean = before_activation(mapping.to_w(z)).mean(0)
    last.weight.mul_(spread)
    last.bias.mul_(spread).add_((1 - spread) * mean / last.lr_mul)


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
