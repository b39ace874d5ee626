"""Z, W and W+: three places to look for a photo."""

import math

from drawing import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PINK, SKY, Drawing, tint
from sizes import PAPER, ours

ROWS = (GREEN, BLUE, AMBER, PINK, SKY, ORANGE)


def draw() -> Drawing:
    own = ours()
    d = Drawing(
        920, 500, "Three latent spaces: Z, W and W+",
        "Z is a ball: independent Gaussian numbers. The mapping network turns it into W, a thin and nearly flat "
        "region within the space of all vectors, so that a straight line between two codes stays close to it. In W "
        "every layer gets the same w; in W+ each layer has a w of its own. W is the part of W+ whose rows are equal; "
        "most of the rest draws no faces.",
    )  # fmt: skip
    for x, name, colour in ((150, "Z", BLUE), (450, "W", ORANGE), (760, "W+", GREEN)):
        d.text(x, 42, name, 22, colour=colour, bold=True)
    ball(d, 150, 158)
    sheet(d, 450, 158)
    d.line((244, 158), (336, 158), thick=2.5)
    d.text(290, 132, "mapping", 14)
    d.text(290, 150, "network", 14)
    d.line((566, 158), (642, 158), thick=2.5)
    d.text(604, 132, "a row for", 14)
    d.text(604, 150, "each layer", 14)
    codes(d, 660, 84)
    facts(d, own)
    return d


def sunflower(count: int):
    """Points spread evenly over the unit disc, as (radius, angle)."""
    return [(math.sqrt((k + 0.5) / count), k * math.pi * (3 - math.sqrt(5))) for k in range(count)]


def ball(d: Drawing, x: float, y: float) -> None:
    d.circle(x, y, 84, tint(BLUE, 0.08), BLUE)
    for r, angle in sunflower(90):
        r = 34 * math.sqrt(-2 * math.log(1 - 0.93 * r * r))  # evenly spread becomes bell-shaped
        d.circle(x + r * math.cos(angle), y + r * math.sin(angle), 2.6, BLUE)


def sheet(d: Drawing, x: float, y: float) -> None:
    """A thin, nearly flat band within the space of all vectors, the mean latent in it, and a line between two codes."""
    d.circle(x, y, 92, "none", GREY, dash="5 5")
    place = lambda u, v: (x + 70 * u + 9 * v, y - 30 * u + 21 * v + 14 * u * u - 12)  # noqa: E731
    edge = [place(k / 20, 1) for k in range(-20, 21)] + [place(k / 20, -1) for k in range(20, -21, -1)]
    d.polygon(edge, tint(ORANGE, 0.16), ORANGE)
    for r, angle in sunflower(80):
        r = 0.46 * math.sqrt(-2 * math.log(1 - 0.95 * r * r))
        d.circle(*place(min(max(r * math.cos(angle), -0.97), 0.97), 0.8 * r * math.sin(angle)), 2.4, ORANGE)
    ends = place(-0.85, 0.1), place(0.85, 0.1)
    d.line(*ends, colour=INK, thick=1.5, arrow=False)
    for end in ends:
        d.circle(*end, 4.5, INK, "#FFFFFF")
    mean = place(0, -0.25)
    d.circle(*mean, 5.5, INK, "#FFFFFF")
    d.line((x - 22, y - 55), (mean[0] - 2, mean[1] - 7), thick=1.5)
    d.text(x - 24, y - 61, "mean latent", 14)
    d.text(x + 4, y + 52, "a line between", 14)
    d.text(x + 4, y + 69, "two codes", 14)


def codes(d: Drawing, x: float, y: float) -> None:
    """A code of W beside one of W+."""
    d.code(x, y + 10, [ORANGE] * 6, width=78, row=20)
    d.code(x + 118, y + 10, list(ROWS), width=78, row=20)
    d.text(x + 39, y + 152, "a code of W:", 14)
    d.text(x + 39, y + 170, "all rows alike", 14)
    d.text(x + 157, y + 152, "a code of W+:", 14)
    d.text(x + 157, y + 170, "rows are free", 14)


def facts(d: Drawing, own) -> None:
    rows = [
        (150, f"*z*: {PAPER.z_dim}", f"ours: {own.z_dim}", ["independent Gaussian", "numbers"]),
        (450, f"*w*: {PAPER.w_dim}", f"ours: {own.w_dim}", ["what the mapping network", "makes of *z*"]),
        (760, f"*w*^{{+}}: {PAPER.num_ws} × {PAPER.w_dim}", f"ours: {own.num_ws} × {own.w_dim}",
         ["never sampled: found", "by optimisation"]),
    ]  # fmt: skip
    for x, shape, small, words in rows:
        d.text(x, 292, shape, 16)
        d.text(x, 314, small, 14, colour=GREY)
        d.lines(x, 342, words, 14)
    d.line((70, 410), (850, 410), colour=INK, thick=2.5)
    d.text(70, 398, "few images, mostly faces: high distortion", 14, "start")
    d.text(850, 398, "almost any image: low distortion", 14, "end")
    d.text(70, 436, "edits stay faces: high editability", 14, "start")
    d.text(850, 436, "edits can break: low editability", 14, "end")
    d.text(
        460, 472, "The further to the right, the closer a code comes to a photo, and the fewer edits it survives.", 15
    )
