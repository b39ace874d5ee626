"""Downloads: fetched once, whole, checked; mirrors, records of checksums, licences, files put there by hand."""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest
import servers
from servers import FILE, NAME, OTHER, SHA256, get, left, one_sentence

from i2s.errors import DownloadError, SettingsError
from i2s.weights import fetch as download
from i2s.weights.fetch import Licence, fetch, google_drive_url, web_page_reason


@pytest.mark.parametrize("how", ["good", "moved", "chunked", "lengthless", "slow", "drop-once", "busy-once"])
def test_fetch_returns_the_whole_file(server, cache, how):
    path = get(f"{server.url}/{how}")
    assert path == cache / NAME and path.read_bytes() == FILE
    assert left(cache) == [NAME, f"records/{NAME}.json"]


def test_fetch_downloads_once(server, cache):
    first = get(f"{server.url}/good")
    before = first.stat().st_mtime_ns
    assert get(f"{server.url}/good") == first and first.stat().st_mtime_ns == before
    assert len(server.requests) == 1


def test_fetch_shows_a_progress_bar(server, cache, capfd):
    get(f"{server.url}/good", progress=True)
    assert "face.pkl" in capfd.readouterr().err


def test_fetch_silences_pooch(server, cache, capfd):
    get(f"{server.url}/good", sha256=None)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_fetch_makes_files_that_others_can_read(server, cache):
    old = os.umask(0o022)
    try:
        mode = get(f"{server.url}/good").stat().st_mode
    finally:
        os.umask(old)
    assert stat.S_IMODE(mode) == 0o644


def test_fetch_uses_the_cache_of_the_user(server, cache):
    assert str(get(f"{server.url}/good")).startswith(os.environ["I2S_CACHE"])
    elsewhere = cache.parent / "elsewhere"
    assert get(f"{server.url}/good", cache=elsewhere) == elsewhere / NAME


def test_fetch_tries_mirrors_after_the_source(server, cache):
    mirrors = (f"{server.url}/truncated", f"{server.url}/moved")
    assert get(f"{server.url}/gone", mirrors=mirrors).read_bytes() == FILE
    assert server.requests == ["gone", "truncated", "truncated", "moved", "good"]


def test_fetch_tries_a_mirror_after_a_wrong_file(server, cache):
    assert get(f"{server.url}/other", mirrors=(f"{server.url}/good",)).read_bytes() == FILE


def test_fetch_names_all_addresses_that_failed(server, cache):
    with pytest.raises(DownloadError, match=r"HTTP 404\).*; .*quota") as error:
        get(f"{server.url}/gone", mirrors=(f"{server.url}/quota", f"{servers.closed_port()}/x"))
    assert "is not reached" in one_sentence(error)


