"""Pictures and plots in one style: colours that colour-blind readers can tell apart, on a clear ground."""

import io

import torch
from PIL import Image
from torch import Tensor

from i2s.images import contact_sheet

# Okabe and Ito's palette, chosen to be told apart with any kind of colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


class Sheet:
    """A picture that a notebook shows in one format only: PIL's own display stores a PNG and a JPEG of each.

    picture: PIL. format: "JPEG" for faces (a tenth of the size), "PNG" for plots (sharp lines).
    """

    def __init__(self, picture: Image.Image, format: str = "JPEG"):
        self.picture, self.format = picture, format

    def __repr__(self) -> str:
        return f"<picture, {self.picture.width} x {self.picture.height} px>"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {f"image/{self.format.lower()}": encoded(self.picture, self.format)}


def encoded(picture: Image.Image, format: str = "JPEG") -> bytes:
    """A PIL picture as the bytes of a JPEG or PNG file."""
    buffer = io.BytesIO()
    options = {"quality": 90, "subsampling": 0} if format == "JPEG" else {"optimize": True}
    picture.convert("RGB").save(buffer, format, **options)
    return buffer.getvalue()


def show(images: Tensor | list, labels: list[str] | None = None, columns: int = 8, size: int = 128) -> Sheet:
    """Images [N, 3, H, W] in [-1, 1] as one sheet, which a notebook displays; each `size` px wide."""
    return Sheet(contact_sheet(images, columns=min(columns, len(images)), labels=labels, size=size))


def plot_history(results: dict, terms: list[str] | None = None, size: tuple[float, float] = (6.4, 3.4)) -> Sheet:
    """Loss against step, logarithmic, a curve for each result of {label: EmbedResult}.

    terms: which terms are summed (None: all, the loss itself). The curve is the median over the photos of a result.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots()
    for colour, (label, result) in zip(COLOURS, results.items()):
        values = sum(result.history[t] for t in (terms or result.history))  # [steps + 1, N]
        axes.plot(torch.median(values, dim=1).values, color=colour, label=label, linewidth=1.8)
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.grid(alpha=0.3, which="both", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Sheet(Image.open(buffer), "PNG")
