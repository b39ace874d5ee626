"""Images: conversion between tensors, PIL images and files; resizing, blurring, masks, writing."""

import errno
import io
import os

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from i2s.errors import ImageError, OutputError, SettingsError
from i2s.images import (
    dequantize,
    downsample,
    gaussian_blur,
    load_mask,
    load_photos,
    quantize,
    read_image,
    resize,
    to_pil,
    to_tensor,
    to_uint8,
    write_image,
)


def noise(*shape, seed=0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def photo(width=80, height=60, seed=0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def plain(colour, width=64, height=64) -> torch.Tensor:
    return to_tensor(Image.new("RGB", (width, height), colour))[0]


# --- tensors and pictures ---


def test_every_value_survives():
    values = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(values)
    assert tensor.shape == (1, 3, 16, 16) and tensor.dtype == torch.float32
    assert tensor.min() == -1 and tensor.max() == 1
    assert (to_uint8(tensor)[0] == values).all()
    assert (np.asarray(to_pil(tensor)) == values).all()
    assert (np.asarray(to_pil(tensor[0])) == values).all()


def test_channels_rows_and_columns_stay_in_place():
    image = Image.new("RGB", (3, 2))
    image.putpixel((2, 0), (255, 0, 0))  # right of the first row, red
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 2, 3) and tensor[0, 0, 0, 2] == 1 and (tensor == 1).sum() == 1
    assert to_uint8(tensor).tolist() == [np.asarray(image).tolist()]


def test_lists_become_batches():
    tensor = to_tensor([photo(seed=1), photo(seed=2), np.asarray(photo(seed=3))])
    assert tensor.shape == (3, 3, 60, 80) and tensor.is_contiguous()
    assert (to_uint8(tensor)[1] == np.asarray(photo(seed=2))).all()


def test_what_lies_beyond_is_clipped():
    assert to_uint8(torch.tensor([-1e9, -1.2, 1.2]).view(3, 1, 1)).tolist() == [[[[0, 0, 255]]]]
    half = torch.full((3, 1, 1), 0.0, dtype=torch.float16)
    assert to_uint8(half).tolist() == [[[[128] * 3]]]


def test_tensors_with_gradients_stay_as_they_are():
    image = noise(1, 3, 16, 16).requires_grad_()
    before = image.detach().clone()
    to_pil(image), to_uint8(image), resize(image, 8), write_image_to_memory(image)
    assert torch.equal(image, before) and image.requires_grad


def write_image_to_memory(image):
    to_pil(image).save(io.BytesIO(), "PNG")


BAD_TENSORS = {
    "nan": (torch.full((1, 3, 8, 8), float("nan")), "NaN"),
    "infinite": (torch.full((1, 3, 8, 8), float("inf")), "NaN or infinity"),
    "grey": (torch.zeros(1, 1, 8, 8), "shape"),
    "channels last": (torch.zeros(8, 8, 3), "shape"),
    "two dimensions": (torch.zeros(8, 8), "shape"),
    "five dimensions": (torch.zeros(1, 1, 3, 8, 8), "shape"),
    "no images": (torch.zeros(0, 3, 8, 8), "shape"),
    "bytes": (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "uint8"),
    "an array": (np.zeros((3, 8, 8), np.float32), "ndarray"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_bad_tensors(name):
    tensor, message = BAD_TENSORS[name]
    for function in (to_uint8, lambda t: resize(t, 4)):
        with pytest.raises(ImageError, match=message) as error:
            function(tensor)
        assert str(error.value).endswith(".") and ": " in str(error.value)
    if isinstance(tensor, torch.Tensor):
        for function in (to_pil, lambda t: load_photos(t, 8)):
            with pytest.raises(ImageError, match=message):
                function(tensor)


def test_bad_lists():
    with pytest.raises(ImageError, match="60 x 60, 80 x 60"):
        to_tensor([photo(), photo(60)])
    with pytest.raises(ImageError, match="at least one"):
        to_tensor([])
    with pytest.raises(ImageError, match="There are 2 images"):
        to_pil(noise(2, 3, 8, 8))


# --- resizing ---


@pytest.mark.parametrize("size", [(20, 30), (60, 80), (100, 90)])
def test_resize_is_the_filter_of_photos(size):
    picture = photo()
    height, width = size
    expected = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS)).astype(int)
    ours = to_uint8(resize(to_tensor(picture), size))[0].astype(int)
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() <= 4 and np.abs(ours - expected).mean() < 0.5  # PIL rounds midway


def test_resize_of_a_batch():
    images = noise(2, 3, 12, 8)
    resized = resize(images, 6)
    assert resized.shape == (2, 3, 6, 6) and resized.dtype == torch.float32
    assert torch.equal(resized[1:], resize(images[1], 6))
    assert torch.allclose(resize(torch.full((1, 3, 50, 50), 0.3), 7), torch.tensor(0.3))
    with pytest.raises(SettingsError):
        resize(images, 0)


def test_quantize_and_dequantize_are_inverse():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantize(dequantize(pixels)), pixels) and dequantize(pixels).dtype == torch.float32
    assert quantize(torch.tensor([-3.0, -1, 0.999, 7])).tolist() == [0, 0, 255, 255]


