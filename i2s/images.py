"""Images: the one place where files, PIL images and tensors become each other.

Inside the package an image is a float32 tensor [N, 3, H, W] in [-1, 1]: 0..255 becomes x / 127.5 - 1, and back by
rounding, which returns every 8-bit image as it was.

Every photo goes the same way, once, in this order:

    open      a path, bytes, a file, a PIL image or an array; its size is checked before it is decoded
    rotate    as the camera's EXIF orientation says
    colours   to sRGB: ICC profiles applied; 16 bits, grey, palette and CMYK become 8-bit RGB
    alpha     composited on white
    crop      the central square          (only when a size is asked for)
    resize    Lanczos, with antialiasing  (only when a size is asked for)

The result carries no metadata: no EXIF, no place, no camera.
"""

import contextlib
import io
import math
import os
import stat
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ExifTags, Image, ImageCms, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from i2s.errors import ImageError, OutputError, SettingsError, one_line
from i2s.files import local_path, write_atomically

MIN_SIDE = 16  # px: below this there is nothing to embed
MEMORY = 500_000_000  # bytes that reading one photo may take
BYTES_PER_PIXEL = {"WEBP": 16, "AVIF": 16}  # decoding at its worst, measured; 12 for CMYK, 10 for all else
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "HEIF")  # none runs a program
LARGEST = 16.0  # of |value| in an image tensor: generators leave [-1, 1] a little, [0, 255] leaves it a lot

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

_NO_BATCH = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
_ONE_IMAGE = (*_NO_BATCH, np.ndarray, Tensor)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")  # JPEG ... BMP
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RAW_BEGINNINGS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")  # of no other format
_PROFILES = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK", "L": "GRAY"}  # mode -> the ICC profiles that fit it


# ---- photos ----------------------------------------------------------------------------------------------------------


def read_image(source, size: int | None = None, min_side: int = MIN_SIDE, background: str = "white") -> Image.Image:
    """Read one photo as an upright 8-bit RGB image in sRGB.

    Args:
        source: A path; bytes; a file opened for reading bytes; a PIL image; or a NumPy array [H, W], [H, W, 1],
            [H, W, 3] or [H, W, 4] of bool, uint8, uint16 or floats in [0, 1] (for tensors see `load_photos`). Of an
            animation, the first frame is read.
        size: The central square is resized to size x size px; None keeps the whole image as large as it is.
        min_side: The fewest px that a side may have. The most are 50 megapixels (30 of WebP and AVIF, 40 of CMYK),
            which keeps the memory below some 500 MB.
        background: Colour that shows where the image is transparent.

    Returns:
        A PIL image of mode RGB, without metadata.

    Raises:
        ImageError: The source cannot be read; the message says why.
        SettingsError: No image has that size.
    """
    if size is not None:
        check_sides(size, size)
    name = str(source) if isinstance(source, (str, os.PathLike)) else "The picture"
    image = _open(source, name)
    if min(image.size) < min_side:
        size = f"{image.width} x {image.height}"
        raise ImageError(f"{name} is {size} px, too small: give one of at least {min_side} x {min_side} px.")
    try:
        # one by one: no step before the last is kept in memory
        image = _upright(image)
        image = _eight_bits(image, name)
        image = _srgb(image)
        image = _on_background(image, background)
    except ImageError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        raise ImageError(f"{name} has colours that cannot be read: save it as an RGB PNG or JPEG.") from error
    if size is not None:
        image = centre_crop(image).resize((size, size), Image.Resampling.LANCZOS)
    if image is source or type(image) is not Image.Image:
        image = image.copy()  # a plain image of our own, without what a reader remembers of its file
    image.info = {}
    return image


def load_photos(photos, resolution: int) -> Tensor:
    """Load photos as one batch.

    Args:
        photos: One, or several in a list or another iterable, of all that `read_image` takes and of tensors
            [3, H, W] or [N, 3, H, W] in [-1, 1].
        resolution: Each is cropped to its central square and resized (Lanczos) to this many px; a tensor that has
            the resolution already is taken as it is.

    Returns:
        [N, 3, resolution, resolution] in [-1, 1], float32, on the CPU.

    Raises:
        ImageError: A photo cannot be read; the message names its file and says why.
    """
    check_sides(resolution, resolution)
    return torch.cat([_load_one(item, resolution) for item in photo_list(photos)])


