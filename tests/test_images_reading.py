"""Reading photos: everything a user has becomes the same upright RGB picture, or one sentence that says why not."""

import io
import os
import pickle
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin, features
from safetensors.torch import save

from i2s.errors import ImageError, SettingsError
from i2s.images import MIN_SIDE, read_image
from i2s.weights import write_latents

RED, GREEN, BLUE, GREY = (200, 40, 40), (40, 180, 60), (50, 60, 200), (180, 180, 180)
QUADRANTS = ((RED, GREEN), (BLUE, GREY))


def picture(width=96, height=64) -> Image.Image:
    """Four quadrants: red, green / blue, grey."""
    image = Image.new("RGB", (width, height))
    for row, colours in enumerate(QUADRANTS):
        for column, colour in enumerate(colours):
            left, top = column * width // 2, row * height // 2
            image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(image: Image.Image) -> list[list[tuple]]:
    """The colours in the middle of the four quadrants."""
    places = [[(image.width * x // 4, image.height * y // 4) for x in (1, 3)] for y in (1, 3)]
    return [[image.getpixel(place) for place in row] for row in places]


def assert_quadrants(image: Image.Image, tolerance=6, expected=QUADRANTS):
    assert image.mode == "RGB"
    difference = np.array(corners(image), dtype=int) - np.array(expected)
    assert np.abs(difference).max() <= tolerance, corners(image)


def grey16(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(255)
    return image


# --- kinds of files ---

COLOUR = {
    "jpeg": lambda p: encoded(p, "JPEG", quality=95),
    "jpeg progressive": lambda p: encoded(p, "JPEG", quality=95, progressive=True),
    "jpeg cmyk": lambda p: encoded(p.convert("CMYK"), "JPEG", quality=98),
    "png": lambda p: encoded(p, "PNG"),
    "png rgba": lambda p: encoded(with_alpha(p), "PNG"),
    "png palette": lambda p: encoded(p.quantize(16), "PNG"),
    "png interlaced palette with a transparent entry": lambda p: encoded(p.quantize(16), "PNG", transparency=9),
    "webp": lambda p: encoded(p, "WEBP", quality=95),
    "webp lossless": lambda p: encoded(with_alpha(p), "WEBP", lossless=True),
    "gif": lambda p: encoded(p, "GIF"),
    "gif of two frames": lambda p: encoded(p, "GIF", save_all=True, append_images=[Image.new("RGB", p.size)]),
    "tiff": lambda p: encoded(p, "TIFF"),
    "tiff lzw": lambda p: encoded(p, "TIFF", compression="tiff_lzw"),
    "tiff cmyk": lambda p: encoded(p.convert("CMYK"), "TIFF"),
    "tiff ycbcr": lambda p: encoded(p.convert("YCbCr"), "TIFF", compression="jpeg", quality=95),
    "bmp": lambda p: encoded(p, "BMP"),
    "ppm": lambda p: encoded(p, "PPM"),
}
GREYS = {
    "png grey": lambda p: encoded(p.convert("L"), "PNG"),
    "png grey alpha": lambda p: encoded(p.convert("L").convert("LA"), "PNG"),
    "png 16 bit": lambda p: encoded(grey16(p), "PNG"),
    "tiff 16 bit": lambda p: encoded(grey16(p), "TIFF"),
    "tiff 32 bit": lambda p: encoded(Image.fromarray(np.asarray(grey16(p)).astype(np.int32)), "TIFF"),
    "tiff float": lambda p: encoded(Image.fromarray(np.asarray(p.convert("L"), np.float32) / 255), "TIFF"),
    "jpeg grey": lambda p: encoded(p.convert("L"), "JPEG", quality=95),
    "pgm 16 bit": lambda p: b"P5 %d %d 65535\n" % p.size + np.asarray(grey16(p)).astype(">u2").tobytes(),
}


@pytest.mark.parametrize("kind", COLOUR)
def test_reads_colour(kind):
    image = read_image(COLOUR[kind](picture()))
    assert image.size == (96, 64)
    assert_quadrants(image)


@pytest.mark.parametrize("kind", GREYS)
def test_reads_grey_as_rgb(kind):
    luma = picture().convert("L").convert("RGB")
    assert_quadrants(read_image(GREYS[kind](picture())), tolerance=3, expected=corners(luma))


def test_reads_rgb_of_16_bits():
    """A PNG with 16 bits for each of R, G, B, which Pillow cannot write: made by hand."""
    pixels = np.asarray(picture()).astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    assert_quadrants(read_image(png_of(96, 64, rows, depth=16)), tolerance=0)


def png_of(width, height, rows, depth=8, colour=2) -> bytes:
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_reads_one_bit():
    image = read_image(encoded(picture().convert("L").point(lambda value: 255 * (value > 110), "1"), "PNG"))
    black, white = (0, 0, 0), (255, 255, 255)
    assert_quadrants(image, tolerance=0, expected=((black, white), (black, white)))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_reads_avif():
    assert_quadrants(read_image(encoded(picture(), "AVIF", quality=95)))


def test_reads_heic():
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif, which is optional, is not here")
    buffer = io.BytesIO()
    heif.from_pillow(picture()).save(buffer, quality=95)
    assert_quadrants(read_image(buffer.getvalue()), tolerance=10)


def test_heic_without_pillow_heif_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # makes `import pillow_heif` fail
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(ImageError, match="install pillow-heif"):
        read_image(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(64))


def test_every_value_of_16_bits_is_rounded():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.round(values / 257).astype(np.uint8)
    assert (np.asarray(read_image(values))[..., 0] == expected).all()
    assert (np.asarray(read_image(encoded(Image.fromarray(values), "PNG")))[..., 1] == expected).all()


# --- sources ---


def test_all_sources_give_the_same_picture(tmp_path, monkeypatch):
    data = encoded(picture(), "PNG")
    path = tmp_path / "a photo, with ünusual name.PNG"
    path.write_bytes(data)
    expected = read_image(data)
    pixels = np.asarray(expected)
    monkeypatch.setenv("HOME", str(tmp_path))
    with path.open("rb") as file:
        file.read(10)  # a file that was looked at before
        sources = {
            "path": path,
            "string": str(path),
            "home": f"~/{path.name}",
            "file": file,
            "memory": io.BytesIO(data),
            "bytearray": bytearray(data),
            "pil": Image.open(path),
            "uint8": pixels,
            "float": pixels / 255,
            "float32": (pixels / 255).astype(np.float32),
            "uint16": pixels.astype(np.uint16) * 257,
            "rgba": np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]),
            "strided": pixels[::-1][::-1],
        }
        for name, source in sources.items():
            assert (np.asarray(read_image(source)) == pixels).all(), name


def test_grey_and_bool_arrays():
    grey = np.asarray(picture().convert("L"))
    expected = np.stack([grey] * 3, axis=-1)
    assert (np.asarray(read_image(grey)) == expected).all()
    assert (np.asarray(read_image(grey[..., None])) == expected).all()
    assert (np.asarray(read_image(grey > 100)) == 255 * (expected > 100)).all()


def test_the_users_picture_stays_as_it_is():
    mine = Image.open(io.BytesIO(encoded(picture(), "PNG", dpi=(72, 72))))
    before = dict(mine.info)
    result = read_image(mine)
    result.paste((0, 0, 0), (0, 0, 96, 64))
    assert mine.info == before and before and mine.getpixel((3, 3)) == RED
    plain = picture()
    read_image(plain).paste((0, 0, 0), (0, 0, 96, 64))
    assert plain.getpixel((3, 3)) == RED
    pixels = np.asarray(plain).copy()
    read_image(pixels).paste((0, 0, 0), (0, 0, 96, 64))
    assert tuple(pixels[3, 3]) == RED


# --- the order: rotate, colours, alpha, crop, resize ---

T = Image.Transpose
# what a camera stores for each orientation, of an upright picture
STORED = {1: None, 2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM}
STORED |= {5: T.TRANSPOSE, 6: T.ROTATE_90, 7: T.TRANSVERSE, 8: T.ROTATE_270}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_rotation(kind, orientation):
    upright = picture()
    stored = upright if STORED[orientation] is None else upright.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)
    for source in (data, Image.open(io.BytesIO(data))):
        image = read_image(source)
        assert image.size == (96, 64)
        assert_quadrants(image, tolerance=30)  # chroma subsampling and the default quality
        assert read_image(image).size == (96, 64)  # and is not turned once more


def test_broken_exif_does_not_matter():
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\x12\x01" * 9, quality=95)
    assert_quadrants(read_image(data))


def test_no_metadata_is_kept():
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)  # GPS latitude
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        options = {"icc_profile": icc()} if kind != "TIFF" else {}
        image = read_image(encoded(picture(), kind, exif=exif, **options))
        assert type(image) is Image.Image and image.info == {} and not dict(image.getexif()), kind


