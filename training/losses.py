"""What the two sides of the game minimise.

Sources: Goodfellow et al. 2014 (non-saturating logistic loss), Mescheder et al. 2018 (R1),
Karras et al. 2020 (path length).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from training.features import feature_distance


def generator_loss(fake_score: Tensor) -> Tensor:
    """-log sigmoid(D(fake)): make the discriminator call the generated images real."""
    return F.softplus(-fake_score).mean()


def discriminator_loss(real_score: Tensor, fake_score: Tensor) -> Tensor:
    """-log sigmoid(D(real)) - log(1 - sigmoid(D(fake)))."""
    return F.softplus(-real_score).mean() + F.softplus(fake_score).mean()


def r1_penalty(real: Tensor, real_score: Tensor) -> Tensor:
    """Mean squared gradient of the score by the real images: keeps the discriminator flat where the data is."""
    (gradient,) = torch.autograd.grad(real_score.sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_length_penalty(
    images: Tensor, w_plus: Tensor, mean_length: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Distance of |J^T y| from its running mean: equal steps in W change the image equally (StyleGAN2 3.2).

    Returns the penalty and the new running mean.
    """
    y = torch.randn(images.shape, generator=rng, device=images.device) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * y).sum(), w_plus, create_graph=True)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()  # [N]
    mean_length = mean_length.lerp(lengths.mean().detach(), 0.01)
    return (lengths - mean_length).square().mean(), mean_length


def reconstruction_loss(image: Tensor, target: Tensor, target_features: list[Tensor], net, dtype=None) -> Tensor:
    """L1 on a pyramid of four levels plus the distance of SqueezeNet features; a scalar, about 1 at the start."""
    total = feature_distance(net(image, dtype), target_features)
    for _ in range(4):
        total = total + F.l1_loss(image, target)
        image, target = F.avg_pool2d(image, 2), F.avg_pool2d(target, 2)
    return total