def photo_list(photos) -> list:
    """Return one photo, or several in any iterable, as a list; ImageError if there is none."""
    items = [photos] if isinstance(photos, _ONE_IMAGE) or hasattr(photos, "read") else as_list(photos)
    if not items:
        raise ImageError("There is no photo: give at least one.")
    return items


def _load_one(item, resolution: int) -> Tensor:
    if not isinstance(item, Tensor):
        return to_tensor(read_image(item, resolution))
    images = _check_tensor(item)
    height, width = images.shape[-2:]
    if (height, width) == (resolution, resolution):
        return images
    if min(height, width) < MIN_SIDE:
        least = f"{MIN_SIDE} x {MIN_SIDE}"
        raise ImageError(f"The tensor is {width} x {height} px, too small: give one of at least {least} px.")
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(images[..., top : top + side, left : left + side], resolution)


def load_mask(mask, resolution: int, photos=()) -> Tensor:
    """Load a mask.

    Args:
        mask: A tensor [N|1, 1, R, R] in 0..1, or an image as for `read_image` (white is 1, black and transparent are
            0), cropped as photos are.
        resolution: Px of a side.
        photos: What it is for, as for `load_photos`: an image must have their proportions, so that its places are
            theirs. Tensors that have the resolution already may come from anywhere, and are not compared.

    Returns:
        [N|1, 1, R, R] in 0..1.

    Raises:
        ImageError: The image cannot be read, is coloured, holds labels, or has other proportions than a photo.
        SettingsError: The tensor is no mask, or hides everything.
    """
    if not isinstance(mask, Tensor):
        image = read_image(mask, background="black")
        _check_greys(image)
        for photo in photo_list(photos) if isinstance(photos, _ONE_IMAGE) or photos else []:
            _check_proportions(image.size, _size_of(photo, resolution))
        grey = to_tensor(centre_crop(image)).mean(dim=1, keepdim=True)  # [1, 1, H, H]
        # by area: another filter would overshoot beside each edge
        mask = F.interpolate((grey + 1) / 2, (resolution, resolution), mode="area")
    return check_mask(mask)


def _check_greys(mask: Image.Image) -> None:
    """ImageError for an image whose values are hardly meant as 'counts' and 'does not'."""
    pixels = np.asarray(mask)  # [H, W, 3]
    if (pixels.max(axis=2) - pixels.min(axis=2)).max() > 64:
        raise ImageError("The mask has colours: save it in grey, white where pixels count and black elsewhere.")
    if 0 < pixels.max() < 128:
        raise ImageError(
            f"The brightest place of the mask is {pixels.max()} of 255, as in an image of labels: "
            "save it white (255) where pixels count and black (0) elsewhere."
        )


def _check_proportions(mask: tuple[int, int], photo: tuple[int, int] | None) -> None:
    """ImageError unless both (width, height) are alike but for rounding to whole px."""
    if photo is None:
        return
    width, height = mask
    allowed = 1 + max(mask) / min(*mask, *photo)  # px, which rounding to whole px can make
    if abs(width - photo[0] * height / photo[1]) > allowed and abs(height - photo[1] * width / photo[0]) > allowed:
        raise ImageError(
            f"The mask is {width} x {height} px, but the photo {photo[0]} x {photo[1]}: "
            "make it from the photo, with its proportions."
        )


def _size_of(photo, resolution: int) -> tuple[int, int] | None:
    """Return the (width, height) of an upright photo from its header; None if that does not say it."""
    if isinstance(photo, Tensor | np.ndarray):
        shape = tuple(photo.shape[-2:] if isinstance(photo, Tensor) else photo.shape[:2])
        return None if isinstance(photo, Tensor) and shape == (resolution, resolution) else shape[::-1]
    try:
        image = photo
        if not isinstance(photo, Image.Image):
            data = _read_all(photo) if hasattr(photo, "read") else photo
            is_path = isinstance(data, str | os.PathLike)
            image = Image.open(local_path(data) if is_path else io.BytesIO(data))
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return image.size[::-1] if turned else image.size
    except Exception:  # `load_photos` says what is wrong with it
        return None


