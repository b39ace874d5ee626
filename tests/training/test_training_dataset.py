"""Training faces: reading the zip, drawing batches."""

import io
import zipfile

import pytest
import torch
from PIL import Image
from tiny_run import random_faces

from i2s.errors import ImageError
from i2s.images import dequantize
from training.dataset import Batches, load_faces


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def png(colour_, size=(8, 8), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour_).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_load_faces_orders_by_name_and_resizes(tmp_path):
    files = {"b/2.png": png((0, 255, 0)), "a/9.PNG": png((255, 0, 0), (32, 32)), "c.png": png(128, mode="L")}
    faces = load_faces(zipped(tmp_path / "f.zip", files | {"notes.txt": b"no image"}), 16)
    assert faces.shape == (3, 3, 16, 16) and faces.dtype == torch.uint8
    assert faces[:, :, 5, 5].tolist() == [[255, 0, 0], [0, 255, 0], [128, 128, 128]]


def test_load_faces_keeps_pixels_in_place(tmp_path):
    image = Image.new("RGB", (16, 16))
    image.putpixel((3, 5), (10, 20, 30))  # column 3, row 5
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    face = load_faces(zipped(tmp_path / "f.zip", {"a.png": buffer.getvalue()}), 16)[0]
    assert face[:, 5, 3].tolist() == [10, 20, 30] and int(face.long().sum()) == 60


@pytest.mark.parametrize(
    "files, words",
    [
        ({"a.txt": b"text"}, "holds no"),
        ({"a.png": b""}, "a.png"),
        ({"a.png": png((1, 2, 3))[:40]}, "a.png"),
        ({"a.jpg": b"\xff\xd8 not a image"}, "a.jpg"),
        ({"a.png": png((1, 2, 3), (8, 12))}, "8 x 12"),
    ],
)
def test_load_faces_names_a_wrong_image(tmp_path, files, words):
    with pytest.raises(ImageError, match=words) as error:
        load_faces(zipped(tmp_path / "f.zip", files), 16)
    assert "f.zip" in str(error.value)


def test_load_faces_refuses_a_damaged_zip(tmp_path):
    path = zipped(tmp_path / "f.zip", {"a.png": png((1, 2, 3), (64, 64))})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF  # inside the image: the checksum no longer fits
    path.write_bytes(data)
    with pytest.raises(ImageError, match="a.png"):
        load_faces(path, 16)
    path.write_bytes(data[:-30])
    with pytest.raises(ImageError, match="not a zip"):
        load_faces(path, 16)
    whole = zipped(tmp_path / "f.zip", {"a.png": png((1, 2, 3))}).read_bytes()
    path.write_bytes(whole.replace(b"PK\x01\x02", b"PK\0\0"))  # its list of files
    with pytest.raises(ImageError, match="f.zip is a damaged zip"):
        load_faces(path, 16)


def test_load_faces_refuses_too_few(tmp_path):
    path = zipped(tmp_path / "f.zip", {"a.png": png((1, 2, 3)), "b.png": png((1, 2, 3))})
    assert len(load_faces(path, 16)) == 2
    with pytest.raises(ImageError, match="f.zip holds 2 images, but at least 3 are needed"):
        load_faces(path, 16, least=3)


def test_batches_repeat_with_their_rng_and_go_on_from_its_state():
    faces = random_faces(24)
    a, b = Batches(faces, rng(3)), Batches(faces, rng(3))
    first, rows = a.draw(8)
    assert torch.equal(first, b.draw(8)[0]) and not torch.equal(first, a.draw(8)[0])
    state = a.rng.get_state()
    expected = a.draw(8)[0]
    b.rng.set_state(state)
    assert torch.equal(b.draw(8)[0], expected)
    assert first.shape == (8, 3, 16, 16) and first.dtype == torch.float32 and first.abs().max() <= 1
    assert rows.shape == (8,)


def test_batches_draw_all_faces_mirrored_half_of_the_time_and_say_which():
    faces = random_faces(5)
    images, rows = Batches(faces, rng()).draw(1000)
    both = dequantize(torch.cat([faces, faces.flip(3)]))  # plain, then mirrored
    assert torch.equal(images, both[rows])
    assert 0.42 < (rows >= 5).float().mean() < 0.58
    assert (rows % 5).bincount(minlength=5).min() > 140
