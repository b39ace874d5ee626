"""Block-diagonal Gauss-Newton preconditioner for L-BFGS in W+.

A code acts through styles alone, s = A w + b in each layer, and A is known. How much each style matters is estimated by
its gradients: for random pairs of codes, the gradient of the distance of their images. So the Hessian of a row of W+ is
about

    C = sum over its layers of A^T diag(E[(d distance / d s)^2]) A

which takes a few images only, as one number for each style is needed, and not the dim^2 of a full matrix. It depends on
the generator and on the loss, not on the photos.
"""

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn

from i2s.device import in_float64
from i2s.embedding.optim import loss_scale
from i2s.generators.base import Generator
from i2s.losses import WeightedSum

PSI = 0.5  # truncation: codes as they are near the end of an optimisation, not at the rim of W


def gauss_newton_preconditioner(
    generator: Generator, loss: WeightedSum, count: int = 16, damping: float = 0.02, seed: int = 0
) -> Tensor | None:
    """Approximate the inverse of the Hessian of a loss in W+, but for its scale.

    Args:
        generator: The generator.
        loss: The loss; its masks and degradations are left out, as they are the photos' own.
        count: Images that it is estimated from.
        damping: Added to the eigenvalues, as a share of their mean, so that directions of which nothing is seen do not
            run away.
        seed: Of the random codes.

    Returns:
        [num_ws, w_dim, w_dim], with diagonal entries of about 1; None if the layers have no `affine`.
    """
    C = gauss_newton_blocks(generator, loss, count, seed)
    if C is None:
        return None
    values, vectors = torch.linalg.eigh(in_float64(C))  # [num_ws, w_dim], [num_ws, w_dim, w_dim]
    values = values.clamp_min(0)
    inverse = vectors * (1 / (values + damping * values.mean()))[:, None] @ vectors.mT
    return (inverse / inverse.diagonal(dim1=1, dim2=2).mean()).to(generator.w_mean)


def gauss_newton_blocks(
    generator: Generator, loss: WeightedSum, count: int, seed: int, batch: int = 4
) -> Tensor | None:
    """Estimate C of each row, [num_ws, w_dim, w_dim]; None if the layers have no `affine`."""
    loss = WeightedSum(*map(_bare, loss.image_parts))
    scale = loss_scale(generator)
    synthesis = _own_modules(generator.synthesis)
    affines = [module for name, module in synthesis.named_modules() if name.endswith("affine")]
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = inputs[0], output

    C = generator.w_mean.new_zeros(generator.num_ws, generator.w_dim, generator.w_dim)
    for module in affines:
        module.register_forward_hook(keep)
    for start in range(0, count, batch):
        # Distances between images of random codes
        w_plus, others = _random_codes(generator, 2 * batch, seed + start).split(batch)
        with torch.no_grad():
            target = synthesis(others)
        seen.clear()
        images = synthesis(w_plus.requires_grad_())
        if not seen:
            return None
        # each by itself: without their masks two terms may have one name
        terms = [value for term in loss.image_parts for value in term(images, term.prepare(target)).values()]
        distance = sum(terms).sqrt().sum() * scale

        # Their gradients with respect to the styles, brought back to w
        styles = [style for _, style in seen.values()]
        for (module, (w, _)), gradient in zip(seen.items(), torch.autograd.grad(distance, styles)):
            A = module.weight * module.weight_gain  # [styles, w_dim]
            C[_row(w, w_plus)] += A.T @ ((gradient / scale).square().mean(0)[:, None] * A) * (batch / count)
    return C


def _own_modules(network: nn.Module) -> nn.Module:
    """Copy the modules of a network, which then share its weights: hooks on them are seen by nobody else."""
    shared = itertools.chain(network.parameters(), network.buffers())
    memo = {id(tensor): tensor for tensor in shared}
    memo |= {id(kept): kept for module in network.modules() if (kept := getattr(module, "_frozen", None)) is not None}
    return copy.deepcopy(network, memo)


def _random_codes(generator: Generator, count: int, seed: int) -> Tensor:
    """Draw codes [count, num_ws, w_dim] of W+, each row of another z."""
    z = generator.sample_z(count * generator.num_ws, seed)
    with torch.no_grad():
        w = torch.cat([generator.mapping(some, PSI)[:, 0] for some in z.split(1000)])
    return w.view(count, generator.num_ws, generator.w_dim)


def _bare(term: Any) -> Any:
    """Return a term without its masks and degradations."""
    while hasattr(term, "term"):
        term = term.term
    return term


def _row(w: Tensor, w_plus: Tensor) -> int:
    """Return which row of the codes a layer was given."""
    return int((w_plus - w[:, None]).abs().amax(dim=(0, 2)).argmin())
