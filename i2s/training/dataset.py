"""The training faces: read from one zip of JPEGs, held in memory as bytes, served in shuffled batches."""

import io
import zipfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from i2s.errors import ImageError


def load_faces(path: str | Path, resolution: int) -> Tensor:
    """All pictures of a zip in the order of their names, uint8 [M, 3, resolution, resolution]."""
    if not zipfile.is_zipfile(path):
        raise ImageError(f"{path} is not a zip of pictures: give the data set's zip with --faces.")
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".jpeg", ".png")))
        if not names:
            raise ImageError(f"{path} holds no JPEG or PNG pictures: give the data set's zip with --faces.")
        faces = torch.empty(len(names), 3, resolution, resolution, dtype=torch.uint8)
        for k, name in enumerate(tqdm(names, desc="reading faces", leave=False, disable=None)):
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            picture = picture.resize((resolution, resolution), Image.Resampling.LANCZOS)
            faces[k] = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(
                resolution, resolution, 3
            ).permute(2, 0, 1)
    return faces


def to_range(faces: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 to float32 in [-1, 1]."""
    return faces.to(device).float() / 127.5 - 1


class Batches:
    """Endless batches [batch, 3, R, R] in [-1, 1], each face mirrored half of the time.

    `generator` holds the whole state: a run that stores and restores it goes on with the same pictures.
    """

    def __init__(self, faces: Tensor, batch: int, generator: torch.Generator, device: torch.device | str = "cpu"):
        self.faces, self.batch, self.generator, self.device = faces, batch, generator, device

    def __iter__(self):
        return self

    def __next__(self) -> Tensor:
        rows = torch.randint(len(self.faces), (self.batch,), generator=self.generator)
        mirrored = torch.rand(self.batch, 1, 1, 1, generator=self.generator) < 0.5
        faces = self.faces[rows]
        return to_range(torch.where(mirrored, faces.flip(3), faces), self.device)
