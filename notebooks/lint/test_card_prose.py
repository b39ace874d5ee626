"""The prose of the cards in data/: licences, limits and sources are named; the same numbers everywhere."""

import re

import pytest

from i2s.files import data_dir

DATA = data_dir()
ROOT = DATA.parent
CARDS = sorted(path.stem for path in DATA.glob("*.safetensors"))
SOURCES = {"UK Parliament": "CC BY 3.0", "US Congress": "public domain", "SFHQ-T2I": "MIT", "SFHQ": "MIT"}


def text(name: str) -> str:
    return (DATA / f"{name}.md").read_text("utf-8")


def words(name: str) -> str:
    return " ".join(text(name).split())


@pytest.mark.parametrize("name", CARDS)
def test_card_has_licence_and_limits_and_a_line_in_the_readme(name):
    card, line = words(name), re.search(rf"\| `{name}.safetensors` \|.*", text("README"))
    assert "licen" in card.lower() and f"({name}.md)" in line[0]
    assert "must not" in card or "not to identify" in card


@pytest.mark.parametrize("name", ["README", "faces-64", "perceptual-slim"])
def test_card_names_the_sources_and_their_licences(name):
    for source, licence in SOURCES.items():
        assert source in words(name) and licence in words(name)
    assert "Chris McAndrew" in words(name) and "David Beniaguev" in words(name)


@pytest.mark.parametrize("name", ["README", "faces-64", "london-128", "perceptual-slim"])
def test_card_names_the_london_set(name):
    assert "London Set" in words(name) and "DeBruine" in words(name) and "5047666" in words(name)
    assert "CC BY 4.0" in words(name)


def test_counts_of_images_agree():
    def number(shown):
        return int(shown.replace(",", ""))

    card = [number(n) for n in re.findall(r"^\| ([\d,]+) \| (?:UK|SFHQ|official)", text("faces-64"), re.M)]
    table = [number(n) for n in re.findall(r"\| ([\d,]+), trained on \|", text("README"))]
    assert card == table and sum(card) == 3616 and "3,616 images" in words("faces-64")
    assert f"{card[0] + card[2]:,} people" in words("README")  # the portraits
    assert f"{round(100 * (card[0] + card[2]) / sum(card))} % of the images are politicians" in words("faces-64")


def test_card_and_training_readme_agree():
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
def test_links_are_valid(name):
    path = ROOT / name
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target
