"""A training run so small that a step takes milliseconds: 16 px, 8 channels, random pictures, a stand-in eye."""

import dataclasses
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from training.configs import Preset
from training.trainer import Trainer

BATCH = 8
TINY = Preset(
    resolution=16,
    channels=(8, 8, 8),
    discriminator_channels=(8, 8, 8),
    z_dim=16,
    w_dim=16,
    batch=BATCH,
    autoencode=0.032,  # kimg: 4 steps
    mapping_steps=3,
    adversarial=0.048,  # 6 steps
    discriminator_lead=0.008,
    encoded=0.25,
    refit_kimg=0.016,
    r1_interval=2,
    path_length_weight=2.0,
    path_length_interval=2,
    ema_kimg=0.05,
    augment_images=100.0,
    dtype="float32",
    report_kimg=0.008,  # every step
    metric_kimg=0.024,
    metric_samples=32,
)


class Eye(torch.nn.Module):
    """In place of SqueezeNet: four taps of fixed random convolutions."""

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(1)
        kernels = torch.randn(4, 6, 3, 3, 3, generator=rng) / 5
        self.register_buffer("kernels", kernels)

    def forward(self, image, dtype=None):
        sizes = (1, 2, 4, 4)
        return [F.relu(F.conv2d(F.avg_pool2d(image, s), k, padding=1)) for s, k in zip(sizes, self.kernels)]

    def embedding(self, image, dtype=None):
        return torch.cat([x.mean(dim=(2, 3)) for x in self(image)], dim=1)  # [N, 24]


def pictures(count=24, size=16, seed=0):
    """uint8 [count, 3, size, size]: smooth blobs of colour."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=rng)
    return (F.interpolate(coarse, (size, size), mode="bilinear") * 255).byte()


def quiet(text):
    pass


def trainer(folder, preset=TINY, seed=0, **changes):
    return Trainer(dataclasses.replace(preset, **changes), pictures(), Eye(), folder, seed=seed)


def tensors_of(folder):
    """All tensors of the newest checkpoint."""
    newest = sorted(Path(folder).glob("checkpoint-*"))[-1]
    tensors = {}
    for piece in newest.glob("*.safetensors"):
        tensors |= load_file(piece)
    return tensors


def squeezenet_weights():
    """Random weights in SqueezeNet 1.1's shapes."""
    rng = torch.Generator().manual_seed(0)
    shapes = {"conv1": (64, 3, 3, 3)}
    wide = 64
    for k, squeeze in zip(range(2, 10), (16, 16, 32, 32, 48, 48, 64, 64)):
        shapes[f"fire{k}.squeeze1x1"] = (squeeze, wide, 1, 1)
        shapes[f"fire{k}.expand1x1"] = (4 * squeeze, squeeze, 1, 1)
        shapes[f"fire{k}.expand3x3"] = (4 * squeeze, squeeze, 3, 3)
        wide = 8 * squeeze
    tensors = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = torch.randn(shape, generator=rng) * (2 / math.prod(shape[1:])) ** 0.5
        tensors[f"{name}.bias"] = torch.zeros(shape[0])
    return tensors
