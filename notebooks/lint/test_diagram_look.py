"""The look of the diagrams: well-formed, legible, on a background of their own."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import pytest
from PIL import ImageFont

DIAGRAMS = sorted((Path(__file__).resolve().parents[1] / "images").glob("*.svg"))
WIDEST = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")  # of the fonts a browser may take
SVG = "{http://www.w3.org/2000/svg}"


def luminance(colour: str) -> float:
    """Relative luminance of #RRGGBB (WCAG 2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_there_are_diagrams():
    assert len(DIAGRAMS) == 6


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda p: p.stem)
def test_diagram_is_complete(path):
    """It says what it shows, needs nothing from outside, and its first shape is an opaque light panel of its size."""
    text = path.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    width, height = float(root.get("width")), float(root.get("height"))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert width <= 960 and len(text) < 60_000
    assert root.find(f"{SVG}title").text and len(root.find(f"{SVG}desc").text) > 60
    assert "href" not in text and "url(" not in text and "<script" not in text and "@import" not in text
    panel = root.find(f"{SVG}rect")
    assert float(panel.get("width")) >= width - 2 and float(panel.get("height")) >= height - 2
    assert luminance(panel.get("fill")) > 0.9 and panel.get("fill-opacity") is None
    assert not re.search(r"[*{}]|_\{|\^\{", "".join(root.itertext())), "markup that was not understood"


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda p: p.stem)
def test_diagram_text_is_legible(path):
    """13 px at least, within the panel, and dark on light (or white on ink) with a contrast of 3 for large words."""
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    width, height = float(root.get("width")), float(root.get("height"))
    for words in root.iter(f"{SVG}text"):
        said, size = "".join(words.itertext()), float(words.get("font-size"))
        assert size >= 13, said
        wide = ImageFont.truetype(WIDEST, size).getlength(said)
        x, y = float(words.get("x")), float(words.get("y"))
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[words.get("text-anchor")]
        assert left > 4 and left + wide < width - 4 and size <= y <= height - 6, said
        if words.get("fill") != "#FFFFFF":  # white words stand on ink
            large = size >= 16 and words.get("font-weight") == "700"
            contrast = 1.05 / (luminance(words.get("fill")) + 0.05)
            assert contrast >= (3 if large else 4.5), (said, contrast)
