"""Numbers in the cards of data/ are those of files and measurements; `notebooks/lint` checks the prose."""

import hashlib
import json
import re

import pytest

from i2s.encoder import load_encoder
from i2s.files import data_dir
from i2s.generators import load_generator

DATA = data_dir()
ROOT = DATA.parent
CARDS = sorted(path.stem for path in DATA.glob("*.safetensors"))

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the measurements are in a clone alone")


def text(name: str) -> str:
    return (DATA / f"{name}.md").read_text("utf-8")


def words(name: str) -> str:
    return " ".join(text(name).split())


@pytest.mark.parametrize("name", CARDS)
def test_readme_gives_the_size_of_each_file(name):
    size = (DATA / f"{name}.safetensors").stat().st_size / 1e6
    shown = re.search(rf"\| `{name}.safetensors` \|.*?\| ([\d.]+) MB \|", text("README"))[1]
    assert round(size, 1 if "." in shown else 0) == float(shown)


def test_cards_give_the_number_of_parameters():
    count = sum(p.numel() for p in load_generator("faces-64").parameters())
    assert f"| {count / 1e6:.2f} million, stored" in text("faces-64")
    assert (
        f"{sum(p.numel() for p in load_encoder(generator='faces-64').parameters()) / 1e6:.1f} million parameters"
        in text("encoder-64")
    )


def test_card_gives_the_checksum_of_the_file():
    found = hashlib.sha256((DATA / "perceptual-slim.safetensors").read_bytes()).hexdigest()
    assert found in text("perceptual-slim")


def test_card_gives_the_measured_embeddings():
    measured = json.loads((ROOT / "benchmarks/results/embed_quality_before_after.json").read_text("utf-8"))
    first, shipped = (measured[name]["w+"]["300"] for name in ("gen-34250f8", "faces-64"))
    card = words("faces-64")
    assert f"PSNR {first['psnr']:.1f} dB" in card and f"{shipped['psnr']:.1f} dB now" in card
    assert f"perceptual distance {first['perceptual']:.3f}, now {shipped['perceptual']:.3f}" in card
    smile = json.loads((ROOT / "benchmarks/results/smile_direction.json").read_text("utf-8"))
    assert smile["people whose smile goes the others' way"] == "24 of 24" and "in all of 24 people" in card
