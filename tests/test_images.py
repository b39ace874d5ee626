"""Tensors, pictures and files become each other without loss; sheets show what they are given."""

import errno
import io
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from i2s import sheets
from i2s.errors import ImageError, OutputError, SettingsError
from i2s.images import contact_sheet, load_photos, read_image, resize, to_pil, to_tensor, to_uint8, write_image


def noise(*shape, seed=0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def photo(width=80, height=60, seed=0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


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
    with pytest.raises(OutputError, match="no name for a file: give one"):
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


# --- contact sheets ---


def places(sheet: Image.Image, colour: tuple) -> tuple:
    """The box of all pixels of that colour: left, top, right, bottom."""
    rows, columns = np.nonzero((np.asarray(sheet) == colour).all(axis=-1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def plain(colour, width=64, height=64) -> torch.Tensor:
    return to_tensor(Image.new("RGB", (width, height), colour))[0]


def test_a_sheet_holds_each_image_whole_in_reading_order():
    colours = [(200, 10 * k, 30) for k in range(7)]
    sheet = contact_sheet([plain(c) for c in colours], columns=3, labels=[f"image {k}" for k in range(7)])
    boxes = [places(sheet, c) for c in colours]
    assert all((right - left, bottom - top) == (128, 128) for left, top, right, bottom in boxes)  # 64 px, twice
    assert sorted(range(7), key=lambda k: (boxes[k][1], boxes[k][0])) == list(range(7))
    assert len({box[0] for box in boxes}) == 3 and len({box[1] for box in boxes}) == 3
    left, top = boxes[0][:2]
    assert left >= 12 and top >= 12 and sheet.width - boxes[2][2] == left  # equal margins
    assert sheet.mode == "RGB" and sheet.getpixel((0, 0)) == (255, 255, 255)


def test_small_images_keep_their_pixels():
    image = noise(3, 32, 32)
    sheet = np.asarray(contact_sheet(image[None], columns=1))
    expected = to_uint8(image)[0].repeat(4, axis=0).repeat(4, axis=1)
    margin = (sheet.shape[0] - 128) // 2
    assert (sheet[margin : margin + 128, margin : margin + 128] == expected).all()


def test_labels_stand_below_their_images_and_inside_their_columns():
    colours = [(0, 120, 200), (0, 200, 120), (200, 120, 0)]
    labels = ["λ = 0.50", "a very long label that cannot possibly fit below so small a picture", ""]
    sheet = contact_sheet([plain(c) for c in colours], columns=3, labels=labels)
    ink = np.asarray(sheet.convert("L")) < 90
    boxes = [places(sheet, c) for c in colours]
    below = ink[boxes[0][3] :]
    assert below.any() and not ink[: boxes[0][1]].any()
    for k, (left, _, right, _) in enumerate(boxes):
        assert below[:, left - 4 : right + 4].any() == bool(labels[k])
    assert not below[:, boxes[0][2] + 4 : boxes[1][0] - 4].any() and not below[:, : boxes[0][0] - 4].any()
    assert not ink[-10:].any()  # a margin below
    height = below.any(axis=1).nonzero()[0]
    assert height.max() - height.min() >= 10  # legible


def test_labels_of_several_lines_and_a_title():
    one = contact_sheet([plain((9, 9, 200))], labels=["a"])
    two = contact_sheet([plain((9, 9, 200))], labels=["a\nb"], title="Morphing")
    assert two.height > one.height and places(two, (9, 9, 200))[1] > places(one, (9, 9, 200))[1] + 15


def test_images_of_different_sizes_are_centred():
    sheet = contact_sheet([plain((200, 0, 0), 200, 100), plain((0, 0, 200), 50, 150)], columns=2)
    red, blue = places(sheet, (200, 0, 0)), places(sheet, (0, 0, 200))
    assert (red[2] - red[0], red[3] - red[1]) == (200, 100) and (blue[2] - blue[0], blue[3] - blue[1]) == (50, 150)
    assert red[1] + red[3] == blue[1] + blue[3]  # one middle


def test_size_fits_images_to_cells():
    for width in (16, 64, 100, 128, 512):
        sheet = contact_sheet([plain((200, 0, 0), width, width)], size=128)
        left, top, right, bottom = places(sheet, (200, 0, 0))
        assert right - left == bottom - top == {100: 100}.get(width, 128)


def test_columns_by_default():
    assert [contact_sheet(noise(n, 3, 8, 8)).width > 128 * 2 for n in (1, 2)] == [False, True]
    wide = contact_sheet(noise(24, 3, 8, 8))
    assert 1.2 < wide.width / wide.height < 2.2


def test_sheets_without_matplotlib(monkeypatch):
    monkeypatch.setattr(sheets, "find_spec", lambda name: None)
    monkeypatch.setattr(sheets, "_font", sheets._font.__wrapped__)
    assert isinstance(sheets._font(20), (ImageFont.FreeTypeFont, ImageFont.ImageFont))
    sheet = contact_sheet([plain((0, 120, 200))], labels=["photo"])
    assert (np.asarray(sheet.convert("L"))[-60:] < 90).any()


def test_labels_with_characters_that_no_font_can_draw():
    """Names of files hold anything: line separators, control characters, bytes that are no text."""
    name = b"a\xff\r\x1c\xe2\x80\xa9b".decode("utf-8", "surrogateescape")
    sheet = contact_sheet([plain((0, 120, 200))], labels=[name], title=name)
    assert (np.asarray(sheet.convert("L"))[-60:] < 90).any()


def test_bad_sheets():
    image = plain((1, 2, 3))
    for arguments, kind in (
        (([],), ImageError),
        (([image], 0), SettingsError),
        (([image], 1, ["a", "b"]), SettingsError),
        (([torch.full((3, 8, 8), float("nan"))],), ImageError),
    ):
        with pytest.raises(kind) as error:
            contact_sheet(*arguments)
        assert ": " in str(error.value) or kind is SettingsError
    with pytest.raises(SettingsError, match="fewer images"):
        contact_sheet([image] * 300, size=1000)
    with pytest.raises(SettingsError):
        contact_sheet([image], size=0)
    with pytest.raises(ImageError, match="A NoneType is no picture"):
        contact_sheet(None)
    assert contact_sheet(photo()).size == contact_sheet([photo()]).size  # a single one is no mistake


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 70), st.integers(1, 70), st.text(max_size=30))
def test_any_sheet_can_be_drawn(count, columns, width, height, label):
    sheet = contact_sheet([plain((10, 20, 30), width, height)] * count, columns, [label] * count, title=label)
    left, top, right, bottom = places(sheet, (10, 20, 30))
    assert 12 <= left < right <= sheet.width - 12 and 12 <= top < bottom <= sheet.height - 12
