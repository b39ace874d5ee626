"""Metrics of a generator, in the features of SqueezeNet 1.1 or VGG-19 in place of Inception.

Frechet distance: Heusel et al. 2017. Precision and recall: Kynkaanniemi et al. 2019. Perceptual path length: Karras et
al. 2019.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators.base import Generator
from i2s.images import dequantize, gaussian_blur, quantize
from training.features import FeatureNet

NEIGHBOURS = 3  # of precision and recall
MIN_FACES = 2 * (NEIGHBOURS + 1)  # each half of the faces must have so many neighbours, too


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance |mean - mean'|^2 + tr(C + C' - 2 (C C')^1/2) of two samples [N, C], in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    gap = np.square(a.mean(0) - b.mean(0)).sum()
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    # the trace of the root is the sum of the roots of the eigenvalues, which are real and not negative
    roots = np.sqrt(np.clip(np.linalg.eigvals(cov_a @ cov_b).real, 0, None)).sum()
    return float(gap + np.trace(cov_a) + np.trace(cov_b) - 2 * roots)


def halves_distance(features: Tensor, splits: int = 4, seed: int = 0) -> float:
    """Frechet distance between random halves of a sample [N, C], mean of `splits`: the lowest that can be reached."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(splits):
        rows = torch.randperm(len(features), generator=rng)
        a, b = features[rows[: len(rows) // 2]], features[rows[len(rows) // 2 :]]
        found.append(frechet_distance(a.numpy(), b.numpy()))
    return sum(found) / splits


def precision_recall(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Precision and recall of features [N, C]: share of fakes in the real manifold, of reals in the fake one.

    The manifold of a sample is the union of balls around its points, each out to the k-th neighbour in the sample.
    """

    def covered(points: Tensor, manifold: Tensor) -> float:
        radius = torch.cdist(manifold, manifold).kthvalue(k + 1, dim=1).values
        return float((torch.cdist(points, manifold) <= radius).any(dim=1).float().mean())

    return covered(fake, real), covered(real, fake)


def embed_faces(faces: Tensor, feature_net: FeatureNet, device: torch.device | str = "cpu") -> Tensor:
    """Embed uint8 faces [M, 3, R, R]: [M, C], on the CPU."""
    with torch.no_grad():
        return torch.cat([feature_net.embedding(dequantize(f.to(device))).cpu() for f in faces.split(128)])


def sample_images(
    generator: Generator, count: int, psi: float = 1.0, dtype: torch.dtype | None = None, seed: int = 0
) -> Tensor:
    """Generate `count` images with the stored noise, uint8 [count, 3, R, R], on the CPU."""
    found = []
    with torch.no_grad():
        for z in generator.sample_z(count, seed).split(64):
            found.append(quantize(generator.synthesis(generator.mapping(z, psi), dtype=dtype)).cpu())
    return torch.cat(found)


def compare(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Frechet distance, precision and recall of features [M, C]: {"frechet", "precision", "recall"}."""
    precision, recall = precision_recall(real, fake[: len(real)])
    return {
        "frechet": round(frechet_distance(real.numpy(), fake.numpy()), 1),
        "precision": round(precision, 4),
        "recall": round(recall, 4),
    }


def evaluate(
    generator: Generator,
    real: Tensor,
    feature_net: FeatureNet,
    samples: int,
    psi: float = 1.0,
    dtype: torch.dtype | None = None,
) -> dict[str, float]:
    """`compare` `samples` generated images with the training faces, given as features [M, C]."""
    fake = sample_images(generator, samples, psi, dtype)
    return compare(real, embed_faces(fake, feature_net, generator.device))


def blurred(faces: Tensor, sigma: float) -> Tensor:
    """Blur uint8 faces by a Gaussian of `sigma` px: a known fault, as a scale for the Frechet distance."""
    radius = round(4 * sigma)
    return torch.cat([quantize(gaussian_blur(dequantize(f), sigma, radius)) for f in faces.split(128)])


def path_length(
    generator: Generator,
    feature_net: FeatureNet,
    count: int = 1000,
    space: str = "w",
    epsilon: float = 1e-3,
    seed: int = 0,
) -> float:
    """Perceptual path length: mean of d(G(t), G(t + epsilon)) / epsilon^2 on random paths (StyleGAN, 4.1).

    Args:
        generator: The generator.
        feature_net: d is its `feature_distance` of the two images.
        count: Number of paths.
        space: "w" (straight lines) or "z" (great circles).
        epsilon: Step along the path; t is uniform in 0..1.
        seed: Of paths and t.

    Returns:
        The mean without the lowest and the highest hundredth.
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
            here, there = _flat(feature_net(images)).chunk(2)  # each [n, D]
            found.append((here - there).square().sum(dim=1).cpu() / epsilon**2)
    lengths = torch.cat(found)
    low, high = lengths.quantile(0.01), lengths.quantile(0.99)
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation at t [N, 1] between a and b [N, C], both scaled to length 1."""
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    aside = F.normalize(b - (a * b).sum(dim=1, keepdim=True) * a, dim=1)
    angle = t * (a * b).sum(dim=1, keepdim=True).clamp(-1, 1).acos()
    return a * angle.cos() + aside * angle.sin()


def nearest_faces(
    images: Tensor, faces: Tensor, feature_net: FeatureNet, k: int = 3, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Find the k nearest of uint8 faces [M, 3, R, R], plain or mirrored, to uint8 images [N, 3, R, R].

    Returns:
        (distances [N, k], rows [N, k]) by `feature_distance`, nearest first.
    """
    with torch.no_grad():
        ours = _flat(feature_net(dequantize(images.to(device)))).cpu()  # [N, D]
        found = []
        for some in faces.split(64):
            both = [_flat(feature_net(dequantize(f.to(device)))).cpu() for f in (some, some.flip(3))]  # each [m, D]
            found.append(torch.cdist(ours, torch.stack(both)).square().amin(dim=0))  # [N, m]
    distances, rows = torch.cat(found, dim=1).topk(k, dim=1, largest=False)
    return distances, rows


def _flat(taps: list[Tensor]) -> Tensor:
    """Flatten feature maps to one vector for each image, whose squared distances are `feature_distance`."""
    parts = [F.normalize(x.float(), dim=1).flatten(1) / (x[0, 0].numel() * len(taps)) ** 0.5 for x in taps]
    return torch.cat(parts, dim=1)
