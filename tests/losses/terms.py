"""Every term of a loss by name, made small, for the tests that hold for all of them."""

import torch
from helpers import small_generator

from i2s.embedding.degradations import Blur, Compose, Downsample, Grey, Inpaint, circle_mask
from i2s.latents import latent_statistics
from i2s.losses import (
    LPIPS,
    Degraded,
    ImageLoss,
    NoiseRegularization,
    Perceptual,
    PixelL1,
    PixelMSE,
    PNorm,
)
from i2s.losses.slim import load_slim
from i2s.losses.vgg16 import VGG16, VGG16Settings

SIDE = 40  # px: LPIPS takes no fewer than 32


def pictures(count=2, side=SIDE, seed=0, dtype=torch.float64):
    """Smooth pictures with some grain: of pure noise no two alike are alike in structure."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=rng, dtype=dtype) * 1.6 - 0.8
    grain = torch.randn(count, 3, side, side, generator=rng, dtype=dtype)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear") + 0.05 * grain


class SmallLPIPS(torch.nn.Module):
    """The parts of `lpips.LPIPS`, with two small layers and random weights of at least 0."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = TwoMaps()
        self.scaling_layer = torch.nn.Identity()
        self.lins = torch.nn.ModuleList(torch.nn.Conv2d(c, 1, 1, bias=False) for c in (5, 6))
        for layer in self.lins:
            layer.weight.data.abs_()
        self.double().requires_grad_(False)


class TwoMaps(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 5, 3, padding=1), torch.nn.Conv2d(5, 6, 3, stride=2)

    def forward(self, x):
        x = self.first(x).relu()
        return x, self.second(x).relu()


def _vgg():
    torch.manual_seed(0)
    return VGG16(VGG16Settings(relu="before", normalize=True, size=32)).double().requires_grad_(False)


def _slim():
    return load_slim().double()


IMAGE_TERMS = {
    "mse": lambda: PixelMSE(0.5),
    "l1": lambda: PixelL1(2.0, (-1, 1)),
    "slim": lambda: Perceptual(_slim()),
    "vgg16": lambda: Perceptual(_vgg(), (1, 2, 0, 0.5)),
    "lpips": lambda: LPIPS(SmallLPIPS(), 3.0),
    "paper": lambda: ImageLoss(_slim()),
    "grey": lambda: Degraded(ImageLoss(_slim()), Grey()),
    "small": lambda: Degraded(PixelMSE(), Compose((Blur(1.5), Downsample(16, "bicubic")))),
    "hole": lambda: Degraded(PixelL1(), Inpaint(1 - circle_mask(SIDE, blur=0.2))),
}


def statistics():
    return latent_statistics(small_generator(), 5000)


LATENT_TERMS = {
    "p_norm": lambda: PNorm(statistics(), 0.5),
    "noise": lambda: NoiseRegularization(1.0),
}


def codes(count=2, seed=0, dtype=torch.float64):
    """Codes of the tiny generator and a map of noise for each of two layers."""
    rng = torch.Generator().manual_seed(seed)
    noise = [torch.randn(count, 1, side, side, generator=rng, dtype=dtype) for side in (8, 32)]
    return torch.randn(count, 6, 12, generator=rng, dtype=dtype), noise
