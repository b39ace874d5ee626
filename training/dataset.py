"""Training faces: read from a zip, kept in memory as bytes, drawn in random batches."""

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
from i2s.images import dequantize

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError)  # a wrong checksum, a password
BROKEN_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def load_faces(path: str | Path, resolution: int, least: int = 1) -> Tensor:
    """Load the JPEG and PNG images of a zip, in the order of their names, resized by Lanczos.

    Args:
        path: The zip; its images are square.
        resolution: Side of the result in px.
        least: Number of images that it must hold.

    Returns:
        uint8 [M, 3, resolution, resolution].

    Raises:
        ImageError: The zip or an image in it is unusable; names it.
    """
    if not zipfile.is_zipfile(path):
        raise ImageError(f"{path} is not a zip of images: give the data set's zip with --faces.")
    try:
        opened = zipfile.ZipFile(path)
    except (OSError, *BROKEN_ZIP) as error:
        raise ImageError(f"{path} is a damaged zip ({one_line(error)}): copy or make it again.") from error
    with opened as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".jpeg", ".png")))
        if not names:
            raise ImageError(f"{path} holds no JPEG or PNG images: give the data set's zip with --faces.")
        if len(names) < least:
            raise ImageError(f"{path} holds {len(names)} images, but at least {least} are needed: give more faces.")
        faces = torch.empty(len(names), 3, resolution, resolution, dtype=torch.uint8)
        for k, name in enumerate(tqdm(names, desc="reading faces", leave=False, disable=None)):
            try:
                image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            except (*BROKEN_ZIP, *BROKEN_IMAGE) as error:
                raise ImageError(f"{name} in {path} cannot be read ({error}): make the zip without it.") from error
            if image.width != image.height:
                size = f"{image.width} x {image.height} px"
                raise ImageError(f"{name} in {path} is {size}, but faces are square: crop it, or leave it out.")
            image = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
            faces[k] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return faces


class Batches:
    """Random training faces, half of them mirrored.

    Args:
        faces: uint8 [M, 3, R, R].
        rng: Source of random numbers, on the device of the faces; its state is the whole state.
    """

    def __init__(self, faces: Tensor, rng: torch.Generator):
        self.faces = faces
        self.rng = rng

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Images [count, 3, R, R] in [-1, 1] and their rows [count]; row k + M is face k mirrored."""
        device = self.faces.device
        index = torch.randint(len(self.faces), (count,), generator=self.rng, device=device)
        mirrored = torch.rand(count, generator=self.rng, device=device) < 0.5
        faces = self.faces[index]
        faces = torch.where(mirrored[:, None, None, None], faces.flip(3), faces)
        return dequantize(faces), index + len(self.faces) * mirrored