def raw_like(tags: dict, sub: bool = False, magic: bytes = b"") -> bytes:
    """A TIFF of a 40x30 thumbnail with further tags in its first directory; `sub` adds the photo as a SubIFD."""
    buffer = io.BytesIO()
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[tag] = value
        info.tagtype[tag] = 4 if tag in (254, 330) else 1 if tag == 50706 else 3
    if sub:
        info[330] = 8
        info.tagtype[330] = 4
    Image.new("RGB", (40, 30), "red").save(buffer, "TIFF", tiffinfo=info)
    data = buffer.getvalue()
    return data[:8] + magic + data[8 + len(magic) :]


RAWS = {
    "thumbnail and SubIFD": raw_like({254: 1}, sub=True),
    "DNG": raw_like({50706: b"\1\4\0\0"}),
    "CFA": raw_like({}).replace(
        b"\x06\x01\x03\x00\x01\x00\x00\x00\x02\x00", b"\x06\x01\x03\x00\x01\x00\x00\x00\x23\x80"
    ),
    "LinearRaw": raw_like({}).replace(
        b"\x06\x01\x03\x00\x01\x00\x00\x00\x02\x00", b"\x06\x01\x03\x00\x01\x00\x00\x00\x4c\x88"
    ),
    "RAF": b"FUJIFILMCCD-RAW " + b"0" * 200,
    "ORF": b"IIRO" + b"\0" * 200,
    "RW2": b"IIU\0" + b"\0" * 200,
    "CR3": b"\0\0\0\x18ftypcrx " + b"\0" * 200,
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 200,
}


