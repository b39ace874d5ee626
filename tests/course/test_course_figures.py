"""Plots: readable numbers, curves that coincide, small files. Images: one `<img>` each, with an alternative text."""

import io
from base64 import b64decode
from html.parser import HTMLParser

import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from i2s.course import bars, figures, plot, plot_spread, show, show_maps
from i2s.course.figures import NotebookImage, encode_image
from i2s.errors import SettingsError

FALLING = [4 * 0.98**k for k in range(100)]


def drawn(monkeypatch, make):
    """The Matplotlib axes that a plot was drawn on."""
    kept = {}
    original = figures.rasterize

    def rasterize(figure):
        kept["axes"] = figure.axes[0]
        return original(figure)

    monkeypatch.setattr(figures, "rasterize", rasterize)
    make()
    return kept["axes"]


def labels(axes):
    texts = [t.get_text() for which in ("major", "minor") for t in axes.yaxis.get_ticklabels(which=which)]
    return [text for text in texts if text]


def test_plot_log_axis_has_plain_numbers(monkeypatch):
    axes = drawn(monkeypatch, lambda: plot({"loss": FALLING}, "step", "loss", log=True))
    assert axes.get_yscale() == "log"
    found = labels(axes)
    assert len(found) >= 3 and all(float(text) > 0 and "e" not in text and "^" not in text for text in found), found


def test_plot_styles_distinguish_curves_that_coincide(monkeypatch):
    axes = drawn(monkeypatch, lambda: plot({"a": FALLING, "b": FALLING}, "step", "loss", styles=("-", "--")))
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]


def test_plot_spread_goes_from_the_lowest_to_the_highest_run(monkeypatch):
    runs = torch.tensor([[1.0, 2.0], [3.0, 5.0], [2.0, 9.0]])
    axes = drawn(monkeypatch, lambda: plot_spread({"runs": runs}, "step", "loss"))
    assert axes.lines[0].get_ydata().tolist() == [2.0, 5.0]
    corners = axes.collections[0].get_paths()[0].vertices
    assert {tuple(c) for c in corners.tolist()} >= {(0, 1.0), (0, 3.0), (1, 2.0), (1, 9.0)}
    assert "median" in plot_spread({"runs": runs}, "step", "loss").alt


def test_plot_is_a_small_file():
    image = plot({name: [x * k for x in FALLING] for k, name in enumerate("abcdef", 1)}, "step", "loss", log=True)
    assert len(encode_image(image.image, image.format)) < 15_000


# --- alternative texts ----------------------------------------------------------------------------------------------


def shown(result) -> tuple[dict, dict]:
    """What a notebook gets of it: data of each kind, and the attributes of the one `<img>` in its HTML."""
    data, _ = DisplayFormatter().format(result)
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.feed(data["text/html"])
    ((tag, attributes),) = tags
    assert tag == "img"
    return data, attributes


@pytest.mark.parametrize(
    "make, kind, said",
    [
        (lambda: show(torch.zeros(2, 3, 8, 8), labels=["a", "b"]), "JPEG", "2 images: a, b"),
        (lambda: show(torch.zeros(1, 3, 8, 8)), "JPEG", "1 image"),
        (lambda: show(torch.zeros(2, 3, 8, 8), alt="two black squares"), "JPEG", "two black squares"),
        (lambda: show_maps(torch.rand(3, 8, 8)), "JPEG", "3 feature maps"),
        (lambda: plot({"up": [1], "down": ([0], [2])}, "step", "loss"), "PNG", "loss against step: up, down"),
        (lambda: bars({"a": 1.0, "b": 0.5}, "error"), "PNG", "error: a 1, b 0.5"),
    ],
)
def test_image_has_an_alternative_text(make, kind, said):
    _, image = shown(make())
    assert set(image) == {"alt", "src"} and image["alt"] == said
    head, _, body = image["src"].partition(",")
    assert head == f"data:image/{kind.lower()};base64"
    picture = Image.open(io.BytesIO(b64decode(body, validate=True)))
    assert picture.format == kind and picture.width > 20


def test_image_is_stored_once():
    """An image beside the HTML would be twice the size, and be shown instead, without its text, by some viewers."""
    data, image = shown(show(torch.zeros(2, 3, 8, 8)))
    assert set(data) == {"text/html", "text/plain"}
    assert data["text/plain"].startswith("<image, ") and len(data["text/html"]) < len(image["src"]) + 60


def test_alternative_text_is_escaped():
    text = 'psi < 1 & "w > z", l\'image \u00e9crite'
    assert shown(show(torch.zeros(1, 3, 8, 8), alt=text))[1]["alt"] == text


def test_image_without_an_alternative_text_is_refused():
    for alt in ("", "  "):
        with pytest.raises(SettingsError, match="alt="):
            NotebookImage(Image.new("RGB", (8, 8)), alt=alt)