def check_mask(mask: Tensor) -> Tensor:
    """Return the mask; SettingsError unless it is a float tensor [N, 1, H, W] in 0..1, none of its images empty."""
    if not isinstance(mask, Tensor) or mask.ndim != 4 or mask.shape[1] != 1 or not mask.is_floating_point():
        found = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise SettingsError(f"The mask is {found}, but must be a tensor of floats, [N, 1, H, W] or [1, 1, H, W].")
    if not ((mask >= 0) & (mask <= 1)).all():  # NaN is neither
        raise SettingsError("The mask holds values beyond 0..1: 1 is where pixels count, 0 where they do not.")
    if not torch.amax(mask, dim=(1, 2, 3)).all():
        raise SettingsError("The mask is 0 everywhere, so that no pixel counts: set it to 1 where pixels should.")
    return mask


# ---- tensors ---------------------------------------------------------------------------------------------------------


def to_tensor(images) -> Tensor:
    """Convert one image, or a list of equal size, of what `read_image` takes: [N, 3, H, W], float32 in [-1, 1]."""
    images = images if isinstance(images, (list, tuple)) else [images]
    if not images:
        raise ImageError("There is no picture: give at least one.")
    arrays = [np.asarray(read_image(image, min_side=1)) for image in images]  # each [H, W, 3]
    if len({array.shape for array in arrays}) > 1:
        sizes = ", ".join(sorted({f"{a.shape[1]} x {a.shape[0]}" for a in arrays}))
        raise ImageError(f"The pictures differ in size ({sizes}): use load_photos, which makes them equal.")
    pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)  # [N, 3, H, W]
    return dequantize(pixels).contiguous()


def to_uint8(images: Tensor) -> np.ndarray:
    """Convert images [N, 3, H, W] or [3, H, W] to an array [N, H, W, 3]; what lies beyond [-1, 1] is clipped.

    Raises:
        ImageError: Another shape, NaN or infinity.
    """
    return quantize(_check_tensor(images, largest=None)).permute(0, 2, 3, 1).contiguous().numpy()


def to_pil(image) -> Image.Image:
    """Convert one image, a tensor [3, H, W] or [1, 3, H, W] in [-1, 1] or as for `read_image`, to an RGB PIL image."""
    if not isinstance(image, Tensor):
        return read_image(image, min_side=1)
    pixels = to_uint8(image)
    if len(pixels) != 1:
        raise ImageError(f"There are {len(pixels)} images: take one of them, or make a contact_sheet.")
    return Image.fromarray(pixels[0])


def quantize(images: Tensor) -> Tensor:
    """Round values in [-1, 1] to uint8, of the same shape and on the same device; what lies beyond is clipped."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def dequantize(pixels: Tensor) -> Tensor:
    """Convert uint8 to float32 in [-1, 1], of the same shape and on the same device: the inverse of `quantize`."""
    return pixels.float() / 127.5 - 1


def resize(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize images by Lanczos with antialiasing, the filter of photos.

    Args:
        images: [N, 3, H, W] or [3, H, W].
        size: A side, or height and width, in px.

    Returns:
        [N, 3, height, width], float32, on the CPU, without gradients; what overshoots [-1, 1] is kept.

    Raises:
        ImageError: These are no images.
        SettingsError: No image has that size.
    """
    images = _check_tensor(images, largest=None)
    height, width = size if isinstance(size, (tuple, list, np.ndarray)) and len(size) == 2 else (size, size)
    check_sides(height, width)
    planes = images.reshape(-1, *images.shape[-2:]).numpy()  # [3N, H, W]
    lanczos = Image.Resampling.LANCZOS
    resized = [np.asarray(Image.fromarray(plane).resize((width, height), lanczos)) for plane in planes]
    return torch.from_numpy(np.stack(resized)).reshape(*images.shape[:2], height, width)


def downsample(images: Tensor, size: int | None) -> Tensor:
    """Reduce images [N, C, H, W] to at most `size` px on the shorter side (bicubic, antialiased); never enlarge them.

    Differentiable. By way of float32, as torch has no such filter for bfloat16 on the CPU. None never resizes.
    """
    shorter = min(images.shape[2:])
    if size is None or shorter <= size:
        return images
    smaller = [round(side * size / shorter) for side in images.shape[2:]]
    full = images if images.dtype == torch.float64 else images.float()
    return F.interpolate(full, smaller, mode="bicubic", antialias=True).to(images.dtype)