@pytest.mark.parametrize("kind", RAWS)
def test_a_cameras_raw_file_is_named(tmp_path, kind):
    path = tmp_path / "photo.tif"
    path.write_bytes(RAWS[kind])
    for source in (path, RAWS[kind]):
        with pytest.raises(ImageError, match="raw file.*save it as JPEG"):
            read_image(source)


def test_a_raw_file_that_was_opened_before_is_named():
    with pytest.raises(ImageError, match="raw file"):
        read_image(Image.open(io.BytesIO(RAWS["thumbnail and SubIFD"])))


def test_a_thumbnail_before_its_photo_is_named():
    thumbnail, photo = Image.new("RGB", (40, 30)), Image.new("RGB", (400, 300))
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    buffer = io.BytesIO()
    thumbnail.save(buffer, "TIFF", tiffinfo={254: 1}, save_all=True, append_images=[photo])
    with pytest.raises(ImageError, match="thumbnail"):
        read_image(buffer.getvalue())


@pytest.mark.parametrize("tags", [{}, {254: 0}, {254: 1}, {254: 2}])
def test_other_tiffs_are_read(tags):
    """Also a reduced one with nothing else in the file, a page of a document, and a pyramid after its photo."""
    assert read_image(raw_like(tags)).size == (40, 30)
    if not tags.get(254, 0) & 1:
        assert read_image(raw_like(tags, sub=True)).size == (40, 30)


