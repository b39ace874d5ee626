"""The numbers in the diagrams: of StyleGAN at 1024 px as published, and of the generator that ships with the course."""

import json

from safetensors import safe_open

from i2s.files import data_dir
from i2s.generators.stylegan1 import StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2Config
from i2s.losses.slim import SlimConfig

PAPER, SLIM = StyleGAN1Config(), SlimConfig()


def ours() -> StyleGAN2Config:
    """The shape of faces-128, from its file."""
    with safe_open(data_dir() / "faces-128.safetensors", "pt") as file:
        return StyleGAN2Config(**json.loads(file.metadata()["config"]))
