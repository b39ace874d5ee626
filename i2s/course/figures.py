"""Pictures and plots in one style: colours that colour-blind readers can tell apart, on a clear ground."""

import io
from base64 import b64encode
from html import escape

import torch
from PIL import Image
from torch import Tensor

from i2s.errors import SettingsError
from i2s.images import contact_sheet

# Okabe and Ito's palette, chosen to be told apart with any kind of colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


class Sheet:
    """A picture that a notebook shows as `<img alt="...">`, once, in one format.

    As HTML, since viewers of notebooks (JupyterLab, VS Code, nbconvert's pages) show an `image/png` output without its
    text, and since PIL's own display stores a PNG and a JPEG of each picture.
    picture: PIL. format: "JPEG" for faces (a tenth of the size), "PNG" for plots (sharp lines). alt: what is to be
    seen, for who cannot see it; a picture without it is refused. SettingsError.
    """

    def __init__(self, picture: Image.Image, format: str = "JPEG", alt: str = ""):
        if not alt.strip():
            raise SettingsError("A picture needs a text for who cannot see it: give alt='...', what is to be seen.")
        self.picture, self.format, self.alt = picture, format, alt

    def __repr__(self) -> str:
        return f"<picture, {self.picture.width} x {self.picture.height} px>"

    def _repr_html_(self) -> str:
        data = b64encode(encoded(self.picture, self.format)).decode()
        return f'<img alt="{escape(self.alt)}" src="data:image/{self.format.lower()};base64,{data}">'


def encoded(picture: Image.Image, format: str = "JPEG") -> bytes:
    """A PIL picture as the bytes of a JPEG or PNG file."""
    buffer = io.BytesIO()
    picture = picture.convert("RGB")
    if format == "JPEG":
        picture.save(buffer, format, quality=90, subsampling=0)
    else:  # a plot needs few colours; a palette makes its file a third as large
        picture.quantize(64, dither=Image.Dither.NONE).save(buffer, format, optimize=True)
    return buffer.getvalue()


def show(
    images: Tensor | list, labels: list[str] | None = None, columns: int = 8, size: int = 128, alt: str = ""
) -> Sheet:
    """Images [N, 3, H, W] in [-1, 1] as one sheet, which a notebook displays; each `size` px wide.

    alt: text for who cannot see it; made of the labels unless given.
    """
    number = f"{len(images)} picture{'s' if len(images) > 1 else ''}"
    alt = alt or ": ".join([number, *([", ".join(map(str, labels))] if labels else [])])
    return Sheet(contact_sheet(images, columns=min(columns, len(images)), labels=labels, size=size), alt=alt)


def show_maps(maps: Tensor, labels: list[str] | None = None, columns: int = 8, size: int = 128, alt: str = "") -> Sheet:
    """Feature maps [C, H, W] as grey pictures, each from its own smallest value (black) to its largest (white)."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    grey = (maps - low) / (high - low).clamp_min(1e-8) * 2 - 1
    return show(grey[:, None].expand(-1, 3, -1, -1).cpu(), labels, columns, size, alt or f"{len(maps)} feature maps")


def plot(
    curves: dict,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    size: tuple[float, float] = (6.4, 3.4),
    marker: str | None = None,
    styles: tuple[str, ...] = (),
    alt: str = "",
) -> Sheet:
    """Curves {label: values} or {label: (x, values)}, a colour each, as a plot that a notebook shows.

    styles: Matplotlib's line styles, one for each curve ("-", "--", ":"), so that curves that coincide are both seen.
    """
    figure, axes = _axes(size)
    for k, (label, values) in enumerate(curves.items()):
        x, y = values if isinstance(values, tuple) else (range(len(values)), values)
        style = (
            styles[k]
            if styles
            else ("-", "--", "-.", ":")[k // len(COLOURS) % 4]
            if len(curves) > len(COLOURS)
            else "-"
        )
        axes.plot(x, y, style, color=COLOURS[k % len(COLOURS)], label=label, linewidth=1.8, marker=marker)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        _logarithmic(axes)
    # many curves leave no place for a legend among them
    axes.legend(frameon=False, **({"loc": "center left", "bbox_to_anchor": (1, 0.5)} if len(curves) > 4 else {}))
    return _drawn(figure, alt or f"{ylabel} against {xlabel}: {', '.join(map(str, curves))}")


def plot_spread(
    groups: dict, xlabel: str, ylabel: str, log: bool = False, size: tuple[float, float] = (6.4, 3.4), alt: str = ""
) -> Sheet:
    """Several runs of a kind as one curve, {label: values [runs, steps]}: median and band from lowest to highest."""
    figure, axes = _axes(size)
    for k, (label, values) in enumerate(groups.items()):
        values = torch.as_tensor(values)
        x, colour = range(values.shape[1]), COLOURS[k % len(COLOURS)]
        axes.plot(x, values.median(dim=0).values, color=colour, label=label, linewidth=1.8)
        axes.fill_between(x, values.amin(dim=0), values.amax(dim=0), color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        _logarithmic(axes)
    axes.legend(frameon=False)
    return _drawn(figure, alt or f"{ylabel} against {xlabel}, median and range: {', '.join(map(str, groups))}")


def bars(
    values: dict[str, float], ylabel: str, size: tuple[float, float] = (6.4, 3.0), alt: str = "", xlabel: str = ""
) -> Sheet:
    """One bar for each of {label: value}, with its number on top."""
    figure, axes = _axes(size)
    drawn = axes.bar(list(values), list(values.values()), color=COLOURS[0], width=0.6)
    axes.bar_label(drawn, fmt="%.3g", padding=2)
    axes.margins(y=0.12)  # room for the numbers
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return _drawn(figure, alt or f"{ylabel}: " + ", ".join(f"{name} {value:.3g}" for name, value in values.items()))


def plot_history(
    results: dict, terms: list[str] | None = None, size: tuple[float, float] = (6.4, 3.4), alt: str = ""
) -> Sheet:
    """Loss against step, logarithmic, a curve for each result of {label: EmbedResult}.

    terms: which terms are summed (None: all, the loss itself). The curve is the median over the photos of a result.
    """
    sums = {label: sum(result.history[t] for t in (terms or result.history)) for label, result in results.items()}
    curves = {label: torch.median(values, dim=1).values for label, values in sums.items()}  # [steps + 1] each
    return plot(curves, "step", "loss", log=True, size=size, alt=alt)


def _logarithmic(axes) -> None:
    """The upright axis logarithmic, with plain numbers beside it: 0.6, and not 6 x 10^-1."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x, pos=None):
            return f"{x:g}" if super().__call__(x, pos) else ""

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(Plain())
    axes.yaxis.set_minor_formatter(Plain(minor_thresholds=(1, 0.4)))


def _axes(size: tuple[float, float]):
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3, which="both", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _drawn(figure, alt: str) -> Sheet:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Sheet(Image.open(buffer), "PNG", alt)
