"""What a user may have switched on or off in torch for other work: nothing here depends on it."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets

import i2s
from i2s import edits, images, latents, metrics
from i2s.embedding import NoiseSettings, TuningSettings
from i2s.embedding.degradations import Downsample, Noise, box_mask
from i2s.encoder import load_encoder
from i2s.generators.file import save_generator
from i2s.losses.perceptual import load_perceptual
from i2s.weights import read_latents, write_latents


@contextmanager
def default_device():
    """The device without memory stands in for a GPU: what is made there by mistake fails."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


NETWORK = FakeFeatureNet()
SURROUNDINGS = {
    "default device": default_device,
    "default dtype": default_dtype,
    "deterministic": deterministic,
    "no gradients": lambda: torch.set_grad_enabled(False),
    "inference": torch.inference_mode,
    "anomaly": torch.autograd.detect_anomaly,
}
EMBEDDINGS = {
    "default": {},
    "fast": {"preset": "fast"},
    "W, nearest": {"space": "w", "init": "nearest", "candidates": 8},
    "Z": {"space": "z", "candidates": 8},
    "uniform": {"init": "uniform"},
    "zeros": {"init": "zeros"},
    "start": {"start": np.zeros((6, 12), np.float32)},
    "noise maps": {"noise": NoiseSettings(steps=2)},
    "stylegan2": {"preset": "stylegan2"},
    "tuning": {"tuning": TuningSettings(steps=2)},
    "P_N+": {"p_norm_weight": 0.01},
    "noise on photos": {"degradation": Noise(0.1)},
    "super-resolution": {"degradation": Downsample(8)},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    save_generator(small_generator(), folder / "g.safetensors", half=False)
    images.write_image(targets(small_generator())[0], folder / "p.png")
    write_latents(torch.ones(1, 6, 12), folder / "w.npy")
    return folder


def equal_everywhere(call, surroundings):
    """Calls a function inside and outside, and compares."""
    plain = call()
    with SURROUNDINGS[surroundings]():
        found = call()
    assert found.device == plain.device and found.dtype == plain.dtype
    torch.testing.assert_close(found.clone(), plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize("case", EMBEDDINGS)
def test_embed(files, case, surroundings):
    settings = {"steps": 2, "progress": False} | EMBEDDINGS[case]

    def call():
        generator = i2s.load_generator(files / "g.safetensors")
        return i2s.embed(str(files / "p.png"), generator, perceptual=NETWORK, **settings).image

    equal_everywhere(call, surroundings)


CALLS = {
    "images": lambda folder: (lambda g: g(g.sample_z(2, 0)))(i2s.load_generator(folder / "g.safetensors")),
    "mean": lambda folder: i2s.load_generator(folder / "g.safetensors").mapping.mean(500),
    "statistics": lambda folder: latents.latent_statistics(i2s.load_generator(folder / "g.safetensors"), 500).std,
    "encoder": lambda folder: load_encoder()(i2s.load_photos(folder / "p.png", load_encoder().resolution)),
    "slim": lambda folder: load_perceptual("slim")(i2s.load_photos(folder / "p.png", 16))[0],
    "mask": lambda folder: box_mask(16, 0.2, 0.2, 0.6, 0.6),
    "blur": lambda folder: images.gaussian_blur(i2s.load_photos(folder / "p.png", 16), 1.0),
    "code": lambda folder: read_latents(folder / "w.npy"),
    "morph": lambda folder: edits.morph_through(torch.ones(2, 6, 12, device="cpu", dtype=torch.float32), 3),
    "psnr": lambda folder: metrics.psnr(*[i2s.load_photos(folder / "p.png", 16)] * 2).nan_to_num(),
    "ssim": lambda folder: metrics.ssim(*[i2s.load_photos(folder / "p.png", 16)] * 2),
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize("case", CALLS)
def test_everything_else(files, case, surroundings, monkeypatch):
    def call():
        monkeypatch.setattr(latents, "_known", {})
        return CALLS[case](files)

    equal_everywhere(call, surroundings)
