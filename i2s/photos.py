"""Opening photos: whatever a user has becomes one upright RGB picture in sRGB.

Every photo goes the same way, once, in this order:

    open      a path, bytes, a file, a PIL picture or an array; its size is judged before it is decoded
    rotate    as the camera's EXIF orientation says
    colours   to sRGB: ICC profiles applied; 16 bits, grey, palette and CMYK become 8-bit RGB
    alpha     laid on white
    crop      the central square          (only when a size is asked for)
    resize    Lanczos, with antialiasing  (only when a size is asked for)

The result carries no metadata: no EXIF, no place, no camera.
"""

import io
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from i2s.errors import ImageError, SettingsError, one_line

MIN_SIDE = 16  # px: below this there is nothing to embed
MEMORY = 500_000_000  # bytes that reading one photo may take
BYTES_PER_PIXEL = {"WEBP": 16, "AVIF": 16}  # decoding at its worst, measured; 12 for CMYK, 10 for all else
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "HEIF")  # none runs a program

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")  # JPEG ... BMP


def read_image(source, size: int | None = None, min_side: int = MIN_SIDE) -> Image.Image:
    """Read one photo as an upright 8-bit RGB picture in sRGB.

    source: a path; bytes; a file opened for reading bytes; a PIL picture; or a NumPy array [H, W], [H, W, 1],
    [H, W, 3] or [H, W, 4] of bool, uint8, uint16 or floats in [0, 1] (tensors: `i2s.images.load_photos`).
    size: the central square, resized to size x size; None keeps the whole picture as large as it is.
    Of an animation, the first frame. At least `min_side` px on each side, and at most 50 megapixels (30 of
    WebP and AVIF, 40 of CMYK), which keeps the memory below some 500 MB.
    ImageError, in one sentence, for everything that cannot be read.
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
        image = _on_white(image)
    except ImageError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        raise ImageError(f"{name} has colours that cannot be read: save it as an RGB PNG or JPEG.") from error
    if size is not None:
        image = centre_crop(image).resize((size, size), Image.Resampling.LANCZOS)
    if image is source or type(image) is not Image.Image:
        image = image.copy()  # a plain picture of our own, without what a reader remembers of its file
    image.info = {}
    return image


def check_sides(height, width) -> None:
    """SettingsError unless these are whole numbers of px, and the picture fits the memory that one may take."""
    for side in (height, width):
        if isinstance(side, bool) or not isinstance(side, (int, np.integer)):
            raise SettingsError(f"size is {side!r}: give a whole number of px.")
        if side < 1:
            raise SettingsError(f"size is {side}, but a picture has at least 1 px.")
    if int(height) * int(width) * 10 > MEMORY:
        raise SettingsError(f"The picture would be {width} x {height} px: choose a size of 50 megapixels at most.")


def centre_crop(image: Image.Image) -> Image.Image:
    """The largest square in the middle of a picture."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image if image.width == image.height else image.crop((left, top, left + side, top + side))


def _open(source, name: str) -> Image.Image:
    """The decoded picture of any kind of source."""
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
    if name.startswith(("http://", "https://")):
        raise ImageError(f"{name} is a web address: download the picture and give the path of its file.")
    try:
        path = Path(source).expanduser()
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
    """The whole of an opened file, from its beginning where it can go there."""
    try:
        if hasattr(file, "seek"):
            try:
                file.seek(0)
            except OSError:  # a pipe has no beginning to go back to
                pass
        data = file.read(MEMORY + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"The file cannot be read ({error}): open it anew, with mode 'rb'.") from error
    if not isinstance(data, bytes):
        raise ImageError("The file was opened as text: open it with mode 'rb'.")
    if len(data) > MEMORY:
        raise ImageError(f"The file holds more than {MEMORY // 10**6} MB: give a smaller picture.")
    return data


