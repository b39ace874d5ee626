"""The training faces: read from one zip of pictures, held in memory as bytes, served in shuffled batches."""

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from i2s.errors import ImageError, one_line

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError)  # a wrong checksum, a password
BROKEN_PICTURE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def load_faces(path: str | Path, resolution: int, least: int = 1) -> Tensor:
    """All pictures of a zip in the order of their names, uint8 [M, 3, resolution, resolution].

    Square pictures (JPEG, PNG), resized by Lanczos; at least so many. ImageError names the zip or the picture that is
    wrong.
    """
    if not zipfile.is_zipfile(path):
        raise ImageError(f"{path} is not a zip of pictures: give the data set's zip with --faces.")
    try:
        opened = zipfile.ZipFile(path)
    except (OSError, *BROKEN_ZIP) as error:
        raise ImageError(f"{path} is a damaged zip ({one_line(error)}): copy or make it again.") from error
    with opened as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".jpeg", ".png")))
        if not names:
            raise ImageError(f"{path} holds no JPEG or PNG pictures: give the data set's zip with --faces.")
        if len(names) < least:
            raise ImageError(f"{path} holds {len(names)} pictures, but at least {least} are needed: give more faces.")
        faces = torch.empty(len(names), 3, resolution, resolution, dtype=torch.uint8)
        for k, name in enumerate(tqdm(names, desc="reading faces", leave=False, disable=None)):
            try:
                picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            except (*BROKEN_ZIP, *BROKEN_PICTURE) as error:
                raise ImageError(f"{name} in {path} cannot be read ({error}): make the zip without it.") from error
            if picture.width != picture.height:
                size = f"{picture.width} x {picture.height} px"
                raise ImageError(f"{name} in {path} is {size}, but faces are square: crop it, or leave it out.")
            picture = picture.resize((resolution, resolution), Image.Resampling.LANCZOS)
            faces[k] = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
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
