"""A training run so small that a step takes milliseconds: 16 px, 8 channels, random images."""

import dataclasses
import math
import zipfile

import torch
import torch.nn.functional as F
from helpers import FakeFeatureNet
from PIL import Image
from safetensors.torch import load_file

from training.checkpoint import FILE
from training.configs import TrainConfig
from training.trainer import Trainer

BATCH = 8
TINY = TrainConfig(
    resolution=16,
    channels=(8, 8, 8),
    discriminator_channels=(8, 8, 8),
    encoder_channels=(8, 8, 8),
    z_dim=16,
    w_dim=16,
    batch=BATCH,
    autoencode=0.032,  # kimg: 4 steps
    mapping_steps=3,
    adversarial=0.048,  # 6 steps
    discriminator_lead=0.008,
    mapping="refit",
    refit_kimg=0.016,
    encoded=0.25,
    r1_interval=2,
    ema_kimg=0.05,
    augment_images=100.0,
    dtype="float32",
    report_kimg=0.008,  # every step
    metric_kimg=0.024,
    metric_samples=32,
)
MATCHED = dataclasses.replace(  # as faces-128 is: blends, a mapping network that follows the bank, noise let in late
    TINY,
    discriminator_lead=0.0,
    mapping="match",
    blended=0.5,
    code_noise=0.1,
    encoder_rate=0.2,
    freeze_from=0.5,
    noise_from=0.75,
    warm_up=0.016,
    decay=0.25,
    augment="ada",
    augment_least=0.1,
)
PLAIN = {"autoencode": 0.0, "mapping_steps": 0, "discriminator_lead": 0.0, "mapping": "adversarial"}  # no warm start


def random_faces(count=24, size=16, seed=0):
    """uint8 [count, 3, size, size]: smooth blobs of colour."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=rng)
    return (F.interpolate(coarse, (size, size), mode="bilinear") * 255).byte()


def write_zip(folder, faces):
    """Write uint8 faces to faces.zip in a folder."""
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for k, face in enumerate(faces):
            Image.fromarray(face.permute(1, 2, 0).numpy()).save(folder / "face.png")
            archive.write(folder / "face.png", f"{k:02d}.png")
    return folder / "faces.zip"


def quiet(text):
    pass


def make_trainer(folder, config=TINY, seed=0, device="cpu", start=None, **changes):
    config = dataclasses.replace(config, **changes)
    feature_net = FakeFeatureNet()
    feature_net.kernels = [kernel.to(device) for kernel in feature_net.kernels]
    return Trainer(config, random_faces(), feature_net, folder, device, seed, start=start)


def checkpoint_tensors(folder):
    """All tensors of the checkpoint of a run."""
    return load_file(folder / FILE)


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
