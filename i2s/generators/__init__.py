"""Pretrained generators behind one small protocol: `load_generator` finds, reads and checks them."""

import os
from pathlib import Path

import torch

from i2s.errors import DeviceError, SettingsError, WeightFileError, one_line
from i2s.generators.base import Generator

DEFAULT = "faces-64"
SUFFIXES = (".safetensors", ".pkl", ".pickle", ".pt", ".pth")
HALVES = (torch.float16, torch.bfloat16)


def load_generator(
    name_or_path: str | Path = DEFAULT,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Generator:
    """A pretrained generator, ready to use: in evaluation mode, its weights fixed.

    name_or_path: a name of the catalog ("faces-64" is shipped, "ffhq-1024" is fetched when it is first used), or a
    file: our safetensors, the pickles of StyleGAN2-ADA and StyleGAN3 (torch) and of StyleGAN and StyleGAN2
    (TensorFlow), rosinality's .pt. What a file is, its content tells; nothing in it is executed.
    device: None is the CPU. dtype: float32 (None) is exact; float16 or bfloat16 is the precision of the convolutions,
    weights and styles stay float32; float64 is for checks. Gradients through float16 need a loss that is scaled up
    (a mean over a large picture gives gradients below its smallest number, 6e-8), as `i2s.embed` does; those through
    bfloat16 do not.
    Errors: WeightFileError, DownloadError, DeviceError, SettingsError.
    """
    if dtype not in (None, torch.float32, torch.float64, *HALVES):
        raise SettingsError(f"dtype is {dtype}: a generator runs in float32, float16, bfloat16 or float64.")
    path = resolve(name_or_path)
    generator = read_generator(path)
    generator.name = str(name_or_path) if str(name_or_path) != str(path) else path.stem
    try:
        generator = generator.to(device or "cpu", torch.float64 if dtype == torch.float64 else torch.float32)
    except (RuntimeError, AssertionError, TypeError) as error:  # no such device, or no memory on it
        reason = one_line(error)
        raise DeviceError(f"The generator cannot be put on {device} ({reason}): choose another device.") from error
    generator.synthesis.dtype = dtype if dtype in HALVES else None
    return generator


def resolve(name_or_path: str | Path) -> Path:
    """The file behind a name or a path; a name of the catalog is fetched if it is not there yet."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        kind = type(name_or_path).__name__
        raise SettingsError(f"A {kind} is no generator: give a name of the catalog, or the path of a weight file.")
    try:
        path = Path(name_or_path).expanduser()
    except RuntimeError as error:  # ~ of somebody who is not here
        reason = one_line(error).rstrip(".")
        raise WeightFileError(f"{name_or_path} cannot be found ({reason}): give the whole path.") from error
    named = isinstance(name_or_path, str) and path.name == name_or_path and path.suffix.lower() not in SUFFIXES
    if named and not os.path.isfile(path):  # which is False, too, for what no file can be called
        from i2s.weights.catalog import find

        return Path(find(name_or_path))
    return path


def read_generator(path: str | Path) -> Generator:
    """The generator in a file, float32 on the CPU, whatever format it is in; WeightFileError says why it is none."""
    from i2s.generators import file as native
    from i2s.weights import nvidia_tf as tensorflow
    from i2s.weights import nvidia_torch as torch_pickles
    from i2s.weights import rosinality
    from i2s.weights.file_type import container_of
    from i2s.weights.pickles import read_weights

    container = container_of(path)
    tree = None if container == "safetensors" else read_weights(path)
    try:
        if container == "safetensors":
            return native.load(path)
        if isinstance(tree, tuple):
            return tensorflow.convert(tree)
        if isinstance(tree, dict) and "g_ema" in tree:
            return rosinality.convert(tree)
        if isinstance(tree, dict):
            return torch_pickles.convert(tree)
        raise WeightFileError(f"it holds a {type(tree).__name__}, not a generator")
    except WeightFileError as error:
        raise WeightFileError(f"{path} cannot be used: {error}. Fetch the file again, or choose another.") from error
