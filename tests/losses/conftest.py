"""Fixtures of the losses' tests."""

import urllib.error

import pytest
import torch


@pytest.fixture
def torch_cache(tmp_path, monkeypatch):
    """An empty cache of torch's, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder
