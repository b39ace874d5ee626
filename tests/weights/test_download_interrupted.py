"""Downloads on full disks and read-only ones, interrupted, killed, and several at once, in real processes."""

import errno
import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
from servers import FILE, NAME, SHA256, get, left, one_sentence

from i2s.errors import DownloadError, SettingsError
from i2s.weights.fetch import Licence, fetch


@pytest.mark.parametrize("room", [0, 100_000, len(FILE) - 1])
def test_fetch_disk_full(server, cache, monkeypatch, room):
    """pooch meets the end of the disk while it writes."""
    import builtins

    class Full(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    def opened(path, mode="r", *args, **more):
        return Full(path, "w") if mode == "w+b" else builtins.open(path, mode, *args, **more)

    monkeypatch.setattr("pooch.downloaders.open", opened, raising=False)
    with pytest.raises(DownloadError, match=r"cannot be written \(No space left on device\): free some space") as error:
        get(f"{server.url}/good")
    assert "I2S_CACHE" in one_sentence(error) and left(cache) == []
    monkeypatch.undo()
    assert get(f"{server.url}/good", cache=cache).read_bytes() == FILE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a second user")
@pytest.mark.parametrize("held", [False, True], ids=["empty", "holds-the-file"])
def test_fetch_in_a_read_only_cache(server, held):
    """What is there is used; what is not there cannot be fetched, and that is said. As a user who may not write."""
    folder = Path(tempfile.mkdtemp())
    try:
        cache = folder / "cache"
        cache.mkdir()
        if held:
            (cache / NAME).parent.mkdir()
            (cache / NAME).write_bytes(FILE)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        code = _as_another_user(lambda: _read_only(server.url, cache, held))
        assert code == 0
        assert left(cache) == ([NAME] if held else [])
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(folder)


def _read_only(url, cache, held):
    if held:
        licence = Licence("L", "terms.", "https://licence.example")
        assert get(f"{url}/good", cache=cache, licence=licence) == cache / NAME
        assert get(f"{url}/good", None, cache=cache) == cache / NAME
        return
    with pytest.raises(DownloadError, match=r"cannot be written \(Permission denied\): .* set I2S_CACHE") as error:
        get(f"{url}/good", cache=cache)
    one_sentence(error)


def _as_another_user(function):
    # imported before the change of user: the packages may lie where only this one reads
    import filelock  # noqa: F401
    import pooch  # noqa: F401
    import requests  # noqa: F401

    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        function()
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def test_fetch_when_the_cache_is_a_file(server, tmp_path):
    (tmp_path / "cache").write_bytes(b"x")
    with pytest.raises(DownloadError) as error:
        get(f"{server.url}/good", cache=tmp_path / "cache")
    one_sentence(error)
    assert (tmp_path / "cache").read_bytes() == b"x"


def test_fetch_when_a_folder_is_in_the_place(server, cache):
    (cache / NAME / "inside").mkdir(parents=True)
    with pytest.raises(DownloadError, match="is a folder, .* move it away") as error:
        get(f"{server.url}/good")
    one_sentence(error)


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "", ".", r"C:\out", r"\\host\out", r"a\..\..\out"])
def test_fetch_refuses_names_outside_the_cache(server, cache, name):
    with pytest.raises(SettingsError, match="is no name for a file"):
        fetch(f"{server.url}/good", name, SHA256)
    assert server.requests == [] and not cache.exists()


CHILD = """
import signal, sys
from i2s.weights.fetch import fetch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background has it ignored
try:
    fetch(sys.argv[1], "generators/face.pkl", {sha256!r}, progress=False)
except KeyboardInterrupt:
    print("stopped")
"""


def child(url, cache, sha256=SHA256):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD.format(sha256=sha256)), url],
        env={**os.environ, "I2S_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def under_way(server):
    """Return when a process has asked the server for something and holds the lock."""
    end = time.monotonic() + 60
    while not server.requests:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_fetch_leaves_nothing_after_ctrl_c(server, cache):
    one = child(f"{server.url}/stalled", cache)
    under_way(server)
    one.send_signal(signal.SIGINT)
    out, _ = one.communicate(timeout=20)
    assert out.endswith("stopped\n") and left(cache) == []
    assert get(f"{server.url}/good").read_bytes() == FILE


def test_fetch_removes_what_a_killed_process_left(server, cache):
    """Nothing can be tidied up then: nothing is in the place of the file, and the next one sweeps."""
    one = child(f"{server.url}/stalled", cache)
    under_way(server)
    one.kill()
    one.communicate(timeout=20)
    assert not (cache / NAME).exists() and len(left(cache)) == 1
    assert get(f"{server.url}/good").read_bytes() == FILE
    assert left(cache) == [NAME, f"records/{NAME}.json"]


@pytest.mark.parametrize("sha256", [SHA256, None], ids=["checksum", "no-checksum"])
def test_fetch_in_several_processes_downloads_once(server, cache, sha256):
    """One fetches, the others wait for it; all have the whole file."""
    children = [child(f"{server.url}/slow", cache, sha256) for _ in range(3)]
    results = [one.communicate(timeout=60) for one in children]
    assert [one.returncode for one in children] == [0, 0, 0], results
    assert (cache / NAME).read_bytes() == FILE and left(cache) == [NAME, f"records/{NAME}.json"]
    assert len(server.requests) == 1


def test_fetch_without_locks_corrupts_nothing(server, cache, monkeypatch):
    """On a file system without locks each fetches for itself, and nothing is corrupted."""
    import filelock

    def none(self, *arguments, **more):
        raise NotImplementedError("no flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", none)
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=get, args=(f"{server.url}/slow",)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(30)
    assert [one.exitcode for one in both] == [0, 0]
    assert (cache / NAME).read_bytes() == FILE and left(cache) == [NAME, f"records/{NAME}.json"]
    assert len(server.requests) == 2


def test_fetch_in_several_threads_downloads_once(server, cache):
    found = []
    both = [threading.Thread(target=lambda: found.append(get(f"{server.url}/slow"))) for _ in range(4)]
    for one in both:
        one.start()
    for one in both:
        one.join(30)
    assert found == [cache / NAME] * 4 and len(server.requests) == 1


def test_fetch_waits_for_another_process_and_gives_up(server, cache):
    one = child(f"{server.url}/stalled", cache)
    under_way(server)
    said = []
    try:
        with pytest.raises(DownloadError, match="Another process has been fetching") as error:
            get(f"{server.url}/good", wait=0.1, say=said.append)
        one_sentence(error)
        assert said == [f"Another process is fetching {NAME}: waiting for it."]
    finally:
        one.kill()
        one.communicate()
    assert get(f"{server.url}/good").read_bytes() == FILE


def test_fetch_of_another_file_does_not_wait(server, cache):
    one = child(f"{server.url}/stalled", cache)
    under_way(server)
    try:
        fetch(f"{server.url}/good", "other.pkl", SHA256, progress=False, wait=0)
    finally:
        one.kill()
        one.communicate()
