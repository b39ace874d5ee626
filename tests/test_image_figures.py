"""Figures: contact sheets show what they are given; videos hold their frames and play at the speed asked for."""

import errno
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from i2s.errors import ImageError, OutputError, SettingsError
from i2s.figures import check_video, contact_sheet, write_video
from i2s.images import resize, to_pil, to_tensor, to_uint8


def noise(*shape, seed=0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


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


def test_small_images_are_enlarged_smoothly():
    image = noise(3, 48, 48)
    sheet = np.asarray(contact_sheet(image[None], columns=1))
    margin = (sheet.shape[0] - 128) // 2
    expected = to_pil(image).resize((128, 128), Image.Resampling.LANCZOS)
    assert (sheet[margin : margin + 128, margin : margin + 128] == np.asarray(expected)).all()


def test_small_images_keep_their_pixels_where_they_are_not_smoothed():
    image = noise(3, 32, 32)
    sheet = np.asarray(contact_sheet(image[None], columns=1, smooth=False))
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
    assert (red[2] - red[0], red[3] - red[1]) == (200, 100) and (blue[2] - blue[0], blue[3] - blue[1]) == (67, 200)
    assert red[1] + red[3] == blue[1] + blue[3]  # one middle


def test_size_fits_images_to_cells():
    for width in (16, 64, 100, 128, 512):
        for smooth, expected in ((True, 128), (False, {100: 100}.get(width, 128))):
            sheet = contact_sheet([plain((200, 0, 0), width, width)], size=128, smooth=smooth)
            left, top, right, bottom = places(sheet, (200, 0, 0))
            assert right - left == bottom - top == expected


def test_columns_by_default():
    assert [contact_sheet(noise(n, 3, 8, 8)).width > 128 * 2 for n in (1, 2)] == [False, True]
    wide = contact_sheet(noise(24, 3, 8, 8))
    assert 1.2 < wide.width / wide.height < 2.2


def test_labels_with_characters_that_no_font_can_draw():
    """Names of files hold anything: line separators, control characters, bytes that are no text."""
    name = b"a\xff\r\x1c\xe2\x80\xa9b".decode("utf-8", "surrogateescape")
    sheet = contact_sheet([plain((0, 120, 200))], labels=[name], title=name)
    assert (np.asarray(sheet.convert("L"))[-60:] < 90).any()


def test_a_sheet_does_not_depend_on_matplotlibs_settings():
    import matplotlib

    def draw():
        return np.asarray(contact_sheet([plain((0, 120, 200))], labels=["λ = $1"], title="a_b"))

    wanted = draw()
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "figure.dpi": 20, "text.antialiased": False}):
        assert (draw() == wanted).all() and matplotlib.rcParams["font.size"] == 30


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
    picture = Image.new("RGB", (80, 60))
    assert contact_sheet(picture).size == contact_sheet([picture]).size  # a single one is no mistake


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 70), st.integers(1, 70), st.text(max_size=30))
def test_any_sheet_can_be_drawn(count, columns, width, height, label):
    sheet = contact_sheet([plain((10, 20, 30), width, height)] * count, columns, [label] * count, title=label)
    left, top, right, bottom = places(sheet, (10, 20, 30))
    assert 12 <= left < right <= sheet.width - 12 and 12 <= top < bottom <= sheet.height - 12


# --- videos ---


def frames(count=6, size=48) -> torch.Tensor:
    """Smooth patterns of mild colour, each frame another: [count, 3, size, size] in [-1, 1]."""
    rng = torch.Generator().manual_seed(1)
    grey = torch.rand(2, 1, 3, 3, generator=rng) * 1.6 - 0.8
    ends = resize(grey + 0.2 * torch.randn(2, 3, 3, 3, generator=rng), size).clamp(-1, 1)
    mix = torch.linspace(0, 1, count).view(-1, 1, 1, 1)
    return ends[:1] * (1 - mix) + ends[1:] * mix


def read(path: Path) -> np.ndarray:
    """All frames, uint8 [N, H, W, 3]."""
    if path.suffix == ".mp4":
        return imageio.imread(path, plugin="FFMPEG")
    with Image.open(path) as film:
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)])


def error_of(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found.astype(float) - expected).mean())


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_the_frames_are_those_given(ending, tmp_path):
    expected = to_uint8(frames())
    path = write_video(frames(), tmp_path / "new" / f"film{ending}", fps=10)
    assert path == tmp_path / "new" / f"film{ending}"
    found = read(path)
    assert error_of(found, expected) < 3
    # each frame is nearest to its own original: none is missing, doubled, or out of order
    distances = np.abs(found[:, None].astype(float) - expected[None]).mean(axis=(2, 3, 4))
    assert (distances.argmin(axis=1) == np.arange(6)).all()


