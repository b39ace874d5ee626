"""Downloads from a server that does everything wrong: a clear error each time, nothing half-written, then success."""

import time

import pytest
import servers
from servers import FILE, NAME, SHA256, get, left, one_sentence

from i2s.errors import DownloadError
from i2s.weights import fetch as download

FAULTS = {
    "truncated": "broke the connection off",
    "reset": "broke the connection off",
    "silent": "broke the connection off",
    "chunked-cut": "broke the connection off",
    "chunked-garbage": "broke the connection off",
    "stalled-headers": "did not answer for 0.5 s",
    "stalled": "did not answer for 0.5 s",
    "trickle": "stalls",
    "lengthless-cut": "another file",
    "short": "another file",
    "huge": "more than this file can have",
    "negative": "",
    "two-lengths": "broke the connection off",
    "endless": "more than this file can have",
    "empty": "sent an empty file",
    "compressed": "broke the connection off",  # shorter than it says
    "other": "another file than the right one",
    "quota": "download quota",
    "login": "asks for a login",
    "page": "web page or an error message",
    "lengthless-page": "download quota",
    "message": "web page or an error message",
    "pointer": "git-lfs pointer",
    "loop": "redirects without end",
    "maze": "redirects without end",
    "to-file": "no web address",
    "to-nonsense": "no web address",
    "not-http": "broke the connection off",
    "many-headers": "broke the connection off",
    "gone": "has no such file (HTTP 404)",
    "unasked-part": "something else (HTTP 206)",
    "forbidden": "refuses access (HTTP 403)",
    "unauthorized": "asks for a login (HTTP 401)",
    "overloaded": "overloaded or out of order (HTTP 429)",
    "broken": "overloaded or out of order (HTTP 500)",
}
# what only a checksum can tell from the right file
NEEDS_CHECKSUM = {"other", "short"}


@pytest.mark.parametrize("known", [True, False], ids=["checksum", "no-checksum"])
@pytest.mark.parametrize("fault", FAULTS)
def test_fetch_names_the_fault_and_leaves_nothing(server, cache, monkeypatch, fault, known):
    """A clear error in one sentence; nothing half-written; the next try works."""
    if not known and fault in NEEDS_CHECKSUM:
        pytest.skip("without a checksum this cannot be told from the right file")
    if fault == "trickle":
        monkeypatch.setattr(download, "CHUNK", 64)
    began = time.monotonic()
    with pytest.raises(DownloadError) as error:
        get(f"{server.url}/{fault}", sha256=SHA256 if known else None, size=len(FILE))
    assert time.monotonic() - began < 20  # seconds, on a busy machine
    text = one_sentence(error)
    expected = "does not say how long" if fault == "lengthless-cut" and not known else FAULTS[fault]
    assert expected in text and "127.0.0.1" in text
    assert f"{server.url}/{fault}" in text and str(cache / NAME) in text  # how to do it by hand
    assert left(cache) == []
    assert get(f"{server.url}/good", sha256=SHA256 if known else None).read_bytes() == FILE


def test_fetch_retries_a_bounded_number_of_times(server, cache):
    for fault, count in {"truncated": 2, "stalled": 2, "broken": 2, "gone": 1, "quota": 1, "other": 1}.items():
        server.requests.clear()
        with pytest.raises(DownloadError):
            get(f"{server.url}/{fault}")
        assert len(server.requests) == count, fault


def test_fetch_leaves_what_is_there_when_it_fails(server, cache):
    """A damaged copy is replaced by the right file only."""
    path = get(f"{server.url}/good")
    path.write_bytes(FILE[:-1])
    with pytest.raises(DownloadError, match="could not be fetched"):
        get(f"{server.url}/truncated")
    assert path.read_bytes() == FILE[:-1]
    assert get(f"{server.url}/good").read_bytes() == FILE


def test_fetch_without_network(cache):
    url = f"{servers.closed_port()}/face.pkl"
    with pytest.raises(DownloadError, match="is not reached: connect to the network, or download") as error:
        get(url)
    assert url in one_sentence(error) and str(cache / NAME) in str(error.value)


def test_fetch_from_an_unknown_host(cache, monkeypatch):
    import socket

    def unknown(*arguments, **more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match="weights.example is not reached: connect to the network") as error:
        get("https://weights.example/face.pkl")
    one_sentence(error)


def test_fetch_through_a_missing_proxy(cache, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", servers.closed_port())
    monkeypatch.setenv("http_proxy", servers.closed_port())
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DownloadError, match="is not reached") as error:
        get("http://weights.example/face.pkl")
    one_sentence(error)


def test_fetch_without_tls(server, cache):
    with pytest.raises(DownloadError, match="no secure connection") as error:
        get(server.url.replace("http:", "https:") + "/good")
    one_sentence(error)


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1/file", "http://", "http://[bad/x", "http://a..b/x"])
def test_fetch_from_an_impossible_address(cache, url):
    with pytest.raises(DownloadError) as error:
        get(url)
    one_sentence(error)
    assert left(cache) == []