def test_downsample_reduces_the_shorter_side_and_never_enlarges():
    images = noise(2, 3, 40, 60).requires_grad_()
    assert downsample(images, 20).shape == (2, 3, 20, 30)
    assert downsample(images, 64) is images and downsample(images, None) is images
    downsample(images, 20).sum().backward()
    assert images.grad.abs().max() > 0
    assert downsample(noise(1, 3, 40, 40).bfloat16(), 20).dtype == torch.bfloat16


@pytest.mark.parametrize("sigma", [0.5, 1.5, 3.0])
def test_gaussian_blur_is_that_of_scipy(sigma):
    from scipy.ndimage import gaussian_filter

    images, radius = noise(2, 3, 30, 20).double(), 9
    expected = gaussian_filter(images.numpy(), sigma, axes=(2, 3), mode="mirror", radius=radius)
    torch.testing.assert_close(gaussian_blur(images, sigma, radius), torch.from_numpy(expected), rtol=1e-10, atol=1e-12)


def test_gaussian_blur_with_one_sigma_per_image():
    images = noise(3, 3, 30, 30)
    together = gaussian_blur(images, torch.tensor([0.5, 1.0, 2.0]), 6)
    for k, sigma in enumerate((0.5, 1.0, 2.0)):
        torch.testing.assert_close(together[k : k + 1], gaussian_blur(images[k : k + 1], sigma, 6))


def test_gaussian_blur_refuses_images_smaller_than_its_radius():
    with pytest.raises(SettingsError, match=r"A blur of 4.0 px needs more than 12 px, but has \[12, 30\]"):
        gaussian_blur(noise(1, 3, 12, 30), 4.0)


def hole(mode: str) -> Image.Image:
    """A mask that is white with a transparent hole in its left half."""
    alpha = Image.new("L", (32, 32), 255)
    alpha.paste(0, (0, 0, 16, 32))
    white = Image.new("RGBA", (32, 32), "white")
    white.putalpha(alpha)
    if mode == "P":
        palette = Image.new("P", (32, 32), 1)
        palette.putpalette([255, 255, 255, 255, 255, 255])
        palette.paste(0, (0, 0, 16, 32))
        palette.info["transparency"] = 0
        return palette
    return white.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_load_mask_takes_transparent_for_unknown(tmp_path, mode):
    image = hole(mode)
    image.save(tmp_path / "mask.png")
    for source in (image, tmp_path / "mask.png", np.asarray(hole("RGBA"))):
        mask = load_mask(source, 8)
        assert (mask[..., 4:] == 1).all() and not mask[..., :4].any()
    half = Image.new("RGBA", (32, 32), (255, 255, 255, 128))
    assert load_mask(half, 8).mean() == pytest.approx(128 / 255, abs=0.01)


