"""Images and plots in one style, with alternative texts, in colours and lines that can be told apart by any eye."""

import functools
import io
from base64 import b64encode
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from i2s.embedding.result import EmbedResult
from i2s.errors import SettingsError
from i2s.figures import contact_sheet, default_style

if TYPE_CHECKING:  # matplotlib is imported when the first plot is made
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, chosen to be told apart with any kind of colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")  # so that curves are told apart in print, and without colours
DPI = 110
SHEET = 800  # px: width of a contact sheet that fits a notebook and a projector
NARROWEST = 560  # px: in a narrower window an image is scrolled, not shrunk until its words cannot be read


class NotebookImage:
    """An image that a notebook shows as `<img alt="...">`, with the bitmap beside the HTML.

    Viewers (JupyterLab, VS Code, GitHub, nbconvert's pages) take the HTML, which has the alternative text; conversions
    to LaTeX and PDF, which know no HTML, take the bitmap.

    Args:
        image: The image.
        format: "JPEG" for faces (a tenth of the size), "PNG" for plots (sharp lines).
        alt: Alternative text, required.

    Raises:
        SettingsError: There is no alternative text.
    """

    def __init__(self, image: Image.Image, format: str = "JPEG", alt: str = "") -> None:
        if not alt.strip():
            raise SettingsError("An image needs an alternative text: give alt='...', what is to be seen.")
        self.image = image
        self.format = format
        self.alt = alt

    def __repr__(self) -> str:
        return f"<image, {self.image.width} x {self.image.height} px>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        kind = f"image/{self.format.lower()}"
        data = b64encode(encode_image(self.image, self.format)).decode()
        width = f"max-width:100%;min-width:{min(NARROWEST, self.image.width)}px"
        image = f'<img alt="{escape(self.alt)}" style="{width}" src="data:{kind};base64,{data}">'
        html = f'<div style="overflow-x:auto">{image}</div>'
        return {"text/html": html, kind: data, "text/plain": repr(self)}


def encode_image(image: Image.Image, format: str = "JPEG") -> bytes:
    """Encode an image as a JPEG file, or as a PNG file with a palette of 64 colours."""
    buffer = io.BytesIO()
    image = image.convert("RGB")
    if format == "JPEG":
        image.save(buffer, format, quality=85, optimize=True)
    else:  # a plot needs few colours; a palette makes its file a third as large
        image.quantize(64, dither=Image.Dither.NONE).save(buffer, format, optimize=True)
    return buffer.getvalue()


