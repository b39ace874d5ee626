"""How good is a generator? Frechet distance, precision and recall, in SqueezeNet features.

Frechet distance: Heusel et al. 2017 with SqueezeNet 1.1 in place of Inception. Precision and recall:
Kynkaanniemi et al. 2019.
"""

import numpy as np
import torch
from torch import Tensor

from i2s.training.dataset import to_range
from i2s.training.features import SqueezeNet


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mean - mean'|^2 + tr(C + C' - 2 (C C')^1/2) of two samples of features [N, C], in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    gap = np.square(a.mean(0) - b.mean(0)).sum()
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    # the trace of the root is the sum of the roots of the eigenvalues, which are real and not negative
    roots = np.sqrt(np.clip(np.linalg.eigvals(cov_a @ cov_b).real, 0, None)).sum()
    return float(gap + np.trace(cov_a) + np.trace(cov_b) - 2 * roots)


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of fakes inside the real manifold, and of reals inside the fake one; features [N, C], balls to the k-th neighbour."""

    def covered(points: Tensor, manifold: Tensor) -> float:
        radius = torch.cdist(manifold, manifold).kthvalue(k + 1, dim=1).values
        return float((torch.cdist(points, manifold) <= radius).any(dim=1).float().mean())

    return covered(fake, real), covered(real, fake)


def embed_faces(faces: Tensor, features: SqueezeNet, device="cpu") -> Tensor:
    """Features [M, 512] of uint8 faces [M, 3, R, R]."""
    with torch.no_grad():
        return torch.cat([features.embedding(to_range(f, device)).cpu() for f in faces.split(128)])


def sample_features(generator, features: SqueezeNet, count: int, psi: float = 1.0, dtype=None, seed: int = 0) -> Tensor:
    """Features [count, 512] of generated images, clamped and rounded as in a file."""
    found = []
    with torch.no_grad():
        for z in generator.sample_z(count, seed).split(64):
            image = generator.synthesis(generator.mapping(z, psi), dtype=dtype).clamp(-1, 1)
            found.append(features.embedding(((image + 1) * 127.5).round() / 127.5 - 1).cpu())
    return torch.cat(found)


def evaluate(generator, faces: Tensor, features: SqueezeNet, samples: int, psi: float = 1.0, dtype=None) -> dict[str, float]:
    """{"frechet", "precision", "recall"} of `samples` images against the training faces."""
    real = embed_faces(faces, features, generator.device)
    fake = sample_features(generator, features, samples, psi, dtype)
    precision, recall = precision_recall(real, fake[: len(real)])
    return {
        "frechet": round(frechet_distance(real.numpy(), fake.numpy()), 1),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
    }
