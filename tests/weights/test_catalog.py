"""The catalog: complete, consistent, honest about licences; `find` gives the file or says what is the matter."""

import dataclasses
import re
from urllib.parse import urlsplit

import pytest
from servers import FILE, SHA256

from i2s.errors import DownloadError, SettingsError, WeightFileError
from i2s.files import data_dir
from i2s.generators import resolve
from i2s.weights import catalog
from i2s.weights.catalog import Entry, entries, entry, find, table
from i2s.weights.fetch import megabytes

NAMES = ["faces-128", "faces-64", "faces-64-adain", "ffhq-1024", "ffhq-512", "ffhq-256", "ffhq-1024-configf"]
NAMES += ["ffhq-1024-rosinality", "ffhq-1024-stylegan1", "ffhq-1024-stylegan3", "ffhq-1024-stylegan3-r"]
NAMES += ["metfaces", "afhqcat", "afhqdog", "afhqwild"]
every_entry = pytest.mark.parametrize("one", entries(), ids=lambda one: one.name)


@pytest.fixture(autouse=True)
def own_cache(cache):
    pass


def test_names():
    assert [one.name for one in entries()] == NAMES


@every_entry
def test_entry(one):
    assert re.fullmatch("[a-z0-9-]+", one.name) and one.kind.startswith("StyleGAN")
    assert one.resolution in (64, 128, 256, 512, 1024)
    assert one.sha256 is None or re.fullmatch("[0-9a-f]{64}", one.sha256)
    assert one.size is None or 10**6 < one.size < 10**9
    assert re.fullmatch(r"[\w.-]+\.(pkl|pt|safetensors)", one.filename)
    for url in (one.url, *one.mirrors):
        assert not url or (urlsplit(url).scheme == "https" and urlsplit(url).hostname), url
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.url = "https://elsewhere.example"


@every_entry
def test_licence(one):
    assert one.licence.name and one.licence.terms.endswith(".") and one.licence.url.startswith("https://")
    if one.url:  # what is fetched is NVIDIA's
        assert "non-commercial" in one.licence.name and "commercial" in one.licence.terms
        assert "NVIDIA" in one.licence.terms


@every_entry
def test_mirrors_need_a_checksum(one):
    assert one.sha256 or not one.mirrors


def test_files_are_distinct():
    for field in ("name", "filename", "sha256"):
        values = [getattr(one, field) for one in entries() if getattr(one, field)]
        assert len(set(values)) == len(values), field
    urls = [url for one in entries() for url in (one.url, *one.mirrors) if url]
    assert len(set(urls)) == len(urls)


@pytest.mark.parametrize(
    "wrong, meant",
    [("ffhq1024", "ffhq-1024"), ("FFHQ-512", "ffhq-512"), ("afhq-cat", "afhqcat"), ("face-64", "faces-64"), ("", "")],
)
def test_unknown_name(wrong, meant):
    with pytest.raises(SettingsError) as error:
        find(wrong)
    assert meant in str(error.value) and "i2s generators" in str(error.value) and "\n" not in str(error.value)


def test_nothing_like_it():
    """All names are told."""
    with pytest.raises(SettingsError) as error:
        find("zzzzzzzz")
    assert all(name in str(error.value) for name in NAMES)


def test_load_generator_finds_names(monkeypatch, tmp_path):
    monkeypatch.setattr(catalog, "data_dir", lambda: tmp_path)
    (tmp_path / "faces-64.safetensors").write_bytes(b"x")
    assert resolve("faces-64") == tmp_path / "faces-64.safetensors"
    with pytest.raises(SettingsError, match="did you mean faces-64"):
        resolve("faces64")


@pytest.mark.parametrize("name", ["faces-128", "faces-64", "faces-64-adain"])
def test_shipped(name):
    one = entry(name)
    assert one.path == data_dir() / f"{name}.safetensors" and one.state == "shipped"


def test_shipped_file_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(catalog, "data_dir", lambda: tmp_path)
    assert entry("faces-64").state == "missing"
    with pytest.raises(WeightFileError, match="is shipped with i2s, but .* is missing: install i2s again"):
        find("faces-64")


@pytest.fixture
def three(server, monkeypatch):
    """The server, and three generators that lie there in place of all others."""
    ours = tuple(
        Entry(name, "StyleGAN2", 64, catalog.ADA, f"{name}.pkl", f"{server.url}/{name}", len(FILE), SHA256)
        for name in ("good", "moved", "gone")
    )
    monkeypatch.setattr(catalog, "_ENTRIES", ours)
    return server


def test_find(three, tmp_path):
    said = []
    path = find("good", progress=False, say=said.append)
    assert path == entry("good").path == tmp_path / "cache" / "generators" / "good.pkl" and path.read_bytes() == FILE
    assert said == [f"Licence. {catalog.ADA.notice}"]
    assert find("good", progress=False, say=said.append) == path
    find("moved", progress=False, say=said.append)
    assert len(said) == 1 and three.requests == ["good", "moved", "good"]


def test_find_fails(three, tmp_path):
    with pytest.raises(DownloadError, match="generators/gone.pkl could not be fetched") as error:
        find("gone", progress=False, say=lambda message: None)
    assert str(tmp_path / "cache" / "generators" / "gone.pkl") in str(error.value)


def test_larger_than_the_catalog_says(three, monkeypatch):
    small = dataclasses.replace(entry("good"), size=10**6)  # twice that, and a mebibyte, is less than the file
    monkeypatch.setattr(catalog, "_ENTRIES", (small,))
    with pytest.raises(DownloadError, match="sends more than 3.0 MB, more than this file can have"):
        find("good", progress=False, say=lambda message: None)


def test_table(three):
    find("good", progress=False, say=lambda message: None)
    lines = table().splitlines()
    assert len(lines) == 4 and lines[0].split() == ["name", "kind", "pixels", "size", "licence"]
    assert re.fullmatch(r"good +StyleGAN2 +64 +3.1 MB +NVIDIA StyleGAN2-ADA \(non-commercial\) +cached", lines[1])
    assert lines[2].endswith("to fetch") and not any(line != line.rstrip() for line in lines)


def test_table_of_all():
    text = table()
    assert all(re.search(f"^{name} ", text, re.MULTILINE) for name in NAMES)
    assert max(map(len, text.splitlines())) <= 120


def test_sizes_for_people():
    told = {
        0: "0 bytes",
        999: "999 bytes",
        1000: "1.0 kB",
        381_624_121: "382 MB",
        1_500_000: "1.5 MB",
        10**15: "1000 TB",
    }
    for count, text in told.items():
        assert megabytes(count) == text
