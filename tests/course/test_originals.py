"""Photos on demand: checked against their checksum, and no lesson stops without them."""

import http.server
import threading

import pytest

from i2s.course import originals
from i2s.errors import SettingsError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("I2S_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def server(tmp_path):
    """A web server over `tmp_path / "site"`; its address."""
    site = tmp_path / "site"
    site.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(site))

        def log_message(self, *args):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield site, f"http://127.0.0.1:{running.server_port}"
    running.shutdown()


def put(site, data, place="neutral_front/010_03.jpg"):
    file = site / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


def test_the_true_photo_is_fetched_once_with_its_terms(shared, cache, server):
    site, address = server
    put(site, (shared / "photos" / "010-neutral.jpg").read_bytes())
    said = []
    path = originals.fetch_original("010", "neutral", address, progress=False, say=said.append)
    assert path.read_bytes() == (shared / "photos" / "010-neutral.jpg").read_bytes()
    assert any("CC BY 4.0" in text and "consented" in text for text in said)
    put(site, b"changed")
    assert originals.fetch_original("010", "neutral", address, progress=False, say=said.append) == path


def test_another_file_in_its_place_is_not_taken(cache, server, capsys):
    site, address = server
    put(site, b"not that photo")
    assert originals.fetch_original("010", "neutral", address, progress=False, say=lambda text: None) is None
    assert "goes on with the codes" in capsys.readouterr().out


def test_offline_the_lesson_goes_on(cache, monkeypatch, capsys):
    monkeypatch.setenv("I2S_OFFLINE", "1")
    assert originals.fetch_original("011", "smiling", progress=False) is None
    assert "goes on with the codes" in capsys.readouterr().out


def test_people_without_a_checksum_are_not_offered():
    with pytest.raises(SettingsError, match="010"):
        originals.fetch_original("999", "neutral")