def gaussian_blur(images: Tensor, sigma: float | Tensor, radius: int | None = None) -> Tensor:
    """Blur images with a Gaussian, the border mirrored; differentiable.

    Args:
        images: [N, C, H, W].
        sigma: Standard deviation in px: one number, or [N] for one per image.
        radius: The kernel reaches this many px to each side; None is 3 sigma, rounded up.

    Raises:
        SettingsError: The images are smaller than the kernel's radius.
    """
    count, channels, height, width = images.shape
    radius = math.ceil(3 * float(torch.as_tensor(sigma, device="cpu").max())) if radius is None else radius
    if min(height, width) <= radius:
        raise SettingsError(f"A blur of {sigma} px needs more than {radius} px, but has {[height, width]}.")
    sigma = sigma.to(images)[:, None] if isinstance(sigma, Tensor) else sigma
    offset = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-(offset**2) / (2 * sigma**2))  # [K], or [N, K]
    kernel = (kernel / kernel.sum(dim=-1, keepdim=True)).expand(count, -1).repeat_interleave(channels, dim=0)
    x = F.pad(images, [radius] * 4, mode="reflect").flatten(0, 1)[None]  # [1, N C, H + 2 radius, W + 2 radius]
    x = F.conv2d(x, kernel[:, None, None, :], groups=count * channels)
    x = F.conv2d(x, kernel[:, None, :, None], groups=count * channels)
    return x.view(count, channels, height, width)


def _check_tensor(images: Tensor, largest: float | None = LARGEST) -> Tensor:
    """Return images as [N, 3, H, W], float32, on the CPU; ImageError when they are no images."""
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


# ---- writing ---------------------------------------------------------------------------------------------------------


def write_image(image, path: str | Path) -> Path:
    """Write one image.

    Args:
        image: A tensor [3, H, W] or [1, 3, H, W] in [-1, 1], or what `read_image` takes.
        path: The ending chooses the format (.png, .jpg, .jpeg, .webp, .tif, .tiff, .bmp); none means .png. The file
            is complete before it takes the place of an older one, and holds pixels only: no EXIF, no place.

    Returns:
        The file's path.

    Raises:
        ImageError: This is no image.
        OutputError: The file cannot be written.
    """
    path = local_path(path)
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


# ---- helpers ---------------------------------------------------------------------------------------------------------


def as_list(images) -> list:
    """Return one image or several as a list; ImageError for what is no image."""
    if isinstance(images, _NO_BATCH):
        return [images]
    try:
        return list(images)
    except TypeError:
        raise ImageError(f"A {type(images).__name__} is no picture: give a path or a picture.") from None


def check_sides(height, width) -> None:
    """SettingsError unless these are whole numbers of px, and the image fits the memory that one may take."""
    for side in (height, width):
        if isinstance(side, bool) or not isinstance(side, (int, np.integer)):
            raise SettingsError(f"size is {side!r}: give a whole number of px.")
        if side < 1:
            raise SettingsError(f"size is {side}, but a picture has at least 1 px.")
    if int(height) * int(width) * 10 > MEMORY:
        raise SettingsError(f"The picture would be {width} x {height} px: choose a size of 50 megapixels at most.")


