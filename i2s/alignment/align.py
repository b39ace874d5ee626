"""Align a photo as FFHQ's are, and put an edited face back into it.

    aligned = i2s.align("holiday.jpg")
    result = i2s.embed(aligned.image, generator)
    edited = generator.synthesis(i2s.morph(result.w_plus, other.w_plus, 0.5))
    i2s.paste_back(edited, aligned, reference=result.image).save("morphed.jpg", exif=aligned.exif)

Faces are found by OpenCV's YuNet, or you give the landmarks.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, ImageFilter
from torch import Tensor

from i2s.alignment import yunet
from i2s.alignment.geometry import Face, face_square
from i2s.errors import ImageError, SettingsError
from i2s.images import read_image, to_pil, to_tensor

SIZES = (16, 1024)  # px of the crop, where no size is asked for
SAME = 0.06  # corners of an aligned photo's crop lie within so many sides of the photo's own
NONE_FOUND = (
    "No face was found in {name}: give a photo in which the eyes, the nose and the mouth can be seen and are at least "
    "some 30 px apart, or give the five landmarks yourself (landmarks=)."
)


@dataclass(frozen=True)
class Aligned:
    """A face cut out of a photo."""

    image: Image.Image  # square RGB crop
    photo: Image.Image  # the whole photo, upright, RGB
    landmarks: np.ndarray  # [5, 2], px of the photo; rows as in geometry.py
    square: np.ndarray  # [4, 2] corners of the crop in the photo, px, clockwise from its upper left
    faces: list[Face]  # all faces that were found, the largest first
    said: str  # what was done, in a sentence
    exif: bytes = field(default=b"", repr=False)  # of the photo, without its orientation

    @property
    def untouched(self) -> bool:
        """Whether the photo was aligned already, so that the crop is the photo itself."""
        return self.image is self.photo


def find_faces(photo: object) -> list[Face]:
    """Find faces and five landmarks of each in a photo, the largest first.

    By OpenCV's YuNet, which needs opencv-python-headless and a file of .2 MB that is fetched once.

    Args:
        photo: Of all that `i2s.read_image` takes.

    Raises:
        ImageError: The photo cannot be read.
        SettingsError: OpenCV is not installed.
        DownloadError: YuNet's file cannot be fetched.
    """
    return sorted(yunet.detect(read_image(photo)), key=lambda face: -face.side)


def align(
    photo: object,
    size: int | None = None,
    landmarks: np.ndarray | None = None,
    face: int = 0,
) -> Aligned:
    """Cut a face out of a photo as FFHQ's are: upright, the eyes' and the mouth's distances deciding the scale.

    What the crop needs beyond the photo's borders is a reflection, blurred. A photo that is a crop of this kind
    already stays as it is, bit for bit.

    Args:
        photo: Of all that `i2s.read_image` takes.
        size: Side of the crop in px; None: as many as the photo has there, at most 1024.
        landmarks: [5, 2], px of the upright photo, rows as in geometry.py, where you know better than a detector.
        face: Which of several faces, 0 being the largest.

    Raises:
        ImageError: The photo cannot be read, shows no face, or not so many.
        SettingsError: An argument is not as above; or no landmarks are given, and OpenCV is not installed.
        DownloadError: No landmarks are given, and YuNet's file cannot be fetched.
    """
    image = read_image(photo)
    exif = _exif(photo)
    if landmarks is None:
        faces = find_faces(image)
        if not faces:
            raise ImageError(NONE_FOUND.format(name=photo if isinstance(photo, str) else "the photo"))
        if not 0 <= face < len(faces):
            count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
            raise ImageError(f"face is {face}, but {count} {'was' if len(faces) == 1 else 'were'} found: count from 0.")
        landmarks = faces[face].landmarks
        said = "the face was found" if len(faces) == 1 else f"{len(faces)} faces were found, number {face} was taken"
    else:
        landmarks = check_landmarks(landmarks)
        faces = [Face(landmarks, 1.0)]
        said = "the landmarks were given"
    square = face_square(landmarks)
    if image.width == image.height and _is_whole(square, image.width):
        whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * image.width - 0.5
        crop = image if size in (None, image.width) else image.resize((size, size), Image.Resampling.LANCZOS)
        return Aligned(crop, image, landmarks, whole, faces, f"{said}; the photo is aligned already", exif)
    side = float(np.linalg.norm(square[1] - square[0]))
    size = size or int(np.clip(round(side), *SIZES))
    angle = np.degrees(np.arctan2(*(square[1] - square[0])[::-1]))
    said = f"{said}, its crop of {side:.0f} px turned by {angle:.0f} degrees"
    return Aligned(cut(image, square, size), image, landmarks, square, faces, said, exif)


def check_landmarks(landmarks: object) -> np.ndarray:
    """Landmarks as float64 [5, 2]; SettingsError if they are none of a face."""
    try:
        points = np.asarray(landmarks, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise SettingsError(
            "landmarks are five pairs x, y in px: left eye, right eye, nose, mouth's left and right corner."
        )
    if np.linalg.norm(points[1] - points[0]) < 2:
        raise SettingsError("The landmarks of both eyes are at one place: give x, y in px of the photo.")
    return points


def cut(photo: Image.Image, square: np.ndarray, size: int) -> Image.Image:
    """The content of a square of the photo as `size` x `size` px; beyond the borders a reflection, blurred."""
    side = float(np.linalg.norm(square[1] - square[0]))
    if side > 2 * size:  # smaller first, against aliasing
        factor = int(side / size)
        square = (square + 0.5) / factor - 0.5
        photo = photo.reduce(factor)
        side /= factor
    padded, square = _padded(photo, square, side)
    corners = square + 0.5  # from pixel centres to edges, as Pillow counts
    upper_left, upper_right, lower_right, lower_left = corners
    quad = (*upper_left, *lower_left, *lower_right, *upper_right)
    large = size * 2 if side > 1.2 * size else size
    found = padded.transform((large, large), Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    return found if large == size else found.resize((size, size), Image.Resampling.LANCZOS)


def _padded(photo: Image.Image, square: np.ndarray, side: float) -> tuple[Image.Image, np.ndarray]:
    """The part of the photo around a square, reflected and blurred where it ends; the square in it."""
    low = np.floor(square.min(0) - 3).astype(int)
    high = np.ceil(square.max(0) + 4).astype(int)
    box = (max(low[0], 0), max(low[1], 0), min(high[0], photo.width), min(high[1], photo.height))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ImageError("The face lies outside of the photo: give landmarks in px of the photo.")
    margins = (box[1] - low[1], high[1] - box[3]), (box[0] - low[0], high[0] - box[2])
    part = photo.crop(box)
    if not any(margins[0] + margins[1]):
        return part, square - low
    pixels = np.pad(np.asarray(part), (*margins, (0, 0)), mode="reflect" if min(part.size) > 1 else "edge")
    image = Image.fromarray(pixels)
    soft = image.filter(ImageFilter.GaussianBlur(0.02 * side))

    # How far outside, 0 at the border, 1 from .1 sides on
    rows, columns = (np.arange(count) for count in pixels.shape[:2])
    above = np.maximum(margins[0][0] - rows, rows - (pixels.shape[0] - 1 - margins[0][1]))
    beside = np.maximum(margins[1][0] - columns, columns - (pixels.shape[1] - 1 - margins[1][1]))
    outside = np.clip(np.maximum(above[:, None], beside[None]) / (0.1 * side), 0, 1)
    mask = Image.fromarray((255 * outside).astype(np.uint8))
    return Image.composite(soft, image, mask), square - low


def paste_back(edited: object, aligned: Aligned, reference: object = None, feather: float = 0.12) -> Image.Image:
    """Put an edited crop back into its photo, at the photo's own resolution.

    Args:
        edited: Square image of the crop: a tensor [3, R, R] or [1, 3, R, R] in [-1, 1], or what `i2s.read_image` takes.
        aligned: Where it was cut out.
        reference: The embedding before the edit. If it is given, only the difference of both is added to the photo,
            which keeps what the generator cannot draw: skin, hair, background.
        feather: Width of the seam's soft edge in sides of the crop.

    Returns:
        The whole photo, RGB. `aligned.exif` is what its file said beside the pixels: `save(..., exif=aligned.exif)`.

    Raises:
        ImageError: The images are not square, or not of one size.
        SettingsError: `feather` is not in 0..0.5.
    """
    if not 0 <= feather <= 0.5:
        raise SettingsError(f"feather is {feather}: give a share of the crop's side, from 0 to 0.5.")
    new = _pixels(edited)
    layer = new if reference is None else new - _same_size(_pixels(reference), new)
    square = aligned.square
    photo = to_tensor(aligned.photo)
    low = np.maximum(np.floor(square.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(square.max(0)).astype(int) + 1, aligned.photo.size)

    # From the photo's pixels to -1..1 of the crop
    columns, rows = (torch.arange(low[k], high[k], dtype=torch.float64) for k in (0, 1))
    points = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1) - torch.from_numpy(square.mean(0))
    across = torch.from_numpy(square[1] - square[0])
    down = torch.from_numpy(square[3] - square[0])
    grid = 2 * torch.stack([points @ across / across.dot(across), points @ down / down.dot(down)], -1)
    layer = _smaller(layer, float(across.norm()))
    sampled = F.grid_sample(layer, grid.float()[None], mode="bicubic", padding_mode="border", align_corners=False)

    edge = (1 - grid.abs().amax(-1)) / max(2 * feather, 1e-6)  # 0 at the crop's border, 1 behind the soft edge
    edge = edge.clamp(0, 1).float()
    mask = edge * edge * (3 - 2 * edge)
    part = photo[:, :, low[1] : high[1], low[0] : high[0]]
    part += mask * (sampled if reference is not None else sampled - part)
    return to_pil(photo[0].clamp(-1, 1))


def _pixels(image: object) -> Tensor:
    """A square image as [1, 3, R, R] in [-1, 1]."""
    if isinstance(image, Tensor):
        tensor = image.detach().float().cpu()
        tensor = tensor[None] if tensor.ndim == 3 else tensor
    else:
        tensor = to_tensor(read_image(image))
    if tensor.ndim != 4 or tensor.shape[:2] != (1, 3) or tensor.shape[2] != tensor.shape[3]:
        raise ImageError(f"The edited face has shape {list(tensor.shape)}: give one square image, [3, R, R].")
    return tensor.clamp(-1, 1)


def _same_size(reference: Tensor, new: Tensor) -> Tensor:
    if reference.shape != new.shape:
        sizes = f"{new.shape[-1]} px wide and the reference {reference.shape[-1]}"
        raise ImageError(f"The edited face is {sizes}: draw both in one size.")
    return reference


def _smaller(layer: Tensor, side: float) -> Tensor:
    """Shrink a layer that is larger than its place, against aliasing."""
    return F.interpolate(layer, size=max(8, round(side)), mode="area") if layer.shape[-1] > side else layer


def _is_whole(square: np.ndarray, side: int) -> bool:
    """Whether the square is the whole of a square photo."""
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * side - 0.5
    return bool(np.abs(square - whole).max() < SAME * side)


def _exif(photo: object) -> bytes:
    """EXIF of a photo's file without its orientation, which has been applied; empty where there is none."""
    try:
        with Image.open(photo) if not isinstance(photo, Image.Image) else photo.copy() as image:
            tags = image.getexif() if not isinstance(photo, Image.Image) else photo.getexif()
        tags.pop(ExifTags.Base.Orientation, None)
        return tags.tobytes() if len(tags) else b""
    except Exception:  # not a file, or broken metadata: there is nothing to keep
        return b""