def test_small_patches_of_strong_colour_survive_in_a_gif(tmp_path):
    """Lips in a grey picture: 40 red pixels among 16,000 shades of grey that use up 256 colours."""
    grey = np.linspace(60, 250, 128 * 128).reshape(128, 128, 1).repeat(3, axis=2)
    tint = np.linspace(-6, 6, 128).reshape(1, 128, 1) * np.array([1, 0, -1])
    picture = (grey + tint).round().clip(0, 255).astype(np.uint8)
    picture[60:64, 60:70] = (190, 60, 90)
    found = read(write_video(picture[None], tmp_path / "film.gif"))[0]
    assert np.abs(found[61:63, 62:68].astype(int) - (190, 60, 90)).max() < 25


@pytest.mark.parametrize(
    "colour", [(200, 30, 30), (30, 200, 30), (30, 30, 200), (255, 255, 255), (0, 0, 0), (128, 90, 60)]
)
def test_mp4_keeps_colours(colour, tmp_path):
    plain = np.full((3, 64, 64, 3), colour, np.uint8)
    path = write_video(plain, tmp_path / "film.mp4")
    assert np.abs(read(path).astype(int) - colour).max() <= 4
    assert "bt709" in imageio.immeta(path, plugin="FFMPEG")["pix_fmt"]
    assert imageio.immeta(path, plugin="FFMPEG")["pix_fmt"].startswith("yuv420p")  # what browsers play


@pytest.mark.parametrize("size", [47, 64, 17])
def test_odd_sizes_gain_a_line_in_mp4_and_nothing_in_gif(size, tmp_path):
    images = frames(2, size)
    found = read(write_video(images, tmp_path / "film.mp4"))
    assert found.shape == (2, size + size % 2, size + size % 2, 3)
    assert error_of(found[:, :size, :size], to_uint8(images)) < 4
    assert read(write_video(images, tmp_path / "film.gif")).shape == (2, size, size, 3)


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
@pytest.mark.parametrize("count, order", [(5, [0, 1, 2, 3, 4, 3, 2, 1]), (2, [0, 1]), (1, [0])])
def test_boomerang(ending, count, order, tmp_path):
    images = frames(count)
    found = read(write_video(images, tmp_path / f"film{ending}", boomerang=True))
    assert error_of(found, to_uint8(images)[order]) < 3.5


@pytest.mark.parametrize("fps, delay", [(12, 80), (10, 100), (50, 20), (0.5, 2000)])
def test_gif_speed_and_loop(fps, delay, tmp_path):
    with Image.open(write_video(frames(3), tmp_path / "film.gif", fps)) as film:
        assert film.info["duration"] == delay and film.info["loop"] == 0
    with Image.open(write_video(frames(3), tmp_path / "once.gif", fps, loop=False)) as film:
        assert "loop" not in film.info


def test_mp4_speed(tmp_path):
    meta = imageio.immeta(write_video(frames(12), tmp_path / "film.mp4", fps=24), plugin="FFMPEG")
    assert meta["fps"] == 24 and meta["duration"] == pytest.approx(0.5, abs=0.05) and meta["codec"] == "h264"


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_kinds_of_frames(ending, tmp_path):
    images = frames(3)
    expected = read(write_video(images, tmp_path / f"a{ending}"))
    kinds = {
        "array": to_uint8(images),
        "list of [3, H, W]": list(images),
        "list of [1, 3, H, W]": [image[None] for image in images],
        "pictures": [to_pil(image) for image in images],
        "arrays": list(to_uint8(images)),
        "generator": (image for image in images),
    }
    for name, kind in kinds.items():
        assert (read(write_video(kind, tmp_path / f"b{ending}")) == expected).all(), name


