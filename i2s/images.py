"""Pictures in and out: the one place where files, PIL pictures and tensors become each other.

Inside the package an image is a float32 tensor [N, 3, H, W] in [-1, 1]: 0..255 becomes x / 127.5 - 1, and
back by rounding, which returns every 8-bit picture as it was. Reading itself is in `i2s.photos`, drawing
sheets in `i2s.sheets`.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from i2s.errors import ImageError, OutputError
from i2s.files import write_atomically
from i2s.photos import MIN_SIDE, check_sides, read_image
from i2s.sheets import sheet

__all__ = [
    "read_image", "load_photos", "to_tensor", "to_uint8", "to_pil", "resize", "write_image", "contact_sheet"
]  # fmt: skip

# ending -> how Pillow writes it; lossless but for JPEG and WebP, whose losses at these settings are invisible
WRITERS = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95},
    ".tif": {"format": "TIFF", "compression": "tiff_lzw"},
    ".tiff": {"format": "TIFF", "compression": "tiff_lzw"},
    ".bmp": {"format": "BMP"},
}
NO_BATCH = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
ONE_PICTURE = (*NO_BATCH, np.ndarray, Tensor)
LARGEST = 16.0  # of |value| in an image tensor: generators leave [-1, 1] a little, [0, 255] leaves it a lot


def load_photos(photos, resolution: int) -> Tensor:
    """Photos as one tensor [N, 3, resolution, resolution] in [-1, 1], float32, on the CPU.

    photos: one, or several in a list or another iterable, of all that `read_image` takes and of tensors [3,
    H, W] or [N, 3, H, W] in [-1, 1]. Each is cropped to its central square and resized (Lanczos); a tensor
    that has the resolution already is taken as it is. ImageError names the file that is wrong, and says why.
    """
    check_sides(resolution, resolution)
    items = [photos] if isinstance(photos, ONE_PICTURE) or hasattr(photos, "read") else listed(photos)
    if not items:
        raise ImageError("There is no photo: give at least one.")
    return torch.cat([_load_one(item, resolution) for item in items])


def listed(pictures) -> list:
    """Pictures as a list, also a single one that is no batch; ImageError for what is none."""
    if isinstance(pictures, NO_BATCH):
        return [pictures]
    try:
        return list(pictures)
    except TypeError:
        raise ImageError(f"A {type(pictures).__name__} is no picture: give a path or a picture.") from None


def _load_one(item, resolution: int) -> Tensor:
    if not isinstance(item, Tensor):
        return to_tensor(read_image(item, resolution))
    images = _check_images(item)
    height, width = images.shape[-2:]
    if (height, width) == (resolution, resolution):
        return images
    if min(height, width) < MIN_SIDE:
        least = f"{MIN_SIDE} x {MIN_SIDE}"
        raise ImageError(f"The tensor is {width} x {height} px, too small: give one of at least {least} px.")
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(images[..., top : top + side, left : left + side], resolution)


def to_tensor(pictures) -> Tensor:
    """One picture, or a list of equal size, of what `read_image` takes: [N, 3, H, W], float32 in [-1, 1]."""
    pictures = pictures if isinstance(pictures, (list, tuple)) else [pictures]
    if not pictures:
        raise ImageError("There is no picture: give at least one.")
    arrays = [np.asarray(read_image(picture, min_side=1)) for picture in pictures]  # each [H, W, 3]
    if len({array.shape for array in arrays}) > 1:
        sizes = ", ".join(sorted({f"{a.shape[1]} x {a.shape[0]}" for a in arrays}))
        raise ImageError(f"The pictures differ in size ({sizes}): use load_photos, which makes them equal.")
    pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)  # [N, 3, H, W]
    return (pixels.float() / 127.5 - 1).contiguous()


def to_uint8(images: Tensor) -> np.ndarray:
    """Images [N, 3, H, W] or [3, H, W] as a uint8 array [N, H, W, 3]; what lies beyond [-1, 1] is clipped.

    ImageError for other shapes, NaN and infinity.
    """
    images = _check_images(images, largest=None)
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()  # [N, H, W, 3]


def to_pil(image) -> Image.Image:
    """One image as RGB PIL picture: a tensor [3, H, W] or [1, 3, H, W] in [-1, 1], or as for `read_image`."""
    if not isinstance(image, Tensor):
        return read_image(image, min_side=1)
    pixels = to_uint8(image)
    if len(pixels) != 1:
        raise ImageError(f"There are {len(pixels)} images: take one of them, or make a contact_sheet.")
    return Image.fromarray(pixels[0])


def resize(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Images [N, 3, H, W] resized to `size` (a side, or height and width): Lanczos, antialiased, in float32.

    The same filter as for photos. Without gradients and on the CPU; what overshoots is kept.
    """
    images = _check_images(images, largest=None)
    height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    check_sides(height, width)
    planes = images.reshape(-1, *images.shape[-2:]).numpy()  # [3N, H, W]
    lanczos = Image.Resampling.LANCZOS
    resized = [np.asarray(Image.fromarray(plane).resize((width, height), lanczos)) for plane in planes]
    return torch.from_numpy(np.stack(resized)).reshape(*images.shape[:2], height, width)


