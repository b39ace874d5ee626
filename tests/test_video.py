"""Films hold the frames they were given, play at the speed asked for, and never cost an earlier file."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from i2s.errors import ImageError, OutputError, SettingsError
from i2s.figures import write_video
from i2s.images import resize, to_pil, to_uint8


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