def _open_file(file, name: str) -> Image.Image:
    """Decode a file that can seek; everything that is wrong with it becomes an ImageError."""
    head = file.read(256)
    file.seek(0)
    if not head:
        raise ImageError(f"{name} is empty (0 bytes): copy or download it again.")
    Image.init()
    heic = head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS
    if heic and not _can_read_heic():
        raise ImageError(f"{name} is a HEIC photo: install pillow-heif to read it, or save it as JPEG.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are judged below, and of odd metadata
            image = Image.open(file, formats=[f for f in FORMATS if f in Image.OPEN])
    except UnidentifiedImageError:
        raise ImageError(_not_a_picture(head, name)) from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} is larger than can be read: make it smaller first.") from None
    except Exception as error:  # readers raise almost anything on a broken header
        raise ImageError(f"{name} is damaged or cut short: copy or download it again.") from error
    return _decode(image, name)


def _decode(image: Image.Image, name: str) -> Image.Image:
    """Decode the pixels, after a look at what they will cost."""
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
    """ImageError for a picture so large that it could fill the memory."""
    if width * height * bytes_per_pixel > MEMORY:
        limit = int((MEMORY / bytes_per_pixel) ** 0.5) // 100 * 100
        raise ImageError(f"{name} is {width} x {height} px: make it smaller, at most {limit} x {limit}.")


def _can_read_heic() -> bool:
    """Whether the optional package pillow-heif is there; it then adds HEIC to what Pillow reads."""
    try:
        import pillow_heif
    except ImportError:
        return "HEIF" in Image.OPEN
    pillow_heif.register_heif_opener()
    return True


def _not_a_picture(head: bytes, name: str) -> str:
    """Why no reader knows the file that begins with `head`."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<") and b"<svg" in text:
        return f"{name} is an SVG drawing: save it as PNG first."
    if text.startswith(b"<") and any(tag in text for tag in (b"<!doctype html", b"<html", b"<head")):
        return f"{name} is a web page, not a picture: the download went wrong; save the picture itself."
    if text.startswith(b"%pdf"):
        return f"{name} is a PDF document: save the photo in it as JPEG or PNG."
    if text.startswith(b"version https://git-lfs"):
        return f"{name} is only a pointer to a picture in Git LFS: fetch it with `git lfs pull`."
    if head.startswith(_BEGINNINGS):
        return f"{name} is damaged or cut short: copy or download it again."
    return f"{name} is in no picture format that can be read: save it as JPEG or PNG."


def _from_array(array: np.ndarray) -> Image.Image:
    """A picture of an array [H, W], [H, W, 1 | 3 | 4] of bool, uint8, uint16 or floats in [0, 1]."""
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


# EXIF orientation -> the turn that sets the picture upright
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(0x0112))
    except Exception:  # broken metadata do not make a photo unreadable
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Grey of 16 or 32 bits as 8 bits, white staying white; other pictures as they are."""
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
    """round(array / 257) as uint8, so that 65535 becomes 255; in 8 and 16 bits, to be sparing with memory."""
    high, low = (array >> 8).astype(np.uint8), (array & 255).astype(np.uint8)
    rest = low.astype(np.int16) - high  # array = 257 * high + rest
    return high + (rest > 128) - (rest < -128).astype(np.uint8)


_SPACES = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK", "L": "GRAY"}  # mode -> the profiles that fit it


def _srgb(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something is transparent, in sRGB; without a usable profile it counts as sRGB."""
    mode = "RGBA" if image.has_transparency_data else "RGB"
    profile = _profile(image)
    space = profile.profile.xcolor_space.strip() if profile else None
    if space == "RGB" or mode == "RGBA":
        image = _in_mode(image, mode)
    if profile and _SPACES.get(image.mode) == space:
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
    """The picture's ICC profile, or None when it has none or a broken one."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    except (KeyError, TypeError, OSError, ImageCms.PyCMSError):
        return None


def _on_white(image: Image.Image) -> Image.Image:
    """RGB of an RGBA picture over white."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white