def centre_crop(image: Image.Image) -> Image.Image:
    """Crop the largest square in the middle; whole px, so that tensors and PIL images are cropped alike."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image if image.width == image.height else image.crop((left, top, left + side, top + side))


def _open(source, name: str) -> Image.Image:
    """Open and decode any kind of source."""
    if isinstance(source, Image.Image):
        return _decode(source, name)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _open_file(io.BytesIO(source), name)
    if hasattr(source, "read"):
        return _open_file(io.BytesIO(_read_all(source)), name)
    if isinstance(source, (str, os.PathLike)):
        return _open_path(source, name)
    raise ImageError(f"A {type(source).__name__} is no picture: give a path, bytes, a PIL picture or array.")


def _open_path(source, name: str) -> Image.Image:
    path = local_path(source, ImageError, "download the picture and give the path of its file")
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise ImageError(f"{name} is a folder: give the photos that are in it.")
        if not stat.S_ISREG(kind):  # a pipe or a device could be read for ever
            raise ImageError(f"{name} is not an ordinary file: give the path of a photo.")
        with path.open("rb") as file:
            return _open_file(file, name)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"There is no file {name}: check the name and the folder.") from None
    except ImageError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: ~ of somebody who is not here
        reason = one_line(error).rstrip(".")
        raise ImageError(f"{name} cannot be opened ({reason}): check its name and permissions.") from error


def _read_all(file) -> bytes:
    """Read a whole opened file, from its beginning if it can seek."""
    try:
        if hasattr(file, "seek"):
            with contextlib.suppress(OSError):  # a pipe has no beginning to go back to
                file.seek(0)
        data = file.read(MEMORY + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"The file cannot be read ({error}): open it anew, with mode 'rb'.") from error
    if not isinstance(data, bytes):
        raise ImageError("The file was opened as text: open it with mode 'rb'.")
    if len(data) > MEMORY:
        raise ImageError(f"The file holds more than {MEMORY // 10**6} MB: give a smaller picture.")
    return data


def _open_file(file, name: str) -> Image.Image:
    """Decode a seekable file; everything that is wrong with it becomes an ImageError."""
    head = file.read(256)
    file.seek(0)
    if not head:
        raise ImageError(f"{name} is empty (0 bytes): copy or download it again.")
    Image.init()
    heic = head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS
    if heic and not _can_read_heic():
        raise ImageError(f"{name} is a HEIC photo: install pillow-heif to read it, or save it as JPEG.")
    if _is_raw(file, head):
        raise ImageError(f"{name} is a camera's raw file, of which only the thumbnail could be read: save it as JPEG.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked below, and of odd metadata
            image = Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN])
    except UnidentifiedImageError:
        raise ImageError(_not_a_picture(head, name)) from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} is larger than can be read: make it smaller first.") from None
    except Exception as error:  # readers raise almost anything on a broken header
        raise ImageError(f"{name} is damaged or cut short: copy or download it again.") from error
    return _decode(image, name)


def _decode(image: Image.Image, name: str) -> Image.Image:
    """Decode the pixels, once their size is known to fit the memory."""
    if _shows_raw(getattr(image, "tag_v2", {})):
        raise ImageError(f"{name} is a camera's raw file, of which only the thumbnail could be read: save it as JPEG.")
    _check_size(*image.size, name, BYTES_PER_PIXEL.get(image.format, 12 if image.mode == "CMYK" else 10))
    tile = [getattr(image, "tag_v2", {}).get(tag) for tag in (322, 323)]
    if all(isinstance(side, int) for side in tile):  # a tile of a TIFF can be larger than the picture
        _check_size(*tile, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Exception as error:  # decoders raise almost anything on broken data
        raise ImageError(f"{name} is damaged or cut short: copy or download it again.") from error
    return image


def _check_size(width: int, height: int, name: str, bytes_per_pixel: int = 10) -> None:
    """ImageError for an image so large that it could fill the memory."""
    if width * height * bytes_per_pixel > MEMORY:
        limit = int((MEMORY / bytes_per_pixel) ** 0.5) // 100 * 100
        raise ImageError(f"{name} is {width} x {height} px: make it smaller, at most {limit} x {limit}.")


def _is_raw(file, head: bytes) -> bool:
    """True for the raw file of a camera; the file is left at its beginning."""
    if head.startswith(_RAW_BEGINNINGS) or head[4:12] == b"ftypcrx " or (head[:4] in _TIFF and head[8:10] == b"CR"):
        return True
    if head[:4] not in _TIFF:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken directories
            tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if b"+" in head[2:4] else 8))
            file.seek(tags.next)
            tags.load(file)
            return _shows_raw(tags)
    except Exception:  # a broken directory; the reader says so
        return False
    finally:
        file.seek(0)


def _shows_raw(tags) -> bool:
    """True if the first directory of a TIFF is of sensor data, or of a thumbnail with the photo elsewhere in the file.

    Tags are 254 NewSubfileType (bit 0: reduced), 262 PhotometricInterpretation, 330 SubIFDs, 50706 DNGVersion.
    """
    if 50706 in tags or tags.get(262) in (32803, 34892):  # CFA, LinearRaw
        return True
    return bool(tags.get(254, 0) & 1) and (330 in tags or bool(getattr(tags, "next", 0)))


def _can_read_heic() -> bool:
    """True if the optional package pillow-heif is installed; it is then registered with Pillow."""
    try:
        import pillow_heif
    except ImportError:
        return "HEIF" in Image.OPEN
    pillow_heif.register_heif_opener()
    return True


def _not_a_picture(head: bytes, name: str) -> str:
    """The message for a file that no reader knows; `head` is its beginning."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<") and b"<svg" in text:
        return f"{name} is an SVG drawing: save it as PNG first."
    if text.startswith(b"<") and any(tag in text for tag in (b"<!doctype html", b"<html", b"<head")):
        return f"{name} is a web page, not a picture: the download went wrong; save the picture itself."
    if text.startswith(b"%pdf"):
        return f"{name} is a PDF document: save the photo in it as JPEG or PNG."
    if text.startswith(b"version https://git-lfs"):
        return f"{name} is only a pointer to a picture in Git LFS: fetch it with `git lfs pull`."
    if head.startswith((b"\x93NUMPY", b"PK\3\4", b"\x80")) or head[8:10] == b'{"':
        return f"{name} is a file of numbers, such as a latent code or weights, not a picture: give a photo."
    if head.startswith(_BEGINNINGS):
        return f"{name} is damaged or cut short: copy or download it again."
    return f"{name} is in no picture format that can be read: save it as JPEG or PNG."


