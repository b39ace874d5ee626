"""Contact sheets: pictures in rows on white paper, labelled, legible from the last row of a lecture hall."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from i2s.errors import ImageError, SettingsError

PAPER, INK = "#FFFFFF", "#1A1A1A"
MIN_CELL = 128  # px: narrower cells leave no room for a legible label
MAX_PIXELS = 100_000_000  # of a sheet: 400 MB


def sheet(
    pictures: Sequence[Image.Image],
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    title: str = "",
    size: int | None = None,
) -> Image.Image:
    """The pictures on one sheet; see `i2s.images.contact_sheet`. ImageError, SettingsError."""
    if not pictures:
        raise ImageError("A contact sheet of no images: give at least one.")
    if labels is not None and len(labels) != len(pictures):
        raise SettingsError(f"There are {len(labels)} labels for {len(pictures)} images: give one for each.")
    columns = max(1, round((1.5 * len(pictures)) ** 0.5)) if columns is None else columns
    if columns < 1 or (size is not None and size < 1):
        raise SettingsError("A contact sheet has at least one column, and cells of at least 1 px.")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)

    cell = size or max(MIN_CELL, *(max(picture.size) for picture in pictures))
    sizes = [_fitted(*picture.size, cell) for picture in pictures]
    width, height = max(w for w, _ in sizes), max(h for _, h in sizes)
    gap, margin = max(6, width // 16), max(12, width // 8)
    texts = [_printable(str(label)) for label in labels] if labels is not None else []
    font = _font_for(texts, width, start=min(32, max(14, width // 9)))
    texts = [_shortened(text, font, width + gap // 2) for text in texts]
    line = _line_height(font)
    label_height = line * max(text.count("\n") + 1 for text in texts) + line // 3 if texts else 0
    wide = 2 * margin + columns * (width + gap) - gap
    title_font = _font(min(48, max(18, wide // 28)))
    title = _shortened(_printable(title), title_font, wide - 2 * margin)
    title_height = (title.count("\n") + 1) * _line_height(title_font) + gap if title else 0
    high = 2 * margin + title_height + rows * (height + label_height + gap) - gap
    if wide * high > MAX_PIXELS:
        raise SettingsError(f"The sheet would be {wide} x {high} px: show fewer images or give a size.")

    paper = Image.new("RGB", (wide, high), PAPER)
    pen = ImageDraw.Draw(paper)
    if title:
        pen.multiline_text((margin, margin), title, INK, title_font, spacing=0)
    for k, picture in enumerate(pictures):
        # enlarged pixels stay what they are; what is made smaller is antialiased
        shrinks = sizes[k][0] < picture.width
        picture = picture.resize(sizes[k], Image.Resampling.LANCZOS if shrinks else Image.Resampling.NEAREST)
        left = margin + (k % columns) * (width + gap)
        top = margin + title_height + (k // columns) * (height + label_height + gap)
        paper.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        for n, text in enumerate(texts[k].split("\n") if texts else []):
            place = (left + width / 2, top + height + line // 3 + n * line)
            pen.text(place, text, INK, font, anchor="ma")
    return paper


def _fitted(width: int, height: int, cell: int) -> tuple[int, int]:
    """The size of a picture in a cell: a whole number of times its own, or smaller."""
    longest = max(width, height)
    if longest > cell:
        return max(1, round(width * cell / longest)), max(1, round(height * cell / longest))
    return width * (cell // longest), height * (cell // longest)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which knows Greek and arrows, where matplotlib brings it; else Pillow's own font."""
    matplotlib = find_spec("matplotlib")  # found without importing it
    if matplotlib is not None and matplotlib.origin:
        file = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)


def _font_for(texts: list[str], width: int, start: int) -> ImageFont.FreeTypeFont:
    """The largest font in which the texts fit, from `start` px down to two thirds of it, never below 12."""
    font = _font(start)
    for size in range(start, max(12, start * 2 // 3) - 1, -1):
        font = _font(size)
        if all(font.getlength(line) <= width for text in texts for line in text.split("\n")):
            break
    return font


def _printable(text: str) -> str:
    """The text without what cannot be drawn, as names of files may hold; lines stay lines."""
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in text.split("\n"))


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return round(sum(font.getmetrics()) * 1.08)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text with each line cut to the width, an ellipsis for what is missing."""
    lines = []
    for line in text.split("\n"):
        short = line
        while short and font.getlength(line if short == line else short + "…") > width:
            short = short[:-1]
        lines.append(line if short == line else short.rstrip() + "…")
    return "\n".join(lines)
