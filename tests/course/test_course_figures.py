"""Plots: readable numbers, curves that coincide, small files. Images: one `<img>` each, with an alternative text."""

import io
import itertools
from base64 import b64decode
from html.parser import HTMLParser

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from nbconvert import LatexExporter
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


def test_plot_tells_curves_apart_without_colours(monkeypatch):
    for count in (2, 4, 7):
        curves = {f"run {k}": FALLING for k in range(count)}
        axes = drawn(monkeypatch, lambda: plot(curves, "step", "loss"))  # noqa: B023
        styles = [line.get_linestyle() for line in axes.lines]
        assert len({*zip(styles, [line.get_color() for line in axes.lines])}) == count
        assert all(a != b for a, b in itertools.pairwise(styles))
    groups = {"a": torch.rand(3, 4), "b": torch.rand(3, 4)}
    axes = drawn(monkeypatch, lambda: plot_spread(groups, "step", "loss"))
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]


FOREIGN = {
    "dark": {"axes.facecolor": "black", "text.color": "white", "savefig.facecolor": "black", "axes.edgecolor": "white"},
    "large": {"font.size": 30, "axes.labelsize": 40, "lines.linewidth": 9},
    "latex": {"text.usetex": True},
    "sizes": {"figure.dpi": 30, "savefig.dpi": 30, "savefig.bbox": "tight", "figure.autolayout": True},
}


@pytest.mark.parametrize("settings", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot({"a": FALLING, "b": FALLING[::2]}, "step", "loss", log=True),
        lambda: plot_spread({"runs": torch.tensor([FALLING, FALLING])}, "step", "loss"),
        lambda: bars({"a": 1.0, "b": 0.5}, "error"),
        lambda: show(torch.zeros(2, 3, 8, 8), labels=["a", "b"]),
    ],
    ids=["plot", "plot_spread", "bars", "show"],
)
def test_figure_does_not_depend_on_matplotlibs_settings(draw, settings):
    wanted = np.asarray(draw().image)
    with matplotlib.rc_context(settings):
        assert (np.asarray(draw().image) == wanted).all()
        assert all(matplotlib.rcParams[name] == value for name, value in settings.items())


def test_few_faces_are_large():
    for count, size in ((1, 256), (2, 256), (3, 256), (4, 200), (8, 200), (9, 256), (12, 200), (16, 133)):
        sheet = show(torch.full((count, 3, 128, 128), -1.0)).image
        row = np.asarray(sheet.convert("L"))[sheet.height // 8]
        assert (row < 9).sum() % size == 0 and 400 < sheet.width + 400 * (count == 1) <= 960
    assert show(torch.zeros(8, 3, 8, 8), columns=8).image.width > 8 * 128


def test_faces_are_enlarged_smoothly_and_maps_are_not():
    step = torch.ones(3, 8, 8)
    step[:, :, 4:] = -1
    levels = [
        len(np.unique(np.asarray(sheet.image.convert("L"))[20:140, 40:100]))
        for sheet in (show(step[None], size=160), show_maps(step[:1], size=160))
    ]
    assert levels[0] > 2 * levels[1]


# --- alternative texts ----------------------------------------------------------------------------------------------


def shown(result) -> tuple[dict, dict]:
    """What a notebook gets of it: data of each kind, and the attributes of the one `<img>` in its HTML."""
    data, _ = DisplayFormatter().format(result)
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.feed(data["text/html"])
    (attributes,) = (attributes for tag, attributes in tags if tag == "img")
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
    assert set(image) == {"alt", "style", "src"} and image["alt"] == said
    head, _, body = image["src"].partition(",")
    assert head == f"data:image/{kind.lower()};base64"
    picture = Image.open(io.BytesIO(b64decode(body, validate=True)))
    assert picture.format == kind and picture.width > 20


@pytest.mark.parametrize(
    "make, kind", [(lambda: show(torch.zeros(2, 3, 8, 8)), "jpeg"), (lambda: bars({"a": 1}, "b"), "png")]
)
def test_bitmap_stands_beside_the_html(make, kind):
    """For conversions that know no HTML; there once, and in one format."""
    data, image = shown(make())
    assert set(data) == {"text/html", "text/plain", f"image/{kind}"}
    assert image["src"] == f"data:image/{kind};base64,{data[f'image/{kind}']}"
    assert data["text/plain"].startswith("<image, ")


def test_latex_has_the_figures():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("figure")])
    data, _ = DisplayFormatter().format(bars({"a": 1.0}, "b"))
    notebook.cells[0].outputs = [nbformat.v4.new_output("display_data", data)]
    text, resources = LatexExporter().from_notebook_node(notebook)
    assert "includegraphics" in text and "px>" not in text.partition("begin{document}")[2]
    assert [name.rpartition(".")[2] for name in resources["outputs"]] == ["png"]


def test_image_is_scrolled_in_a_narrow_window_not_shrunk_until_it_cannot_be_read():
    for image, narrowest in ((show(torch.zeros(4, 3, 8, 8)), 560), (show(torch.zeros(1, 3, 8, 8), size=100), 124)):
        _, tag = shown(image)
        assert tag["style"] == f"max-width:100%;min-width:{narrowest}px" and image.image.width >= narrowest


def test_alternative_text_is_escaped():
    text = 'psi < 1 & "w > z", l\'image \u00e9crite'
    assert shown(show(torch.zeros(1, 3, 8, 8), alt=text))[1]["alt"] == text


def test_image_without_an_alternative_text_is_refused():
    for alt in ("", "  "):
        with pytest.raises(SettingsError, match="alt="):
            NotebookImage(Image.new("RGB", (8, 8)), alt=alt)