def test_load_mask_refuses_labels_and_colours():
    labels = np.zeros((32, 32), np.uint8)
    labels[:16] = 1
    for values in (labels, labels * 20, Image.fromarray(labels)):
        with pytest.raises(ImageError, match="labels"):
            load_mask(values, 8)
    assert load_mask(labels.astype(bool), 8).mean() == 0.5
    red = Image.new("RGB", (32, 32))
    red.paste("red", (0, 0, 16, 32))
    for image in (red, red.quantize(2)):
        with pytest.raises(ImageError, match="colours"):
            load_mask(image, 8)
    assert load_mask(labels * np.uint8(200), 8).max() > 0.7  # a soft mask


@pytest.mark.parametrize("kind", ["path", "bytes", "file", "picture", "array", "tensor", "turned"])
def test_load_mask_compares_proportions_with_each_kind_of_photo(tmp_path, kind):
    photo = Image.new("RGB", (60, 40), "red")
    exif = Image.Exif()
    if kind == "turned":
        photo = photo.transpose(Image.Transpose.ROTATE_90)
        exif[ExifTags.Base.Orientation] = 6
    photo.save(tmp_path / "photo.jpg", exif=exif)
    photos = {
        "path": str(tmp_path / "photo.jpg"),
        "turned": tmp_path / "photo.jpg",
        "bytes": (tmp_path / "photo.jpg").read_bytes(),
        "file": io.BytesIO((tmp_path / "photo.jpg").read_bytes()),
        "picture": photo,
        "array": np.asarray(photo),
        "tensor": to_tensor(photo),
    }
    for size in ((60, 40), (120, 80), (600, 401), (31, 21)):
        load_mask(Image.new("L", size, 255), 16, photos[kind])
    for size in ((40, 60), (60, 60), (600, 380)):
        with pytest.raises(ImageError, match="with its proportions"):
            load_mask(Image.new("L", size, 255), 16, [photos[kind]])
    load_mask(Image.new("L", (40, 60), 255), 16, torch.zeros(1, 3, 16, 16))  # whatever it was cropped from


def test_load_mask_takes_images_and_tensors(tmp_path):
    """White is 1; an image is cropped as photos are, and reduced by area."""
    picture = Image.new("L", (80, 40))
    picture.paste(255, (20, 0, 40, 40))  # the left half of the central square
    picture.save(tmp_path / "mask.png")
    mask = load_mask(tmp_path / "mask.png", 8)
    assert mask.shape == (1, 1, 8, 8) and (mask[..., :4] == 1).all() and (mask[..., 4:] == 0).all()
    assert load_mask(mask, 8) is mask
    with pytest.raises(SettingsError, match="0 everywhere"):
        load_mask(torch.zeros(1, 1, 8, 8), 8)


# --- photos ---


def test_load_photos_takes_anything(tmp_path):
    picture = photo(96, 64)
    path = tmp_path / "photo.png"
    picture.save(path)
    expected = to_tensor(read_image(picture, 32))
    for photos in (
        path,
        str(path),
        [path],
        (p for p in [path]),
        tmp_path.glob("*.png"),
        picture,
        np.asarray(picture),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        {"a": path}.values(),
    ):
        assert torch.equal(load_photos(photos, 32), expected)
    mixed = load_photos([path, to_tensor(picture), noise(2, 3, 32, 32), picture], 32)
    assert mixed.shape == (5, 3, 32, 32) and mixed.dtype == torch.float32
    assert torch.equal(mixed[:1], expected) and torch.equal(mixed[4:], expected)
    # the same crop and filter, without rounding to 8 bits
    assert (mixed[1:2].clamp(-1, 1) - expected).abs().mean() < 0.005
    assert torch.equal(mixed[2:4], noise(2, 3, 32, 32))


def test_a_tensor_of_the_right_size_is_taken_as_it_is():
    image = noise(1, 3, 8, 8) * 1.4  # generators leave [-1, 1] a little, and small ones are smaller than photos may be
    assert torch.equal(load_photos(image, 8), image)
    assert torch.equal(load_photos(image[0], 8), image)
    assert load_photos(image.double(), 8).dtype == torch.float32


