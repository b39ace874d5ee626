"""What the cards in data/ say is what the files hold, what was measured, and the same everywhere."""

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
SOURCES = {"UK Parliament": "CC BY 3.0", "US Congress": "public domain", "SFHQ-T2I": "MIT", "SFHQ": "MIT"}

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the cards' pictures are in a clone alone")


def text(name: str) -> str:
    return (DATA / f"{name}.md").read_text("utf-8")


def words(name: str) -> str:
    return " ".join(text(name).split())


@pytest.mark.parametrize("name", CARDS)
def test_each_file_has_a_card_with_licence_and_limits_and_a_line_of_its_own(name):
    card, line = words(name), re.search(rf"\| `{name}.safetensors` \|.*", text("README"))
    assert "licen" in card.lower() and f"({name}.md)" in line[0]
    assert "must not" in card or "not to identify" in card
    size = (DATA / f"{name}.safetensors").stat().st_size / 1e6
    shown = re.search(r"\| ([\d.]+) MB \|", line[0])[1]
    assert round(size, 1 if "." in shown else 0) == float(shown)


@pytest.mark.parametrize("name", ["README", "faces-64", "perceptual-slim"])
def test_all_four_sources_of_faces_are_named_with_their_licences(name):
    for source, licence in SOURCES.items():
        assert source in words(name) and licence in words(name)
    assert "Chris McAndrew" in words(name) and "David Beniaguev" in words(name)


@pytest.mark.parametrize("name", ["README", "faces-64", "london-64", "perceptual-slim"])
def test_whatever_was_made_of_the_london_set_names_it(name):
    assert "London Set" in words(name) and "DeBruine" in words(name) and "5047666" in words(name)
    assert "CC BY 4.0" in words(name)


def test_the_pictures_add_up_and_are_the_same_in_both_tables():
    number = lambda shown: int(shown.replace(",", ""))
    card = [number(n) for n in re.findall(r"^\| ([\d,]+) \| (?:UK|SFHQ|official)", text("faces-64"), re.M)]
    table = [number(n) for n in re.findall(r"\| ([\d,]+), trained on \|", text("README"))]
    assert card == table and sum(card) == 3616 and "3,616 pictures" in words("faces-64")
    assert f"{card[0] + card[2]:,} people" in words("README")  # the portraits
    assert f"{round(100 * (card[0] + card[2]) / sum(card))} % of the pictures are politicians" in words("faces-64")


def test_parameters_are_counted():
    count = sum(p.numel() for p in load_generator().parameters())
    assert f"| {count / 1e6:.2f} million, stored" in text("faces-64")
    assert f"{sum(p.numel() for p in load_encoder().parameters()) / 1e6:.1f} million parameters" in text("encoder-64")


def test_the_checksum_is_the_files():
    found = hashlib.sha256((DATA / "perceptual-slim.safetensors").read_bytes()).hexdigest()
    assert found in text("perceptual-slim")


def test_embeddings_before_and_after_are_those_measured():
    measured = json.loads((ROOT / "benchmarks/results/embed_quality_before_after.json").read_text("utf-8"))
    first, shipped = (measured[name]["w+"]["300"] for name in ("gen-34250f8", "faces-64"))
    card = words("faces-64")
    assert f"PSNR {first['psnr']:.1f} dB" in card and f"{shipped['psnr']:.1f} dB now" in card
    assert f"perceptual distance {first['perceptual']:.3f}, now {shipped['perceptual']:.3f}" in card
    smile = json.loads((ROOT / "benchmarks/results/smile_direction.json").read_text("utf-8"))
    assert smile["people whose smile goes the others' way"] == "24 of 24" and "in all of 24 people" in card


def test_the_card_and_the_page_on_training_give_the_same_numbers():
    page = " ".join((ROOT / "training/README.md").read_text("utf-8").split())
    card = text("faces-64")
    best = re.search(r"\| samples, psi 1 \| ([\d,]+) \|", card)[1]
    assert f"{best} with wider codes" in page
    for what in ("two halves of the real faces", "blurred by 0.5 px", "blurred by 1 px"):
        value = re.search(rf"{what} \| ([\d,]+) \|", card)[1]
        assert re.search(rf"{what} \| {value} \|", page)
    images = re.search(r"(\d+) thousand as an auto-encoder, (\d+) thousand adversarial", page)
    assert f"**Auto-encoder**, {images[1]} thousand" in card and f"**Adversarial**, {images[2]} thousand" in card


@pytest.mark.parametrize("name", [*sorted(f"data/{path.name}" for path in DATA.glob("*.md")), "training/README.md"])
def test_links_lead_somewhere(name):
    path = ROOT / name
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target
