"""Fixtures of the tests of downloads: a misbehaving server, an empty cache, short times, no settings of the user's."""

import pytest
import servers

from i2s.weights import fetch


@pytest.fixture
def plain_environment(monkeypatch):
    for name in ("I2S_MIRROR", "I2S_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name, value in {"TIMEOUT": 0.5, "PAUSE": 0.01, "ATTEMPTS": 2}.items():
        monkeypatch.setattr(fetch, name, value)


@pytest.fixture
def server(plain_environment):
    with servers.running() as server:
        yield server


@pytest.fixture
def cache(tmp_path, monkeypatch, plain_environment):
    monkeypatch.setenv("I2S_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
