"""How good is a generator? Two samples of images compared in the features of a network that it was not trained with.

Frechet distance: Heusel et al. 2017, with SqueezeNet 1.1 (or VGG-19) in place of Inception. Precision and recall:
Kynkaanniemi et al. 2019. Perceptual path length: Karras et al. 2019. A judge is any network with
`embedding(images) -> [N, C]` (`training.features`).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from training.dataset import to_range

NEIGHBOURS = 3  # of precision and recall
LEAST_FACES = 2 * (NEIGHBOURS + 1)  # half of them must have so many neighbours, too


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mean - mean'|^2 + tr(C + C' - 2 (C C')^1/2) of two samples of features [N, C], in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    gap = np.square(a.mean(0) - b.mean(0)).sum()
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    # the trace of the root is the sum of the roots of the eigenvalues, which are real and not negative
    roots = np.sqrt(np.clip(np.linalg.eigvals(cov_a @ cov_b).real, 0, None)).sum()
    return float(gap + np.trace(cov_a) + np.trace(cov_b) - 2 * roots)


def halves_distance(features: Tensor, splits: int = 4, seed: int = 0) -> float:
    """Frechet distance between two random halves of a sample [N, C], the mean of some splits: the best to hope for."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(splits):
        rows = torch.randperm(len(features), generator=rng)
        a, b = features[rows[: len(rows) // 2]], features[rows[len(rows) // 2 :]]
        found.append(frechet_distance(a.numpy(), b.numpy()))
    return sum(found) / splits


def precision_recall(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Share of fakes inside the real manifold, and of reals inside the fake one; features [N, C].

    The manifold of a sample is the union of balls around its points, each out to the k-th neighbour in the sample.
    """

    def covered(points: Tensor, manifold: Tensor) -> float:
        radius = torch.cdist(manifold, manifold).kthvalue(k + 1, dim=1).values
        return float((torch.cdist(points, manifold) <= radius).any(dim=1).float().mean())

    return covered(fake, real), covered(real, fake)


def embed_faces(faces: Tensor, judge, device: torch.device | str = "cpu") -> Tensor:
    """Features [M, C] of uint8 faces [M, 3, R, R], on the CPU."""
    with torch.no_grad():
        return torch.cat([judge.embedding(to_range(f, device)).cpu() for f in faces.split(128)])


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, clamped and rounded as in a file."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def sample_images(generator, count: int, psi: float = 1.0, dtype: torch.dtype | None = None, seed: int = 0) -> Tensor:
    """`count` generated images, uint8 [count, 3, R, R], on the CPU, with the stored noise."""
    found = []
    with torch.no_grad():
        for z in generator.sample_z(count, seed).split(64):
            found.append(to_bytes(generator.synthesis(generator.mapping(z, psi), dtype=dtype)).cpu())
    return torch.cat(found)


def compare(real: Tensor, fake: Tensor) -> dict[str, float]:
    """{"frechet", "precision", "recall"} of features [M, C] of generated images against those of the real ones."""
    precision, recall = precision_recall(real, fake[: len(real)])
    return {
        "frechet": round(frechet_distance(real.numpy(), fake.numpy()), 1),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
    }


def evaluate(generator, faces: Tensor, judge, samples: int, psi: float = 1.0, dtype=None) -> dict[str, float]:
    """`compare` of `samples` generated images with the training faces, uint8 [M, 3, R, R]."""
    fake = sample_images(generator, samples, psi, dtype)
    return compare(embed_faces(faces, judge, generator.device), embed_faces(fake, judge, generator.device))


def blurred(faces: Tensor, sigma: float) -> Tensor:
    """Faces (uint8) behind a Gaussian blur of `sigma` px: what the Frechet distance of a known fault is."""
    size = 2 * round(4 * sigma) + 1
    return torch.cat([to_bytes(gaussian_blur(to_range(f), size, sigma)) for f in faces.split(128)])


def path_length(
    generator, features, count: int = 1000, space: str = "w", epsilon: float = 1e-3, seed: int = 0
) -> float:
    """Perceptual path length: how far the image moves, d(G(t), G(t + epsilon)) / epsilon^2, on random paths.

    Straight lines in "w", great circles in "z", t uniform along them; d is the `feature_distance` of two images; the
    mean without the lowest and the highest hundredth, as in the paper.
    """
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(2, count, generator.z_dim, generator=rng).to(generator.w_mean)
    t = torch.rand(count, 1, generator=rng).to(generator.w_mean)
    found = []
    with torch.no_grad():
        for rows in torch.arange(count).split(32):
            (a, b), at = z[:, rows], t[rows]
            if space == "w":
                w = [generator.mapping(x) for x in (a, b)]  # each [n, num_ws, w_dim]
                steps = [torch.lerp(*w, s[..., None]) for s in (at, at + epsilon)]
            else:
                steps = [generator.mapping(slerp(a, b, s)) for s in (at, at + epsilon)]
            images = generator.synthesis(torch.cat(steps))
            here, there = _flat(features(images)).chunk(2)  # each [n, D]
            found.append((here - there).square().sum(dim=1).cpu() / epsilon**2)
    lengths = torch.cat(found)
    low, high = lengths.quantile(0.01), lengths.quantile(0.99)
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The point at t [N, 1] of the great circle from a to b [N, C], both brought to length 1."""
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    aside = F.normalize(b - (a * b).sum(dim=1, keepdim=True) * a, dim=1)
    angle = t * (a * b).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    return a * angle.cos() + aside * angle.sin()


def nearest_faces(images: Tensor, faces: Tensor, features, k: int = 3, device="cpu") -> tuple[Tensor, Tensor]:
    """The k nearest of uint8 faces [M, 3, R, R], plain or mirrored, to uint8 images [N, 3, R, R].

    Returns (distances [N, k], rows [N, k]) by `feature_distance`, nearest first.
    """
    with torch.no_grad():
        ours = _flat(features(to_range(images, device))).cpu()  # [N, D]
        found = []
        for some in faces.split(64):
            both = [_flat(features(to_range(f, device))).cpu() for f in (some, some.flip(3))]  # each [m, D]
            found.append(torch.cdist(ours, torch.stack(both)).square().amin(dim=0))  # [N, m]
    distances, rows = torch.cat(found, dim=1).topk(k, dim=1, largest=False)
    return distances, rows


def _flat(taps: list[Tensor]) -> Tensor:
    """Feature maps as one vector for each image: squared distances of two are their `feature_distance`."""
    parts = [F.normalize(x.float(), dim=1).flatten(1) / (x[0, 0].numel() * len(taps)) ** 0.5 for x in taps]
    return torch.cat(parts, dim=1)