def test_alpha_is_laid_on_white():
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((200, 0, 0, 128), (0, 0, 32, 64))
    result = read_image(encoded(image, "PNG"))
    assert result.getpixel((50, 9)) == (255, 255, 255)
    assert result.getpixel((9, 9)) == pytest.approx((227, 127, 127), abs=1)
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert read_image(encoded(palette, "PNG", transparency=1)).getpixel((5, 5)) == (255, 255, 255)
    assert read_image(encoded(palette, "PNG", transparency=0)).getpixel((5, 5)) == (255, 0, 0)
    grey = Image.merge("LA", (Image.new("L", (32, 32), 100), Image.new("L", (32, 32), 0)))
    assert read_image(encoded(grey, "PNG")).getpixel((5, 5)) == (255, 255, 255)


def test_crops_the_central_square_then_resizes():
    wide = Image.new("RGB", (300, 100), RED)
    wide.paste(GREEN, (100, 0, 200, 100))
    for image in (wide, wide.transpose(T.ROTATE_90)):
        result = read_image(encoded(image, "PNG"), 40)
        assert result.size == (40, 40)
        assert {result.getpixel(p) for p in ((0, 0), (39, 39), (20, 20))} == {GREEN}


def test_resizing_is_antialiased():
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255  # the finest pattern there is: without a filter it would come out black or white
    result = np.asarray(read_image(stripes, 64)).astype(float)
    assert np.abs(result[:, 3:-3] - 127.5).max() < 1
    photo = picture(256, 256)
    assert read_image(photo, 100).tobytes() == photo.resize((100, 100), Image.Resampling.LANCZOS).tobytes()


# --- colour profiles ---


def icc(space=b"RGB ", pcs=b"XYZ ", kind=b"mntr", tags=None) -> bytes:
    """A small ICC profile; by default RGB with the primaries of red and green exchanged."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if tags is None:
        found = {srgb[132 + 12 * k : 136 + 12 * k]: srgb[136 + 12 * k : 144 + 12 * k] for k in range(srgb[131])}

        def read(tag):
            return srgb[(at := struct.unpack(">II", found[tag]))[0] : sum(at)]

        tags = {tag: read(tag) for tag in (b"wtpt", b"rTRC", b"gTRC", b"bTRC", b"bXYZ")}
        tags |= {b"rXYZ": read(b"gXYZ"), b"gXYZ": read(b"rXYZ")}
    name = "exchanged".encode("utf-16-be")
    tags[b"desc"] = b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(name), 28) + name
    table, data = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        value += bytes(-len(value) % 4)
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value
    header = bytearray(srgb[:128])
    header[12:24] = kind + space + pcs
    header[0:4] = struct.pack(">I", 128 + len(table) + len(data))
    return bytes(header) + table + data


def grey_icc() -> bytes:
    """Grey with a linear curve: 128 is shown as sRGB's 188."""
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    return icc(b"GRAY", tags={b"wtpt": white, b"kTRC": b"curv" + struct.pack(">III", 0, 0, 0)[:8]})


def cmyk_icc() -> bytes:
    """CMYK of which every ink gives the same grey, L* 50."""
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + bytes([128, 128, 128]) * 16 + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    return icc(b"CMYK", b"Lab ", b"prtr", {b"wtpt": white, b"A2B0": table})


EXCHANGED = tuple(tuple((g, r, b) for r, g, b in row) for row in QUADRANTS)


def test_profiles_are_applied():
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        assert_quadrants(read_image(encoded(picture(), kind, icc_profile=icc())), tolerance=9, expected=EXCHANGED)


def test_profiles_of_palette_alpha_and_grey_in_rgb():
    quantized = encoded(picture().quantize(16), "PNG", icc_profile=icc())
    assert_quadrants(read_image(quantized), tolerance=2, expected=EXCHANGED)
    transparent = picture().convert("RGBA")
    transparent.paste((0, 0, 0, 0), (0, 0, 20, 20))
    result = read_image(encoded(transparent, "PNG", icc_profile=icc()))
    assert result.getpixel((3, 3)) == (255, 255, 255)
    assert_quadrants(result, tolerance=2, expected=EXCHANGED)
    grey = read_image(encoded(picture().convert("L"), "PNG", icc_profile=icc()))
    assert corners(grey)[1][1] == pytest.approx(GREY, abs=3)


