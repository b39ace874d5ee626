"""Plots: readable numbers, curves that coincide both seen, small files."""

import torch

from i2s.course import figures, plot, plot_spread
from i2s.course.figures import encoded

FALLING = [4 * 0.98**k for k in range(100)]


def drawn(monkeypatch, make):
    """The Matplotlib axes that a plot was drawn on."""
    kept = {}
    original = figures._drawn
    monkeypatch.setattr(
        figures, "_drawn", lambda figure, alt: kept.update(axes=figure.axes[0]) or original(figure, alt)
    )
    make()
    return kept["axes"]


def labels(axes):
    texts = [t.get_text() for which in ("major", "minor") for t in axes.yaxis.get_ticklabels(which=which)]
    return [text for text in texts if text]


def test_a_logarithmic_axis_has_plain_numbers(monkeypatch):
    axes = drawn(monkeypatch, lambda: plot({"loss": FALLING}, "step", "loss", log=True))
    assert axes.get_yscale() == "log"
    found = labels(axes)
    assert len(found) >= 3 and all(float(text) > 0 and "e" not in text and "^" not in text for text in found), found


def test_styles_tell_curves_apart_that_coincide(monkeypatch):
    axes = drawn(monkeypatch, lambda: plot({"a": FALLING, "b": FALLING}, "step", "loss", styles=("-", "--")))
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]


def test_the_spread_goes_from_the_lowest_to_the_highest_run(monkeypatch):
    runs = torch.tensor([[1.0, 2.0], [3.0, 5.0], [2.0, 9.0]])
    axes = drawn(monkeypatch, lambda: plot_spread({"runs": runs}, "step", "loss"))
    assert axes.lines[0].get_ydata().tolist() == [2.0, 5.0]
    corners = axes.collections[0].get_paths()[0].vertices
    assert {tuple(c) for c in corners.tolist()} >= {(0, 1.0), (0, 3.0), (1, 2.0), (1, 9.0)}
    assert "median" in plot_spread({"runs": runs}, "step", "loss").alt


def test_a_plot_is_a_small_file():
    sheet = plot({name: [x * k for x in FALLING] for k, name in enumerate("abcdef", 1)}, "step", "loss", log=True)
    assert len(encoded(sheet.picture, sheet.format)) < 15_000
