"""The people of lesson 5, neutral and smiling, as codes in W+: the lesson runs without a network.

The codes were computed by `training.people` from the Face Research Lab London Set. They belong to one generator,
and say to which.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from i2s.errors import WeightFileError
from i2s.files import data_dir, write_atomically
from i2s.generators.base import Generator

FILE, FORMAT = "london-64.safetensors", "i2s-people"
ATTRIBUTION = (
    "Codes computed from photos of the Face Research Lab London Set, (c) Lisa DeBruine and Benedict Jones 2017, "
    "CC BY 4.0, doi 10.6084/m9.figshare.5047666. The people consented to use in web-based studies and illustration."
)


@dataclass(frozen=True)
class People:
    """names: of the pictures, not of the people. neutral, smiling: W+ codes [P, num_ws, w_dim], a row each person."""

    names: list[str]
    neutral: Tensor
    smiling: Tensor
    attribution: str


def mark(generator: Generator) -> str:
    """What tells generators apart: the checksum of the mean latent."""
    return hashlib.sha256(generator.w_mean.cpu().numpy().tobytes()).hexdigest()


def save_people(people: People, generator: Generator, path: str | Path) -> Path:
    """Write the codes in half precision, with attribution and the generator they belong to. OutputError."""
    tensors = {"neutral": people.neutral.half().contiguous(), "smiling": people.smiling.half().contiguous()}
    metadata = {
        "format": FORMAT,
        "names": "\n".join(people.names),
        "attribution": people.attribution,
        "generator": generator.name,
        "w_mean": mark(generator),
    }
    return write_atomically(path, save(tensors, metadata))


def load_people(generator: Generator, path: str | Path | None = None) -> People:
    """The people of the shipped file (or of another), as codes for `generator`.

    WeightFileError when the file is unusable, or was made for another generator.
    """
    path = Path(path) if path is not None else data_dir() / FILE
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise WeightFileError(f"{path} holds no codes of people: choose another file.")
            neutral, smiling = (file.get_tensor(name).float() for name in ("neutral", "smiling"))
            names, attribution = metadata["names"].split("\n"), metadata["attribution"]
    except FileNotFoundError:
        raise WeightFileError(f"There is no file {path}: install i2s again, or name the file of codes.") from None
    except (SafetensorError, OSError, KeyError) as error:
        raise WeightFileError(f"{path} is broken and cannot be read: fetch it again.") from error
    if metadata.get("w_mean") != mark(generator):
        raise WeightFileError(
            f"{path.name} holds codes for {metadata.get('generator')}, not for this generator: embed the photos anew "
            "with `python -m training.people`, or load the shipped generator."
        )
    return People(names, neutral, smiling, attribution)
