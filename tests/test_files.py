"""Files: the new one is complete before the old one goes; safetensors files have a format and a version."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from i2s.errors import LatentError, OutputError, one_line
from i2s.files import read_safetensors, with_prefix, write_atomically, write_safetensors

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "new folder" / "result.bin"
    assert write_atomically(path, b"one") == path and path.read_bytes() == b"one"
    assert write_atomically(str(path), b"two") == path and path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["result.bin"]


@POSIX
def test_a_new_file_has_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@POSIX
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "store").mkdir()
    goal, link = tmp_path / "store" / "goal", tmp_path / "link"
    goal.write_bytes(b"old")
    link.symlink_to(goal)
    write_atomically(link, b"new")
    assert link.is_symlink() and goal.read_bytes() == b"new"


@pytest.mark.parametrize("call", ["fsync", "replace", "fdopen"])
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OutputError, match="No space left on device.*: free some space") as error:
        write_atomically(path, b"new")
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["result.bin"]


def test_ctrl_c_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["result.bin"]


LIMITED = """
import resource, sys
from i2s.errors import OutputError, one_line
from i2s.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(sys.argv[1], bytes(5000))
except OutputError as error:
    print(error)
"""


@POSIX
def test_a_write_that_ends_in_the_middle_keeps_the_old_file(tmp_path):
    """A real one: the system refuses what goes beyond 1000 bytes."""
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", LIMITED, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True).stdout
    assert "File too large" in said and path.read_bytes() == b"old" and os.listdir(tmp_path) == ["result.bin"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_is_written_to_and_never_replaced():
    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically("/dev/full", b"new")
    write_atomically("/dev/null", b"new")
    for device in ("/dev/full", "/dev/null"):
        assert stat.S_ISCHR(os.stat(device).st_mode)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "result", tmp_path / "folder", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(OutputError, match="could not be written"):
            write_atomically(path, b"new")
    assert (tmp_path / "file").read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["file", "folder"]


@POSIX
def test_a_long_name_is_not_too_long_for_the_temporary_file(tmp_path):
    assert write_atomically(tmp_path / ("x" * 255), b"new").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="[Pp]ermission"):
            write_atomically(path, b"new")
    finally:
        tmp_path.chmod(0o700)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("the first line\nand the second"), "the first line"),
        (EOFError(), ""),
    ],
)
def test_the_reason_of_an_error_is_one_line(error, said):
    assert one_line(error) == said


def read(path, format="i2s-test", version=2):
    return read_safetensors(path, format, version, LatentError, kind="a test", advice="write it again")


def test_safetensors_there_and_back(tmp_path):
    """Tensors that share memory, and views, are written as well; what was read is no part of the file."""
    x = torch.arange(6.0).view(2, 3)
    path = write_safetensors(
        tmp_path / "new" / "a.safetensors", {"x": x, "same": x, "view": x.T}, "i2s-test", 2, {"k": "v"}
    )
    tensors, metadata = read(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert metadata == {"format": "i2s-test", "version": "2", "k": "v"}
    assert torch.equal(tensors["x"], x) and torch.equal(tensors["same"], x) and torch.equal(tensors["view"], x.T)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "There is no file .*: write it again."),
        (lambda path: path.write_bytes(b""), "is broken and cannot be read as a test: write it again."),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is broken and cannot be read as a test"),
        (lambda path: path.write_bytes(save({}, {"format": "i2s-other"})), "is not a test: write it again."),
        (lambda path: write_safetensors(path, {}, "i2s-test", 3), "was written by a newer i2s: update i2s"),
    ],
)
def test_safetensors_that_cannot_be_read(tmp_path, spoil, says):
    path = write_safetensors(tmp_path / "a.safetensors", {"x": torch.zeros(3)}, "i2s-test", 2)
    assert read(path, version=9)[1]["version"] == "2"  # older ones are
    spoil(path)
    with pytest.raises(LatentError, match=says) as error:
        read(path)
    assert "a.safetensors" in str(error.value) and "\n" not in str(error.value)


def test_read_safetensors_without_a_version_is_version_1(tmp_path):
    path = write_atomically(tmp_path / "a.safetensors", save({"x": torch.ones(3)}, {"format": "i2s-test"}))
    tensors, metadata = read(path, version=1)
    assert torch.equal(tensors["x"], torch.ones(3)) and metadata == {"format": "i2s-test", "version": "1"}


def test_with_prefix_takes_it_off():
    tensors = {"a.x": torch.zeros(1), "a.b.y": torch.ones(1), "ab": torch.ones(2)}
    assert list(with_prefix(tensors, "a.")) == ["x", "b.y"]
