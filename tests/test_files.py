"""Files: the new one is complete before the old one goes; safetensors files have a format and a version."""

import errno
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from i2s.errors import LatentError, OutputError, one_line
from i2s.files import (
    cache_dir,
    check_folder,
    ensure_dir,
    local_path,
    read_safetensors,
    with_prefix,
    write_atomically,
    write_safetensors,
)

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


@pytest.mark.parametrize("refusals", [2, 99])
def test_a_file_that_another_program_has_open(tmp_path, monkeypatch, refusals):
    """Windows refuses to replace it; a virus scanner closes it soon, an image viewer does not."""
    path = tmp_path / "result.png"
    path.write_bytes(b"old")
    replace, tries = os.replace, []

    def refuse(*places):
        tries.append(places)
        if len(tries) <= refusals:
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(*places)

    monkeypatch.setattr("i2s.files.PAUSES", (0.001, 0.001, 0.001))
    monkeypatch.setattr(os, "replace", refuse)
    if refusals == 2:
        assert write_atomically(path, b"new").read_bytes() == b"new" and len(tries) == 3
    else:
        with pytest.raises(OutputError, match="Access is denied.*: close it in other programs or choose another"):
            write_atomically(path, b"new")
        assert path.read_bytes() == b"old" and len(tries) == 4
    assert os.listdir(tmp_path) == ["result.png"]


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


@pytest.mark.parametrize("name", ["x.npz", "x.NPY", "x.pt", "x.pkl", "x.png", "x.json"])
def test_safetensors_are_not_written_under_the_ending_of_another_kind(tmp_path, name):
    with pytest.raises(OutputError, match=r"give it the ending .safetensors"):
        write_safetensors(tmp_path / name, {"x": torch.zeros(3)}, "i2s-test", 1)
    assert not os.listdir(tmp_path)
    for good in ("x.safetensors", "x", "x.ckpt", "photo.2"):
        assert write_safetensors(tmp_path / good, {"x": torch.zeros(3)}, "i2s-test", 1).exists()


@pytest.mark.parametrize("content", [b"text", bytes(8), save({"x": torch.zeros(1)}), save({}, {"format": "i2s-other"})])
def test_safetensors_replace_only_their_like(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="holds something else"):
        write_safetensors(path, {"x": torch.zeros(3)}, "i2s-test", 1)
    assert path.read_bytes() == content
    path.write_bytes(b"")  # as tempfile makes it
    for _ in range(2):
        write_safetensors(path, {"x": torch.zeros(3)}, "i2s-test", 1)


@pytest.mark.parametrize(
    "address", ["https://example.com/a", "http:/example.com/a", "s3://bucket/a", Path("https://a/b")]
)
def test_web_addresses_are_no_places(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    for write in (lambda: write_atomically(address, b""), lambda: ensure_dir(address), lambda: check_folder(address)):
        with pytest.raises(OutputError, match="is a web address"):
            write()
    with pytest.raises(LatentError, match="is a web address"):
        read(address)
    assert not os.listdir(tmp_path)


def test_local_path_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert local_path("~/a") == tmp_path / "a" and local_path("a~") == Path("a~")
    assert local_path("C:/a") == Path("C:/a") and local_path("a:b") == Path("a:b")  # no addresses
    assert write_atomically("~/a", b"1") == tmp_path / "a"
    assert read(write_safetensors("~/s", {}, "i2s-test", 1)) == read("~/s")
    monkeypatch.setenv("I2S_CACHE", "~/cache")
    assert cache_dir() == tmp_path / "cache"
    with pytest.raises(OutputError, match="cannot be found"):
        local_path("~nobody-of-this-name/x")


def test_check_folder_leaves_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert check_folder(tmp_path / "new" / "folder") == tmp_path / "new" / "folder"
    assert not os.listdir(tmp_path / "new" / "folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match=re.escape(str(place))):
            check_folder(place)


@POSIX
def test_writing_in_threads_leaves_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as threads:
            paths = list(threads.map(lambda k: write_atomically(tmp_path / str(k), b"x"), range(200)))
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o640}


@pytest.mark.parametrize("path", ["", None, b"name", 3, torch.zeros(2)])
def test_what_is_no_path_is_named(path):
    with pytest.raises(LatentError, match="is no path"):
        local_path(path, LatentError)
    with pytest.raises(OutputError, match="is no path"):
        write_atomically(path, b"new")