BAD = {
    "no ending": (frames(2), "film", 12, OutputError, "endings"),
    "other ending": (frames(2), "film.avi", 12, OutputError, "endings"),
    "no frames": ([], "film.gif", 12, ImageError, "at least one"),
    "no frames in a tensor": (frames(2)[:0], "film.gif", 12, ImageError, "shape"),
    "nan": (frames(2) * float("nan"), "film.mp4", 12, ImageError, "NaN"),
    "one nan frame": ([frames(1), frames(1) * float("nan")], "film.mp4", 12, ImageError, "NaN"),
    "float array": (np.zeros((2, 16, 16, 3)), "film.gif", 12, ImageError, "float64"),
    "channels first": (np.zeros((2, 3, 16, 16), np.uint8), "film.gif", 12, ImageError, "shape"),
    "different sizes": ([frames(1), frames(1, 32)], "film.gif", 12, ImageError, "32 x 32, 48 x 48"),
    "fps 0": (frames(2), "film.gif", 0, SettingsError, "fps"),
    "fps nan": (frames(2), "film.mp4", float("nan"), SettingsError, "fps"),
    "no list of frames": (None, "film.gif", 12, ImageError, "NoneType"),
    "fps in words": (frames(2), "film.gif", "12", SettingsError, "fps"),
    "gif too wide": (np.zeros((2, 16, 70_000, 3), np.uint8), "film.gif", 12, OutputError, "65535 px"),
    "gif that stands still too long": (frames(1).repeat(70, 1, 1, 1), "film.gif", 0.1, OutputError, "655 s"),
    "gif too fast": (frames(2), "film.gif", 60, SettingsError, "at most 50|to 50"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, tmp_path):
    images, file, fps, kind, message = BAD[name]
    with pytest.raises(kind, match=message) as error:
        write_video(images, tmp_path / file, fps)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_a_full_disk_keeps_the_earlier_film(ending, tmp_path, monkeypatch):
    path = write_video(frames(2), tmp_path / f"film{ending}")
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_video(frames(3), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


LIMITED = """
import resource, sys
import numpy as np
from i2s.errors import OutputError
from i2s.figures import write_video
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # ffmpeg inherits it
noise = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
try:
    write_video(noise, sys.argv[1])
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_an_encoder_that_cannot_write_keeps_the_earlier_film(ending, tmp_path):
    """ffmpeg says nothing when it is stopped half-way: half a film must not take the place of a whole one."""
    path = tmp_path / f"film{ending}"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True)
    assert "free some space" in done.stdout and len(done.stdout.splitlines()) == 1
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


def test_mp4_without_ffmpeg_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)  # makes its import fail
    with pytest.raises(OutputError, match="install it, or write a .gif"):
        write_video(frames(2), tmp_path / "film.mp4")
    monkeypatch.undo()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="write a .gif"):
        write_video(frames(2), tmp_path / "film.mp4")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("boomerang", [False, True])
def test_memory_of_a_long_film_does_not_grow(tmp_path, boomerang):
    """400 frames of a morph had taken 1.7 GB."""
    size, count = 128, 200

    def film(count):
        return (np.full((size, size, 3), k % 256, np.uint8) for k in range(count))

    write_video(film(2), tmp_path / "film.mp4")  # what is loaded once
    tracemalloc.start()
    path = write_video(film(count), tmp_path / "film.mp4", boomerang=boomerang)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(read(path)) == (2 * count - 2 if boomerang else count)
    assert peak < 40 * size * size * 3


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_a_tensor_of_frames_is_converted_one_by_one(tmp_path, ending, monkeypatch):
    from i2s import figures

    sizes = []
    monkeypatch.setattr(figures, "to_uint8", lambda frames: sizes.append(len(frames[None])) or to_uint8(frames))
    write_video(frames(5), tmp_path / f"film{ending}")
    assert sizes == [1] * 5


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
@pytest.mark.parametrize("kind", [ImageError, OutputError, KeyboardInterrupt])
def test_an_error_of_the_frames_is_that_of_the_film(tmp_path, ending, kind):
    """A generator of frames fails in the middle: the earlier film stays."""

    def failing():
        yield from frames(2)
        raise kind("no third frame")

    path = tmp_path / f"film{ending}"
    path.write_bytes(b"old")
    for boomerang in (False, True):
        with pytest.raises(kind, match="no third frame"):
            write_video(failing(), path, boomerang=boomerang)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("boomerang", [False, True])
def test_a_full_disk_of_temporary_files_is_one_sentence(tmp_path, monkeypatch, boomerang):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="temporary files"):
        write_video(frames(3), tmp_path / "film.mp4", boomerang=boomerang)
    assert not os.listdir(tmp_path)


def test_check_video_says_beforehand_what_cannot_be_written(tmp_path):
    (tmp_path / "folder.gif").mkdir()
    for name, fps, kind in (
        ("film.avi", 12, OutputError),
        ("folder.gif", 12, OutputError),
        ("a.gif", 60, SettingsError),
    ):
        with pytest.raises(kind):
            check_video(tmp_path / name, fps)
    assert check_video(tmp_path / "a.mp4") == tmp_path / "a.mp4" and os.listdir(tmp_path) == ["folder.gif"]
