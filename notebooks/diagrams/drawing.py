"""A small pen for SVG: shapes, arrows, text with sub- and superscripts, and the pictures that several diagrams share.

Everything stands on a light panel of its own, so that a diagram reads the same on a light and on a dark page. Colours
are Okabe and Ito's, which can be told apart with any kind of colour vision; no meaning rests on colour alone.
"""

import math
import re
from html import escape

INK, GREY, PALE, PANEL = "#1F2328", "#57606A", "#D0D7DE", "#FFFFFF"
BLUE, ORANGE, GREEN, PINK, AMBER, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"
MARKUP = re.compile(r"\*\*(?P<bold>.+?)\*\*|\*(?P<italic>.+?)\*|_\{(?P<sub>.+?)\}|\^\{(?P<sup>.+?)\}")


def tint(colour: str, share: float = 0.16) -> str:
    """The colour mixed with white: `share` is how much of it is left."""
    parts = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - share * (255 - part)):02X}" for part in parts)


def number(value: float) -> str:
    """Two decimals at most: the same text on every machine."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")  # + 0.0: no -0


def curve(*parts: str | float) -> str:
    """A path of letters and numbers, as SVG's attribute d."""
    return " ".join(part if isinstance(part, str) else number(part) for part in parts)


class Drawing:
    """An SVG picture of `width` x `height` px; `svg()` is its text. All coordinates are px from the top left."""

    def __init__(self, width: int, height: int, title: str, description: str):
        self.width, self.height, self.title, self.description = width, height, title, description
        self.parts: list[str] = []
        self.rect(0.5, 0.5, width - 1, height - 1, PANEL, PALE, radius=14, thick=1)

    def svg(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" role="img" font-family="{FONT}">'
        )
        names = [f"<title>{escape(self.title)}</title>", f"<desc>{escape(self.description)}</desc>"]
        return "\n".join([head, *names, *self.parts, "</svg>", ""])

    def add(self, tag: str, **attributes) -> None:
        """One element; `stroke_width=2` is written stroke-width, numbers are rounded."""
        pairs = ((k.replace("_", "-"), number(v) if isinstance(v, (int, float)) else v) for k, v in attributes.items())
        self.parts.append(f"<{tag} " + " ".join(f'{k}="{v}"' for k, v in pairs) + "/>")

    # ---- shapes ----

    def rect(self, x, y, width, height, fill="none", stroke="none", radius=6, thick=1.5, dash="none") -> None:
        self.add("rect", x=x, y=y, width=width, height=height, rx=radius, fill=fill, stroke=stroke,
                 stroke_width=thick, stroke_dasharray=dash)  # fmt: skip

    def circle(self, x, y, radius, fill="none", stroke="none", thick=1.5, dash="none") -> None:
        self.add("circle", cx=x, cy=y, r=radius, fill=fill, stroke=stroke, stroke_width=thick, stroke_dasharray=dash)

    def polygon(self, points, fill="none", stroke="none", thick=1.5) -> None:
        places = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self.add("polygon", points=places, fill=fill, stroke=stroke, stroke_width=thick, stroke_linejoin="round")

    def path(self, d: str, fill="none", stroke=INK, thick=2.0, dash="none") -> None:
        self.add("path", d=d, fill=fill, stroke=stroke, stroke_width=thick, stroke_dasharray=dash,
                 stroke_linecap="round", stroke_linejoin="round")  # fmt: skip

    def line(self, *points, colour=INK, thick=2.0, dash="none", arrow=True) -> None:
        """A line through points (x, y), with a head at the last one."""
        points = list(points)
        if arrow:
            (x0, y0), (x1, y1) = points[-2:]
            length = math.hypot(x1 - x0, y1 - y0)
            dx, dy = (x1 - x0) / length, (y1 - y0) / length
            base = (x1 - 9 * dx, y1 - 9 * dy)
            points[-1] = (x1 - 8 * dx, y1 - 8 * dy)
            wings = [(base[0] - 4.5 * s * dy, base[1] + 4.5 * s * dx) for s in (1, -1)]
        self.path("M " + " L ".join(f"{number(x)} {number(y)}" for x, y in points), "none", colour, thick, dash)
        if arrow:
            self.polygon([(x1, y1), *wings], colour, "none", 0)

    # ---- text ----

    def text(self, x, y, markup: str, size=15, anchor="middle", colour=INK, bold=False) -> None:
        """One line; y is its base. Markup: **bold**, *italic*, _{sub}, ^{sup}."""
        runs, place = [], 0
        for match in MARKUP.finditer(markup):
            runs.append((markup[place : match.start()], ""))
            runs.append((match[match.lastgroup], match.lastgroup))
            place = match.end()
        runs.append((markup[place:], ""))
        spans, height = [], 0.0
        for words, kind in runs:
            if not words:
                continue
            level = {"sub": 0.3, "sup": -0.38}.get(kind, 0.0) * size
            style = f' dy="{number(level - height)}"' if abs(level - height) > 0.01 else ""
            style += {"bold": ' font-weight="700"', "italic": ' font-style="italic"'}.get(kind, "")
            style += f' font-size="{number(max(0.78 * size, 11))}"' if kind in ("sub", "sup") else ""
            spans.append(f"<tspan{style}>{escape(words)}</tspan>" if style else escape(words))
            height = level
        weight = ' font-weight="700"' if bold else ""
        self.parts.append(
            f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" text-anchor="{anchor}" fill="{colour}"'
            f'{weight} xml:space="preserve">{"".join(spans)}</text>'
        )

    def lines(self, x, y, rows: list[str], size=15, anchor="middle", colour=INK, gap=1.3) -> None:
        """Several lines of text, the first with its base at y."""
        for k, row in enumerate(rows):
            self.text(x, y + k * gap * size, row, size, anchor, colour)

    def box(self, x, y, width, height, rows: list[str] | str, colour=GREY, size=15, share=0.16) -> None:
        """A box in a tint of `colour` with centred text."""
        rows = [rows] if isinstance(rows, str) else rows
        self.rect(x, y, width, height, tint(colour, share), colour)
        first = y + height / 2 + 0.36 * size - (len(rows) - 1) * 0.65 * size
        self.lines(x + width / 2, first, rows, size)

    # ---- what several diagrams show ----

    def code(self, x, y, colours: list[str], width=64, row=11) -> None:
        """A W+ code: one bar for each row, of its own colour."""
        for k, colour in enumerate(colours):
            self.rect(x, y + k * row, width, row - 2, colour, "none", radius=2)

    def face(self, x, y, size, colour=SKY, hair=BLUE, smile=0.0, long=0.0, light=0.35) -> None:
        """A drawn face in a square of `size` px from (x, y). smile -1..1; long 0..1: a longer head and longer hair."""
        self.rect(x, y, size, size, tint(colour, 0.12), GREY, radius=5, thick=1)
        middle, eye = x + size / 2, size * 0.045
        wide, high = size * (0.30 - 0.05 * long), size * (0.32 + 0.03 * long)
        top = y + size * 0.54
        drop = size * (0.02 + 0.33 * long)  # how far the hair hangs down
        left, right, crown = middle - wide * 1.2, middle + wide * 1.2, top - high * 1.2
        tips, temples = top + drop, top - 0.3 * high
        self.path(curve("M", left, tips, "L", left, temples, "Q", left, crown, middle, crown,
                        "Q", right, crown, right, temples, "L", right, tips, "Z"), hair, hair, 1)  # fmt: skip
        self.add("ellipse", cx=middle, cy=top, rx=wide, ry=high, fill=tint(colour, light), stroke=INK, stroke_width=1.2)
        for side in (-1, 1):
            self.circle(middle + side * 0.42 * wide, top - 0.18 * high, eye, INK)
        mouth, bend = top + 0.45 * high, size * 0.11 * smile
        corner = mouth - bend / 2
        lips = curve("M", middle - 0.45 * wide, corner, "Q", middle, mouth + bend, middle + 0.45 * wide, corner)
        self.path(lips, "none", INK, 1.8)