def test_profiles_of_grey_and_cmyk():
    half = Image.new("L", (32, 32), 128)
    assert read_image(encoded(half, "PNG", icc_profile=grey_icc())).getpixel((5, 5)) == pytest.approx((188,) * 3, abs=1)
    half.paste(60, (0, 0, 16, 32))
    clear = read_image(encoded(half, "PNG", icc_profile=grey_icc(), transparency=128))
    assert clear.getpixel((20, 5)) == (255, 255, 255) and clear.getpixel((5, 5)) == (60, 60, 60)
    inks = picture().convert("CMYK")
    for kind in ("TIFF", "JPEG"):
        pixel = read_image(encoded(inks, kind, icc_profile=cmyk_icc())).getpixel((5, 5))
        assert max(pixel) - min(pixel) <= 3 and 90 < pixel[0] < 150, (kind, pixel)


MISFITS = {"junk": b"nonsense", "hollow": icc(tags={}), "cut": icc()[:200], "grey": grey_icc(), "cmyk": cmyk_icc()}


@pytest.mark.parametrize("name", MISFITS)
def test_a_profile_that_does_not_fit_counts_as_none(name):
    assert_quadrants(read_image(encoded(picture(), "PNG", icc_profile=MISFITS[name])), tolerance=0)


def test_srgb_is_left_alone():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    assert read_image(encoded(noise, "PNG", icc_profile=profile)).tobytes() == noise.tobytes()


# --- bad input ---


def check_sentence(error) -> None:
    """One sentence that says what is wrong, and after the colon what to do."""
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and re.search(r": [a-z]", text), text
    assert not re.search(r"\. [A-Z]", text) and len(text.replace("x" * 300, "")) < 250, text


BAD = {
    "web page": (b"<!DOCTYPE html>\n<html><head><title>404</title>", "web page"),
    "web page after a comment": (b"\xef\xbb\xbf\n<!-- x --><HTML>", "web page"),
    "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "pdf": (b"%PDF-1.7 ...", "PDF"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "text": (b"Dear reader", "no picture format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n", "no picture format"),
    "zeros": (bytes(1000), "no picture format"),
    "empty": (b"", "empty"),
    "cut jpeg": (encoded(picture(), "JPEG")[:300], "cut short"),
    "cut jpeg header": (encoded(picture(), "JPEG")[:12], "cut short"),
    "cut png": (encoded(picture(), "PNG")[:60], "cut short"),
    "cut png header": (encoded(picture(), "PNG")[:12], "cut short"),
    "cut webp": (encoded(picture(), "WEBP")[:60], "cut short"),
    "cut gif": (encoded(picture(), "GIF")[:200], "cut short"),
    "cut tiff": (encoded(picture(), "TIFF")[:4000], "cut short"),
    "cut bmp": (encoded(picture(), "BMP")[:500], "cut short"),
    "one pixel": (encoded(Image.new("RGB", (1, 1)), "PNG"), "too small"),
    "a line": (encoded(Image.new("RGB", (500, MIN_SIDE - 1)), "PNG"), "too small"),
    "declares 60000 x 60000": (png_of(60000, 60000, b""), "too large|larger than|smaller"),
    "declares 9000 x 9000": (png_of(9000, 9000, b""), "at most 7000 x 7000"),
    "floats beyond 1": (encoded(Image.fromarray(np.full((32, 32), 7, np.float32)), "TIFF"), "floats"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name, tmp_path):
    data, message = BAD[name]
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message) as error:
        read_image(path, 64)
    check_sentence(error)
    assert str(path) in str(error.value)
    with pytest.raises(ImageError, match=message):
        read_image(data)


def test_bad_paths(tmp_path):
    cases = {
        tmp_path / "none.jpg": "There is no file",
        tmp_path: "is a folder",
        "https://example.org/a.jpg": "web address",
        tmp_path / ("x" * 300): "cannot be opened",
        "a\0b": "cannot be opened|There is no file",
        "~nobody-is-called-so/a.jpg": "cannot be found",
    }
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        cases |= {tmp_path / "pipe": "not an ordinary file", "/dev/zero": "not an ordinary file"}
    (tmp_path / "file").write_bytes(b"x")
    cases[tmp_path / "file" / "photo.jpg"] = "There is no file"
    for path, message in cases.items():
        with pytest.raises(ImageError, match=message) as error:
            read_image(path)
        check_sentence(error)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(), "PNG"))
    path.chmod(0)
    with pytest.raises(ImageError, match="permission"):
        read_image(path)