def test_load_photos_says_which_is_wrong(tmp_path):
    photo().save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="no-such-photo.png"):
        load_photos([tmp_path / "a.png", tmp_path / "no-such-photo.png"], 32)
    for photos, message in (
        ([], "at least one"),
        (7, "int"),
        ([None], "NoneType"),
        (noise(1, 3, 8, 8), "too small"),
        (torch.full((3, 32, 32), 200.0), "up to 200"),
    ):
        with pytest.raises(ImageError, match=message):
            load_photos(photos, 32)


# --- writing ---


@pytest.mark.parametrize("ending", ["png", "tif", "tiff", "bmp", "PNG", "jpg", "jpeg", "webp"])
def test_writes_each_format(ending, tmp_path):
    image = resize(noise(1, 3, 8, 8), 40)
    path = write_image(image, tmp_path / "new" / f"image.{ending}")
    assert path == tmp_path / "new" / f"image.{ending}"
    with Image.open(path) as found:
        assert found.format == {"tif": "TIFF", "jpg": "JPEG"}.get(ending.lower(), ending.upper())
    difference = np.abs(np.asarray(read_image(path)).astype(int) - to_uint8(image)[0])
    assert difference.max() <= {"jpg": 12, "jpeg": 12, "webp": 40}.get(ending, 0)


def test_png_is_the_default(tmp_path):
    assert write_image(photo(), tmp_path / "image") == tmp_path / "image.png"
    assert read_image(tmp_path / "image.png").size == (80, 60)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp"])
def test_nothing_of_the_person_but_pixels_is_written(ending, tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "SecretCamera", 6
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)
    buffer = io.BytesIO()
    photo().save(buffer, "JPEG", exif=exif, comment=b"SecretComment", xmp=b"<x>SecretXmp</x>")
    for source in (buffer.getvalue(), Image.open(buffer)):
        path = write_image(source, tmp_path / f"image.{ending}")
        assert b"Secret" not in path.read_bytes()
        with Image.open(path) as found:
            assert found.size == (60, 80) and 0x0112 not in found.getexif() and 0x8825 not in found.getexif()
            assert not {"exif", "xmp", "icc_profile", "comment"} & set(found.info)


def test_an_unknown_ending_is_refused_before_anything_is_done(tmp_path):
    for name in ("image.gifv", "image.pdf", "v1.2"):
        with pytest.raises(OutputError, match=r"none of the endings \.png, \.jpg.*: choose one"):
            write_image(photo(), tmp_path / name)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_path_without_a_name_is_refused(path):
    with pytest.raises(OutputError, match="no name for a file: give one|no path: give"):
        write_image(plain((1, 2, 3)), path)


@pytest.mark.parametrize("size", [64.5, "64", True, None, 0, -1, 100_000])
def test_a_size_that_no_picture_has_is_refused_before_anything_is_done(size):
    """A side of 100,000 px would fill the memory, and end the process instead of raising."""
    picture = Image.new("RGB", (20, 20))
    calls = [lambda: load_photos(picture, size), lambda: load_photos(noise(1, 3, 20, 20), size)]
    calls += [lambda: resize(noise(1, 3, 20, 20), size), lambda: resize(noise(1, 3, 20, 20), (size, size))]
    calls += [] if size is None else [lambda: read_image(picture, size)]
    for call in calls:
        with pytest.raises(SettingsError, match="size") as error:
            call()
        assert str(error.value).endswith(".")


def test_failures_keep_the_earlier_file(tmp_path, monkeypatch):
    path = write_image(photo(), tmp_path / "image.png")
    before = path.read_bytes()
    with pytest.raises(ImageError, match="NaN"):
        write_image(torch.full((3, 8, 8), float("nan")), path)
    with pytest.raises(OutputError, match="choose another ending"):
        write_image(np.zeros((17, 70_000), np.uint8), tmp_path / "long.jpg")  # JPEG ends at 65,500

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_image(photo(seed=9), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["image.png"]