def show(
    images: Tensor | list,
    labels: list[str] | None = None,
    columns: int | None = None,
    size: int | None = None,
    alt: str = "",
    smooth: bool = True,
) -> NotebookImage:
    """Arrange images in a contact sheet, which a notebook displays.

    Args:
        images: [N, 3, H, W] in [-1, 1], or a list of [3, H, W].
        labels: A line under each image.
        columns: Images in a row, at most; None: up to 4 of few, 6 of more than 12.
        size: Width of each image, px; None: as wide as the row allows, 128 to 256.
        alt: Alternative text; made of the labels unless given.
        smooth: Enlarge smoothly; else each pixel stays visible.
    """
    number = f"{len(images)} image{'s' if len(images) > 1 else ''}"
    alt = alt or ": ".join([number, *([", ".join(map(str, labels))] if labels else [])])
    columns = min(columns or (6 if len(images) > 12 else 3 if len(images) in (5, 6, 9) else 4), len(images))
    size = size or min(256, max(128, SHEET // columns))
    return NotebookImage(contact_sheet(images, columns=columns, labels=labels, size=size, smooth=smooth), alt=alt)


def show_maps(
    maps: Tensor,
    labels: list[str] | None = None,
    columns: int | None = 8,
    size: int | None = 128,
    alt: str = "",
) -> NotebookImage:
    """Show feature maps [C, H, W] in grey, each pixel visible, each map from its minimum (black) to its maximum."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    grey = (maps - low) / (high - low).clamp_min(1e-8) * 2 - 1
    alt = alt or f"{len(maps)} feature maps"
    return show(grey[:, None].expand(-1, 3, -1, -1).cpu(), labels, columns, size, alt, smooth=False)


def in_course_style(draw: Callable) -> Callable:
    """Decorate a function that draws with Matplotlib: in the course's settings, whatever those of the user."""

    @functools.wraps(draw)
    def run(*arguments: object, **keywords: object) -> object:
        with default_style(font_size=11, legend_handlelength=2.6):
            return draw(*arguments, **keywords)

    return run


@in_course_style
def plot(
    curves: dict,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    size: tuple[float, float] = (6.4, 3.4),
    marker: str | None = None,
    styles: tuple[str, ...] = (),
    alt: str = "",
) -> NotebookImage:
    """Plot curves, one colour and line style each.

    Args:
        curves: {label: y} or {label: (x, y)}.
        xlabel: Name of the x-axis.
        ylabel: Name of the y-axis.
        log: Logarithmic y-axis.
        size: Width and height in inches (110 px each).
        marker: Matplotlib's marker of the points.
        styles: Matplotlib's line style of each curve ("-", "--", ":"); made unless given.
        alt: Alternative text; made of the labels unless given.
    """
    figure, axes = new_axes(size)
    styles = styles or [LINES[k % len(LINES)] for k in range(len(curves))]
    for k, (label, values) in enumerate(curves.items()):
        x, y = values if isinstance(values, tuple) else (range(len(values)), values)
        axes.plot(x, y, styles[k], color=COLOURS[k % len(COLOURS)], label=label, linewidth=1.8, marker=marker)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        set_log_scale(axes)
    # Many curves leave no room for a legend among them
    axes.legend(frameon=False, **({"loc": "center left", "bbox_to_anchor": (1, 0.5)} if len(curves) > 4 else {}))
    return NotebookImage(rasterize(figure), "PNG", alt or f"{ylabel} against {xlabel}: {', '.join(map(str, curves))}")


@in_course_style
def plot_spread(
    groups: dict, xlabel: str, ylabel: str, log: bool = False, size: tuple[float, float] = (6.4, 3.4), alt: str = ""
) -> NotebookImage:
    """Plot groups of runs, {label: values [runs, steps]}: the median, and a band from minimum to maximum."""
    figure, axes = new_axes(size)
    for k, (label, values) in enumerate(groups.items()):
        values = torch.as_tensor(values)
        x, colour = range(values.shape[1]), COLOURS[k % len(COLOURS)]
        axes.plot(x, values.median(dim=0).values, LINES[k % len(LINES)], color=colour, label=label, linewidth=1.8)
        axes.fill_between(x, values.amin(dim=0), values.amax(dim=0), color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        set_log_scale(axes)
    axes.legend(frameon=False)
    alt = alt or f"{ylabel} against {xlabel}, median and range: {', '.join(map(str, groups))}"
    return NotebookImage(rasterize(figure), "PNG", alt)


@in_course_style
def bars(
    values: dict[str, float], ylabel: str, size: tuple[float, float] = (6.4, 3.0), alt: str = "", xlabel: str = ""
) -> NotebookImage:
    """Plot one bar for each of {label: value}, with its value on top."""
    figure, axes = new_axes(size)
    drawn = axes.bar(list(values), list(values.values()), color=COLOURS[0], width=0.6)
    axes.bar_label(drawn, fmt="%.3g", padding=2)
    axes.margins(y=0.12)  # room for the numbers
    axes.set(xlabel=xlabel, ylabel=ylabel)
    alt = alt or f"{ylabel}: " + ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    return NotebookImage(rasterize(figure), "PNG", alt)


def plot_history(
    results: dict[str, EmbedResult],
    terms: list[str] | None = None,
    size: tuple[float, float] = (6.4, 3.4),
    alt: str = "",
) -> NotebookImage:
    """Plot loss against step, logarithmic, a curve for each result: the median over its photos.

    Args:
        results: {label: result}.
        terms: Terms of the loss that are summed; None: all.
        size: Width and height in inches.
        alt: Alternative text; made of the labels unless given.
    """
    sums = {label: sum(result.history[t] for t in (terms or result.history)) for label, result in results.items()}
    curves = {label: torch.median(values, dim=1).values for label, values in sums.items()}  # [steps + 1] each
    return plot(curves, "step", "loss", log=True, size=size, alt=alt)


def set_log_scale(axes: "Axes") -> None:
    """Make the y-axis logarithmic, with plain numbers: 0.6, not 6 x 10^-1."""
    from matplotlib.ticker import LogFormatter

    class PlainFormatter(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PlainFormatter())
    axes.yaxis.set_minor_formatter(PlainFormatter(minor_thresholds=(1, 0.4)))


def new_axes(size: tuple[float, float]) -> tuple["Figure", "Axes"]:
    """Create a figure of that size in inches, and its axes; call it within `in_course_style`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3, which="both", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def rasterize(figure: "Figure") -> Image.Image:
    """Draw a figure as an image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer)
