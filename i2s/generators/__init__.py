"""Pretrained generators behind one interface: `load_generator` finds, reads and checks them.

base.py         Generator: what every generator offers
layers.py       equalised layers, filters, leaky ReLU
mapping.py      the mapping network of all three
stylegan1.py    AdaIN: the paper's generator
stylegan2.py    modulated convolutions; fused.py: the same with frozen weights; winograd.py: its wide convolutions
stylegan3.py    no aliasing
file.py         our own weight files
"""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch

from i2s.device import move_to
from i2s.errors import SettingsError, WeightFileError
from i2s.files import local_path
from i2s.generators.base import Generator
from i2s.generators.file import is_safetensors

DEFAULT = "faces-128"
SUFFIXES = (".safetensors", ".pkl", ".pickle", ".pt", ".pth")
HALVES = (torch.float16, torch.bfloat16)

# Functions are named, not imported, as entry points are: each is loaded when it is needed.
READERS = {
    "safetensors": "i2s.generators.file:load",  # path -> Generator
    "official": "i2s.weights:read_generator",  # path, class_idx -> Generator; of every other file
}
CATALOG = "i2s.weights:find"  # name -> path


def load_generator(
    name_or_path: str | Path = DEFAULT,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    class_idx: int | None = None,
) -> Generator:
    """Load a pretrained generator, in evaluation mode, its weights frozen.

    Args:
        name_or_path: A name of the catalog ("faces-128" is shipped, "ffhq-1024" is fetched when it is first used), or a
            file: our safetensors, the pickles of StyleGAN2-ADA and StyleGAN3 (torch) and of StyleGAN and StyleGAN2
            (TensorFlow), one generator of theirs saved by torch.save, rosinality's .pt, checkpoints of pSp and e4e.
            The content says what a file is; nothing in it is executed. Grey networks draw three equal channels.
        device: None is the CPU.
        dtype: float32 (None) is exact; float16 or bfloat16 is the precision of the convolutions, weights and styles
            stay float32; float64 is for checks. Gradients through float16 need a loss that is scaled up (a mean over
            a large image gives gradients below its smallest number, 6e-8), as `i2s.embed` does; those through
            bfloat16 do not.
        class_idx: The class that a conditional network draws, from 0 on; None for networks without classes.

    Raises:
        WeightFileError: The file is missing, broken, hostile, or holds no generator; or no class is given for a
            conditional network.
        DownloadError: The file cannot be fetched.
        DeviceError: There is no such device, or no memory on it.
        SettingsError: Neither name nor path, another dtype, or there is no such class.
    """
    if dtype not in (None, torch.float32, torch.float64, *HALVES):
        raise SettingsError(f"dtype is {dtype}: a generator runs in float32, float16, bfloat16 or float64.")
    path = resolve(name_or_path)
    generator = read_generator(path, class_idx)
    generator.name = str(name_or_path) if str(name_or_path) != str(path) else path.stem
    generator = move_to(generator, device, "The generator", torch.float64 if dtype == torch.float64 else torch.float32)
    generator.synthesis.dtype = dtype if dtype in HALVES else None
    return generator


def resolve(name_or_path: str | Path) -> Path:
    """Find the file of a name or a path; a name of the catalog is fetched if it is not there yet."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        kind = type(name_or_path).__name__
        raise SettingsError(f"A {kind} is no generator: give a name of the catalog, or the path of a weight file.")
    path = local_path(name_or_path, WeightFileError, "download the file and give its path")
    named = isinstance(name_or_path, str) and path.name == name_or_path and path.suffix.lower() not in SUFFIXES
    if named and not os.path.isfile(path):  # False, too, for names that no file can have
        return Path(_function(CATALOG)(name_or_path))
    return path


def read_generator(path: str | Path, class_idx: int | None = None) -> Generator:
    """Read the generator in a file of any format, float32, on the CPU; `class_idx` as in `load_generator`.

    Raises:
        WeightFileError: The file is missing, broken, hostile, or holds no generator.
    """
    if not is_safetensors(path):
        return _function(READERS["official"])(path, class_idx)
    if class_idx is not None:
        raise SettingsError(f"class_idx is {class_idx!r}, but {path} has no classes: leave it out.")
    return _function(READERS["safetensors"])(path)


def _function(name: str) -> Callable:
    """Import "module:function"."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)