BAD_ARRAYS = {
    "nan": (np.full((32, 32, 3), np.nan), "finite"),
    "one nan": (np.where(np.arange(32 * 32 * 3).reshape(32, 32, 3) == 7, np.nan, 0.5), "finite"),
    "infinite": (np.full((32, 32, 3), np.inf), "finite"),
    "floats to 255": (np.full((32, 32, 3), 255.0), "in .0, 1."),
    "floats from -1": (np.linspace(-1, 1, 32 * 32 * 3).reshape(32, 32, 3), "in .0, 1."),
    "channels first": (np.zeros((3, 32, 32), np.uint8), "shape"),
    "batch": (np.zeros((2, 32, 32, 3), np.uint8), "shape"),
    "two channels": (np.zeros((32, 32, 2), np.uint8), "shape"),
    "a row": (np.zeros(32, np.uint8), "shape"),
    "a number": (np.array(3.0), "shape"),
    "nothing": (np.zeros((0, 32, 3), np.uint8), "empty"),
    "int64": (np.zeros((32, 32, 3), np.int64), "int64"),
    "complex": (np.zeros((32, 32, 3), complex), "complex"),
    "objects": (np.full((32, 32, 3), None), "object"),
    "one pixel": (np.zeros((1, 1, 3), np.uint8), "too small"),
    "huge": (np.broadcast_to(np.uint8(0), (9000, 9000, 3)), "at most 7000 x 7000"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(name):
    array, message = BAD_ARRAYS[name]
    with pytest.raises(ImageError, match=message) as error:
        read_image(array)
    check_sentence(error)


def test_a_float_picture_with_nan_is_refused_wherever_it_is():
    """Pillow's own extrema pass over NaN."""
    pixels = np.full((20, 20), 0.5, np.float32)
    for place in ((0, 0), (7, 11), (19, 19)):
        spoilt = pixels.copy()
        spoilt[place] = np.nan
        with pytest.raises(ImageError, match="floats from nan to nan") as error:
            read_image(Image.fromarray(spoilt))
        check_sentence(error)


def test_bad_sources(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("hello")
    with path.open() as text, path.open("rb") as closed:
        closed.close()
        for source, message in {text: "mode 'rb'", closed: "mode 'rb'", None: "NoneType", 5: "int"}.items():
            with pytest.raises(ImageError, match=message) as error:
                read_image(source)
            check_sentence(error)
    closed = Image.open(io.BytesIO(encoded(picture(), "PNG")))
    closed.close()
    with pytest.raises(ImageError, match="damaged"):
        read_image(closed)
    with pytest.raises(ImageError, match="at most 7000"):  # opened by the user, not decoded yet
        read_image(Image.open(io.BytesIO(png_of(9000, 9000, b""))))
    with pytest.raises(SettingsError):
        read_image(picture(), 0)


def test_a_tile_larger_than_its_picture_is_refused():
    """A TIFF declares the size of its tiles as well, which the decoder allocates."""
    data = bytearray(encoded(picture(), "TIFF"))
    count = struct.unpack("<H", data[(at := struct.unpack("<I", data[4:8])[0]) : at + 2])[0]
    entries = [bytes(data[at + 2 + 12 * k : at + 14 + 12 * k]) for k in range(count)]
    tags = {struct.unpack("<H", e[:2])[0]: e for e in entries}
    offset = tags.pop(273)[8:]  # of the strip
    tags.pop(278), tags.pop(279)
    for tag, value in {322: 65536, 323: 65536, 325: 18432}.items():
        tags[tag] = struct.pack("<HHII", tag, 4, 1, value)
    tags[324] = struct.pack("<HHI", 324, 4, 1) + offset
    directory = struct.pack("<H", len(tags)) + b"".join(tags[t] for t in sorted(tags)) + bytes(4)
    data[4:8] = struct.pack("<I", len(data))
    with pytest.raises(ImageError, match="65536 x 65536"):
        read_image(bytes(data) + directory)


WHOLE = {kind: encoded(picture(40, 24), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM")}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_damaged_files_end_in_a_picture_or_an_image_error(kind, data):
    damaged = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        assert read_image(damaged, 16).size == (16, 16)
    except ImageError as error:
        assert str(error).endswith(".")


MEASURE = """
import io, sys
from PIL import Image
from i2s.errors import ImageError
from i2s.images import read_image
def peak():
    return int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) // 1024
Image.init()
read_image(Image.new("RGB", (64, 64)))
before = peak()
try:
    read_image(sys.argv[1], 64)
except ImageError as error:
    print(error, file=sys.stderr)
print(peak() - before)
"""
SIDE = 3000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured in /proc")
@pytest.mark.parametrize("kind, bytes_per_pixel", [("PNG", 10), ("JPEG", 12), ("WEBP", 16.7)])
def test_reading_takes_the_memory_that_the_limits_reckon_with(kind, bytes_per_pixel, tmp_path):
    """The most expensive picture of each kind; the limit on its pixels keeps the largest below some 500 MB."""
    path = tmp_path / "large"
    if kind == "PNG":  # alpha, a profile, and a turn
        exif = Image.Exif()
        exif[0x0112] = 6
        image = Image.new("RGBA", (SIDE, SIDE), (200, 90, 90, 100))
        image.save(path, "PNG", compress_level=1, icc_profile=icc(), exif=exif)
    elif kind == "JPEG":  # progressive CMYK
        Image.new("CMYK", (SIDE, SIDE)).save(path, "JPEG", progressive=True, subsampling=0)
    else:
        Image.new("RGBA", (SIDE, SIDE), (200, 90, 90, 100)).save(path, "WEBP", method=0, quality=50)
    taken, said = measure(path)
    assert not said and taken < bytes_per_pixel * SIDE**2 + 8e6


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured in /proc")
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(13000, 13000, bytes(13000 * 3 + 1) * 100))
    taken, said = measure(path)
    assert "make it smaller" in said and taken < 20e6


def measure(path: Path) -> tuple[float, str]:
    """Bytes that reading takes at its peak in a process of its own, and the error, if any."""
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[1])
    return int(done.stdout) * 2**20, done.stderr


def test_less_may_be_declared_where_decoding_takes_more():
    """5700 x 5700 is fine in a PNG, too much in a WebP, whose decoder takes four times what is kept."""
    with pytest.raises(ImageError, match="cut short"):  # and not: too large
        read_image(png_of(5700, 5700, b""))
    webp = bytearray(encoded(Image.new("RGB", (16, 16)), "WEBP", lossless=True))
    at = webp.index(b"VP8L") + 9
    bits = int.from_bytes(webp[at : at + 4], "little") & ~0xFFFFFFF  # two sides less one, of 14 bits each
    webp[at : at + 4] = (bits | 5699 | 5699 << 14).to_bytes(4, "little")
    with pytest.raises(ImageError, match="5700 x 5700 px: make it smaller, at most 5500 x 5500"):
        read_image(bytes(webp))
    jpeg = bytearray(encoded(Image.new("CMYK", (16, 16)), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 6700, 6700)
    with pytest.raises(ImageError, match="at most 6400 x 6400"):
        read_image(bytes(jpeg))


@pytest.mark.parametrize("kind", ["npz", "npy", "pt", "safetensors", "pkl"])
def test_files_of_numbers_are_named(tmp_path, kind):
    path = tmp_path / f"code.{kind}"
    w = torch.ones(1, 2, 3)
    if kind in ("npz", "npy", "pt"):
        write_latents(w, path)
    else:
        path.write_bytes(save({"w": w}) if kind == "safetensors" else pickle.dumps(w, 2))
    with pytest.raises(ImageError, match="file of numbers"):
        read_image(path)
