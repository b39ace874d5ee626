"""What an embedding minimises (Abdal, Qin, Wonka 2019, equations 1 and 2):

    L = sum_j lambda_j / N_j * |F_j(G(w)) - F_j(I)|^2  +  lambda_mse / N * |G(w) - I|^2

for each image of a batch by itself, and the terms that later papers put beside these two. A loss is a `Sum` of terms,
each with a weight of its own; what a term reports is weighted already, so the values add up.

    loss = Sum(PixelMSE(1.0), LPIPS("vgg", 1.0), PNorm(latent_statistics(generator), 0.001))     # II2S
    prepared = loss.prepare(photos)                                                              # once
    terms = loss(images, prepared) | loss.latent_terms(w_plus, noise)                            # {name: [N]}
    sum(terms.values()).sum().backward()

pixels.py       PixelMSE, PixelL1
perceptual.py   Perceptual: four feature maps, the paper's
lpips.py        LPIPS: learned weights of feature maps (needs the package `lpips`)
ms_ssim.py      MSSSIM: structural similarity at several sizes
latent.py       PNorm, LatentDistance, NoiseRegularization: look at the code and the noise, not at the image
compose.py      Sum, ImageLoss (the paper's), Masked, Degraded
term.py         what a term is, and the means that all of them take
"""

from i2s.losses.base import LatentTerm, Term, mean_square, weighted_mean
from i2s.losses.combine import Degraded, ImageLoss, Masked, Sum
from i2s.losses.latent import LatentDistance, NoiseRegularization, PNorm
from i2s.losses.lpips import LPIPS
from i2s.losses.ms_ssim import MSSSIM
from i2s.losses.perceptual import TAP_NAMES, Perceptual
from i2s.losses.pixels import PixelL1, PixelMSE

__all__ = [
    "LPIPS",
    "MSSSIM",
    "TAP_NAMES",
    "Degraded",
    "ImageLoss",
    "LatentDistance",
    "LatentTerm",
    "Masked",
    "NoiseRegularization",
    "PNorm",
    "Perceptual",
    "PixelL1",
    "PixelMSE",
    "Sum",
    "Term",
    "mean_square",
    "weighted_mean",
]
