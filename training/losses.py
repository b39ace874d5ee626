"""GAN losses and regularisers.

Sources: Goodfellow et al. 2014 (non-saturating logistic loss), Lim and Ye 2017 (hinge loss), Mescheder et al. 2018
(R1 penalty).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.features import FeatureNet, feature_distance


def logistic_generator_loss(fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(fake)), a scalar: the non-saturating loss."""
    return F.softplus(-fake_logits).mean()


def logistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(real)) - log(1 - sigmoid(D(fake))), a scalar."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def hinge_generator_loss(fake_logits: Tensor) -> Tensor:
    """-D(fake), a scalar."""
    return -fake_logits.mean()


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(real)) + max(0, 1 + D(fake)), a scalar: logits beyond the margin cost nothing."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def r1_penalty(real: Tensor, real_logits: Tensor) -> Tensor:
    """Mean squared norm of the gradient of D at the real images, a scalar (R1; eq. 9 of Mescheder et al. 2018)."""
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def reconstruction_loss(
    image: Tensor,
    target: Tensor,
    target_features: list[Tensor],
    feature_net: FeatureNet,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """L1 distance on a pyramid of four levels plus `feature_distance`; a scalar, about 1 at the start."""
    total = feature_distance(feature_net(image, dtype), target_features)
    for _ in range(4):
        total = total + F.l1_loss(image, target)
        image = F.avg_pool2d(image, 2)
        target = F.avg_pool2d(target, 2)
    return total
