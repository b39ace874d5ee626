"""The losses of an embedding (Abdal, Qin, Wonka 2019, equations 1 and 2):

    L = sum_j lambda_j / N_j * |F_j(G(w)) - F_j(I)|^2  +  lambda_mse / N * |G(w) - I|^2

for each image of a batch by itself, and the terms that later papers added. A loss is a `WeightedSum` of terms, each
with its own weight; what a term returns is weighted already, so the values add up.

    loss = WeightedSum(PixelMSE(1.0), LPIPS("vgg", 1.0), PNorm(latent_statistics(generator), 0.001))     # II2S
    prepared = loss.prepare(photos)                                                                      # once
    terms = loss(images, prepared) | loss.latent_terms(w_plus, noise)                                    # {name: [N]}
    sum(terms.values()).sum().backward()

base.py         what a term is, and the means that all of them take
combine.py      WeightedSum, ImageLoss (the paper's), Masked, Degraded
pixels.py       PixelMSE, PixelL1
perceptual.py   Perceptual: the feature maps of a network, and `load_perceptual`, which loads one
vgg16.py        the paper's network
slim.py         the network that ships with i2s
lpips.py        LPIPS: learned weights of feature maps (needs the package `lpips`)
latent.py       PNorm, NoiseRegularization: of the code and the noise, not of the image
"""

from i2s.losses.base import TAP_NAMES, LatentTerm, Term, masked_mean, mean_square
from i2s.losses.combine import Degraded, ImageLoss, Masked, Sum, WeightedSum
from i2s.losses.latent import NoiseRegularization, PNorm
from i2s.losses.lpips import LPIPS
from i2s.losses.perceptual import Perceptual, load_perceptual
from i2s.losses.pixels import PixelL1, PixelMSE

__all__ = [
    "LPIPS",
    "TAP_NAMES",
    "Degraded",
    "ImageLoss",
    "LatentTerm",
    "Masked",
    "NoiseRegularization",
    "PNorm",
    "Perceptual",
    "PixelL1",
    "PixelMSE",
    "Sum",
    "Term",
    "WeightedSum",
    "load_perceptual",
    "masked_mean",
    "mean_square",
]