def _check_images(images: Tensor, largest: float | None = LARGEST) -> Tensor:
    """The images as [N, 3, H, W], float32, on the CPU; ImageError when they are no images."""
    if not isinstance(images, Tensor):
        raise ImageError(f"A {type(images).__name__} is no image tensor: convert it with to_tensor.")
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ImageError(f"The tensor has shape {list(images.shape)}: an image is [3, H, W] or [N, 3, H, W].")
    if not images.is_floating_point():
        raise ImageError(f"The tensor is of {images.dtype}: images are floats in [-1, 1] (x / 127.5 - 1).")
    images = images.detach().to("cpu", torch.float32)
    if not images.isfinite().all():
        raise ImageError("The image holds NaN or infinity: look at the code and the weights that made it.")
    if largest is not None and images.abs().max() > largest:
        raise ImageError(f"The tensor holds values up to {images.abs().max():g}: images are in [-1, 1].")
    return images


def write_image(image, path: str | Path) -> Path:
    """Write one image; returns where it is.

    image: a tensor [3, H, W] or [1, 3, H, W] in [-1, 1], or what `read_image` takes.
    path: the ending chooses the format (.png, .jpg, .jpeg, .webp, .tif, .tiff, .bmp); none means .png.
    The file is complete before it takes the place of an older one, and holds pixels only: no EXIF, no place.
    ImageError, OutputError.
    """
    path = Path(path)
    if not path.name:
        raise OutputError(f"{str(path)!r} is no name for a file: give one, such as face.png.")
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    if path.suffix.lower() not in WRITERS:
        raise OutputError(f"{path} has none of the endings {', '.join(WRITERS)}: choose one of them.")
    buffer = io.BytesIO()
    picture = to_pil(image)
    try:
        picture.save(buffer, **WRITERS[path.suffix.lower()])
    except (OSError, ValueError) as error:  # more pixels than the format can hold
        raise OutputError(f"{path} could not be written ({error}): choose another ending.") from error
    return write_atomically(path, buffer.getvalue())


def contact_sheet(
    images: Tensor | Sequence,
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    *,
    title: str = "",
    size: int | None = None,
) -> Image.Image:
    """Several images on one white sheet, labels below them, as a PIL picture.

    images: a tensor [N, 3, H, W] in [-1, 1], or a list of what `to_pil` takes, of any sizes.
    columns: images in a row; None: as near to a square as 3:2 screens like. labels: one for each image.
    size: px of a cell, to which images are fitted; None: the largest image's, but at least 128.
    Small images are enlarged by whole numbers without smoothing, so that each of their pixels stays visible.
    """
    pictures = [to_pil(image) for image in listed(images)]
    return sheet(pictures, columns=columns, labels=labels, title=title, size=size)