def test_fetch_tries_own_mirrors_first(server, cache, tmp_path, monkeypatch):
    """`python -m http.server` in one cache is a mirror for another."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    theirs = get(f"{server.url}/good", cache=tmp_path / "theirs")
    server.requests.clear()
    with servers.running(partial(Silent, directory=tmp_path / "theirs")) as mirror:
        monkeypatch.setenv("I2S_MIRROR", f"{servers.closed_port()}  {mirror.url}/")
        ours = get(f"{server.url}/good")
        assert ours.read_bytes() == theirs.read_bytes() and ours != theirs
        assert server.requests == []
        theirs.unlink()
        assert get(f"{server.url}/good", cache=tmp_path / "third").read_bytes() == FILE  # from the source


@pytest.mark.parametrize("mirror", ["ftp://host", "/mnt/stick", "host"])
def test_fetch_refuses_a_mirror_that_is_no_address(server, cache, monkeypatch, mirror):
    monkeypatch.setenv("I2S_MIRROR", mirror)
    with pytest.raises(SettingsError, match="I2S_MIRROR") as error:
        get(f"{server.url}/good")
    one_sentence(error)


def test_fetch_records_the_first_checksum(server, cache):
    said = []
    path = get(f"{server.url}/good", sha256=None, say=said.append)
    assert len(said) == 1 and SHA256 in said[0] and "recorded" in said[0]
    record = json.loads((cache / "records" / f"{NAME}.json").read_text())
    assert record["sha256"] == SHA256 and record["source"] == f"{server.url}/good"
    path.unlink()
    get(f"{server.url}/good", sha256=None, say=said.append)
    assert len(said) == 1


def test_fetch_refuses_a_file_that_differs_from_the_first(server, cache):
    path = get(f"{server.url}/other", sha256=None)
    path.unlink()
    record = cache / "records" / f"{NAME}.json"
    with pytest.raises(DownloadError, match="another file than the first one") as error:
        get(f"{server.url}/good", sha256=None)
    assert str(record) in one_sentence(error) and not path.exists()
    record.unlink()  # as the message says
    assert get(f"{server.url}/good", sha256=None).read_bytes() == FILE


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"sha256": "x"}', b"\xff", b"null"])
def test_fetch_replaces_a_broken_record(server, cache, record):
    path = get(f"{server.url}/good")
    (cache / "records" / f"{NAME}.json").write_bytes(record)
    assert get(f"{server.url}/gone") == path


def test_fetch_verifies_a_cached_file_that_has_changed(server, cache):
    path = get(f"{server.url}/good")
    path.write_bytes(OTHER)
    assert get(f"{server.url}/good").read_bytes() == FILE and len(server.requests) == 2


def test_fetch_computes_no_checksum_of_an_unchanged_file(server, cache, monkeypatch):
    import pooch

    get(f"{server.url}/good")
    monkeypatch.setattr(pooch, "file_hash", None)
    get(f"{server.url}/good")


def test_fetch_prefers_a_known_checksum_to_a_recorded_one(server, cache):
    """The catalog has learnt the checksum, and the file of the first use was another one."""
    get(f"{server.url}/other", sha256=None)
    assert get(f"{server.url}/good").read_bytes() == FILE


def test_fetch_takes_a_checksum_in_capitals(server, cache):
    assert get(f"{server.url}/good", sha256=SHA256.upper()).read_bytes() == FILE


def test_fetch_takes_files_put_there_by_hand(server, cache, monkeypatch):
    """What the messages advise works, without a network, with and without a known checksum."""
    monkeypatch.setenv("I2S_OFFLINE", "1")
    for sha256 in (SHA256, None):
        shutil.rmtree(cache, ignore_errors=True)
        (cache / NAME).parent.mkdir(parents=True)
        (cache / NAME).write_bytes(FILE)
        assert get(f"{server.url}/gone", sha256=sha256) == cache / NAME
    assert server.requests == []


@pytest.mark.parametrize("content", [servers.QUOTA, b"", servers.LOGIN, servers.POINTER])
def test_fetch_refuses_pages_put_there_by_hand(server, cache, content):
    (cache / NAME).parent.mkdir(parents=True)
    (cache / NAME).write_bytes(content)
    with pytest.raises(DownloadError):
        get(f"{server.url}/gone", sha256=None)
    assert not (cache / "records").exists()
    assert get(f"{server.url}/good", sha256=None).read_bytes() == FILE


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_fetch_offline_downloads_nothing(server, cache, monkeypatch, value):
    monkeypatch.setenv("I2S_OFFLINE", value)
    with pytest.raises(DownloadError, match="is not in the cache and I2S_OFFLINE forbids") as error:
        get(f"{server.url}/good")
    assert str(cache / NAME) in one_sentence(error)
    assert server.requests == [] and not cache.exists()
    monkeypatch.setenv("I2S_OFFLINE", "0")
    path = get(f"{server.url}/good")
    monkeypatch.setenv("I2S_OFFLINE", value)
    assert get(f"{server.url}/gone") == path
    path.write_bytes(b"x")
    with pytest.raises(DownloadError, match="is damaged in the cache and I2S_OFFLINE"):
        get(f"{server.url}/good")


def test_fetch_shows_a_licence_once_per_cache(server, cache, tmp_path):
    licence = Licence("CC BY-NC 4.0 (non-commercial)", "for non-commercial purposes only.", "https://licence.example")
    said = []
    for name in ("one.pkl", "two.pkl", "one.pkl"):
        fetch(f"{server.url}/good", name, SHA256, licence=licence, progress=False, say=said.append)
    assert said == [f"Licence. {licence.notice}"] and "only. Full text: https://licence.example" in licence.notice
    assert left(cache / "licences") == ["cc-by-nc-4.0-non-commercial.txt"]
    get(f"{server.url}/good", licence=licence, say=said.append, cache=tmp_path / "another")
    assert len(said) == 2


def test_fetch_shows_a_licence_before_the_download(server, cache):
    licence = Licence("L", "terms.", "https://licence.example")
    asked = []
    get(f"{server.url}/good", licence=licence, say=lambda message: asked.append(len(server.requests)))
    assert asked == [0]


def test_google_drive_url():
    assert google_drive_url("https://drive.google.com/uc?id=abc_-1") == (
        "https://drive.usercontent.google.com/download?id=abc_-1&export=download&confirm=t"
    )
    for url in ("https://host/uc?id=1", "https://drive.google.com/file/d/1/view"):
        assert google_drive_url(url) == url


@pytest.mark.parametrize(
    "start", [FILE, b"\xff\xd8\xff\xe0", b"PK\x03\x04", b"\x80\x04\x95", b'\x10\0\0\0\0\0\0\0{"a":', b"(dp0\nS'G'\n"]
)
def test_web_page_reason_of_files_is_empty(start):
    assert web_page_reason(start) == ""


def test_tell_prints_to_standard_error(capsys):
    download.tell("hello")
    assert capsys.readouterr() == ("", "i2s: hello\n")


def test_catalog_imports_neither_torch_nor_pooch():
    """Neither torch nor the network is touched before something is fetched."""
    code = "import i2s.weights.catalog, sys; sys.exit(any(n in sys.modules for n in ('torch', 'requests', 'pooch')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
