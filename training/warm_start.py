"""Warm start: fit the mapping network to the codes that an encoder gives the faces.

After auto-encoding, W holds real faces, but a random z lands nowhere near them. First the mapping network is set to
the linear map that sends N(0, I) to the Gaussian with the codes' mean and covariance; then it learns the rest from
samples. Both happen before the last leaky ReLU, in P space (Zhu et al. 2020), where the codes are closest to a
Gaussian.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators import layers
from i2s.generators.stylegan2 import MappingNetwork
from i2s.latents import to_p

BATCH = 512


def before_activation(w: Tensor) -> Tensor:
    """Invert the last activation: x of w = sqrt(2) leaky_relu(x)."""
    return to_p(w) / layers.LRELU_GAIN


def whitening(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [C] and matrix [C, C] that whiten codes [M, C]: (codes - mean) @ matrix has variance 1 along each axis.

    Directions with less than 0.003 of the largest variance stay smaller, since what is there is noise.
    """
    mean, values, vectors = _principal_components(codes)
    matrix = vectors / (values + 0.003 * values.max()).sqrt()
    return mean.to(codes), matrix.to(codes)


def _principal_components(codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C], variances [C] and directions (columns of [C, C]) of codes [M, C], in float64."""
    codes = codes.double()
    values, vectors = torch.linalg.eigh(torch.cov(codes.T))
    return codes.mean(0), values.clamp_min(0), vectors


def sliced_distance(a: Tensor, b: Tensor, directions: Tensor) -> Tensor:
    """Squared sliced Wasserstein distance: mean squared gap of the sorted projections (Bonneel et al. 2015).

    Zero only if the two samples look alike from every direction; unlike distances between points it does not fade in
    many dimensions.

    Args:
        a: Sample [N, C].
        b: Sample [N, C].
        directions: Unit vectors [C, D].
    """
    return ((a @ directions).sort(dim=0).values - (b @ directions).sort(dim=0).values).square().mean()


def fit_mapping(
    mapping: MappingNetwork,
    codes: Tensor,
    steps: int,
    rng: torch.Generator,
    report: Callable[[str], None] = print,
) -> None:
    """Fit mapping(z), z ~ N(0, I), to the distribution of codes [M, w_dim], in place."""
    codes = before_activation(codes)
    mean, values, vectors = _principal_components(codes)
    set_linear(mapping, mean.to(codes), (vectors * values.sqrt()).T.to(codes), rng)

    # Learn from samples; whitened, so that every direction of the codes counts
    mean, matrix = whitening(codes)
    whitened = (codes - mean) @ matrix
    axes = torch.eye(codes.shape[1], device=codes.device)
    adam = torch.optim.Adam(mapping.parameters(), lr=0.02, betas=(0.9, 0.99))
    for step in range(steps):
        adam.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        rows = torch.randint(len(codes), (BATCH,), generator=rng, device=codes.device)
        z = torch.randn(BATCH, mapping.z_dim, generator=rng, device=codes.device)
        made = (before_activation(mapping.to_w(z)) - mean) @ matrix
        random = torch.randn(axes.shape, generator=rng, device=codes.device)
        loss = sliced_distance(made, whitened[rows], torch.cat([axes, F.normalize(random, dim=0)], dim=1))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        if step % 250 == 0:
            report(f"mapping {step}/{steps}: sliced distance {loss.item():.4f}")
    adam.zero_grad(set_to_none=True)


def set_linear(mapping: MappingNetwork, mean: Tensor, root: Tensor, rng: torch.Generator, shift: float = 2.0) -> None:
    """Set the layers so that mapping(z) = activation(mean + z @ root), except for |z| beyond `shift`.

    The first layer adds `shift`, so that nearly all values are on the linear side of the leaky ReLUs; the layers
    between pass on, with a little noise on the weights that leaves room to bend; the last is the least-squares
    approximation of mean + z @ root from what arrives.
    """
    *body, last = mapping.layers
    with torch.no_grad():
        for number, layer in enumerate(body):
            size = layer.weight.shape[0]
            noise = torch.randn(size, size, generator=rng, device=rng.device)
            weight = torch.eye(size, device=rng.device) + 0.1 * noise / size**0.5
            bias = torch.full([size], shift if number == 0 else 0.0)
            _set_effective(layer, weight / layers.LRELU_GAIN, bias / layers.LRELU_GAIN)
        z = layers.normalize_2nd_moment(torch.randn(8192, mapping.z_dim, generator=rng, device=rng.device))
        x = z
        for layer in body:
            x = layers.leaky_relu(layer(x))
        target = z @ root
        matrix = torch.linalg.lstsq(x - x.mean(0), target - target.mean(0)).solution  # [w_dim, w_dim]
        _set_effective(last, matrix.T, mean + target.mean(0) - x.mean(0) @ matrix)


def _set_effective(layer: layers.EqualizedLinear, weight: Tensor, bias: Tensor) -> None:
    """Store the effective weight and bias of an equalised layer."""
    layer.weight.copy_(weight / layer.weight_gain)
    layer.bias.copy_(bias / layer.lr_mul)


@torch.no_grad()
def scale_latent_std(mapping: MappingNetwork, factor: float, count: int = 20_000, seed: int = 4) -> None:
    """Scale the standard deviation of random codes before the last activation, about their mean, in place.

    A little above 1 makes up for what a fitted mapping network loses at the edges of the codes.
    """
    last = mapping.layers[-1]
    z = torch.randn(count, mapping.z_dim, generator=torch.Generator().manual_seed(seed)).to(last.weight.device)
    mean = before_activation(mapping.to_w(z)).mean(0)
    last.weight.mul_(factor)
    last.bias.mul_(factor).add_((1 - factor) * mean / last.lr_mul)