def _from_array(array: np.ndarray) -> Image.Image:
    """Convert an array [H, W], [H, W, 1 | 3 | 4] of bool, uint8, uint16 or floats in [0, 1]."""
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,), (4,)):
        raise ImageError(f"The array has shape {list(array.shape)}: give [H, W], [H, W, 3] or [H, W, 4].")
    array = array[..., 0] if array.shape[2:] == (1,) else array
    if 0 in array.shape:
        raise ImageError("The array is empty: give one of at least one pixel.")
    _check_size(array.shape[1], array.shape[0], "The array")
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype == np.uint16:
        array = _from_16_bits(array)
    elif np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())  # NaN wins both
        if not (-0.01 <= low and high <= 1.01):
            raise ImageError(
                f"The array holds floats from {low:g} to {high:g}: give finite values in [0, 1], "
                "or a tensor [3, H, W] in [-1, 1]."
            )
        array = (array.clip(0, 1) * 255).round().astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"The array is of {array.dtype}: give uint8 in [0, 255] or floats in [0, 1].")
    return Image.fromarray(np.ascontiguousarray(array))


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
            return ImageOps.exif_transpose(image) if turned else image  # which copies an upright image
    except Exception:  # broken metadata do not make a photo unreadable
        return image


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Convert grey of 16 or 32 bits to 8 bits, white staying white; other modes stay as they are."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(_from_16_bits(np.asarray(image)))
    if image.mode == "I":  # 16 bits in a wider type
        return Image.fromarray(_from_16_bits(np.asarray(image).clip(0, 65535).astype(np.uint16)))
    if image.mode == "F":
        array = np.asarray(image)
        low, high = array.min(), array.max()  # NaN wins both; Pillow's own extrema pass over it
        if not (low >= 0 and high <= 1):
            raise ImageError(f"{name} holds floats from {low:g} to {high:g}: save it with 8 or 16 bits.")
        return Image.fromarray((array * 255).round().astype(np.uint8))
    return image


def _from_16_bits(array: np.ndarray) -> np.ndarray:
    """round(array / 257) as uint8, so that 65535 becomes 255; in 8 and 16 bits, to save memory."""
    high, low = (array >> 8).astype(np.uint8), (array & 255).astype(np.uint8)
    rest = low.astype(np.int16) - high  # array = 257 * high + rest
    return high + (rest > 128) - (rest < -128).astype(np.uint8)


def _srgb(image: Image.Image) -> Image.Image:
    """Convert to RGB, or RGBA if something is transparent, in sRGB; without a usable profile it counts as sRGB."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    profile = _profile(image)
    space = profile.profile.xcolor_space.strip() if profile else None
    if space == "RGB" or mode == "RGBA":
        image = _in_mode(image, mode)
    if profile and _PROFILES.get(image.mode) == space:
        try:
            return ImageCms.profileToProfile(
                image,
                profile,
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode=mode,
                flags=0x2000,  # cmsFLAGS_BLACKPOINTCOMPENSATION, which older Pillow does not name
            )
        except ImageCms.PyCMSError:  # as browsers do: a broken profile counts as none
            pass
    return _in_mode(image, mode)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _profile(image: Image.Image):
    """The image's ICC profile, or None if it has none or a broken one."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    except (KeyError, TypeError, OSError, ImageCms.PyCMSError):
        return None


def _on_background(image: Image.Image, colour: str) -> Image.Image:
    """Composite RGBA on a colour."""
    if image.mode != "RGBA":
        return image
    behind = Image.new("RGB", image.size, colour)
    behind.paste(image, mask=image.getchannel("A"))
    return behind
