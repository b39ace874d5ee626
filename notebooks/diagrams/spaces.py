"""Z, W and W+: three places to look for a photo."""

import math

from drawing import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PINK, SKY, Drawing, tint
from sizes import PAPER, ours

ROWS = (BLUE, ORANGE, GREEN, AMBER, PINK, SKY)


def draw() -> Drawing:
    own = ours()
    d = Drawing(
        920, 500, "Three latent spaces: Z, W and W+",
        "Z is a ball: numbers from a bell curve. The mapping network bends it into W, a curved region within the "
        "space of all vectors. In W every layer gets the same w; in W+ each layer has a w of its own, so that many "
        "more images can be drawn, most of them no faces.",
    )  # fmt: skip
    for x, name, colour in ((150, "Z", BLUE), (450, "W", GREEN), (760, "W+", ORANGE)):
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
    """A bent band within the space of all vectors, and the mean latent in it."""
    d.circle(x, y, 92, "none", GREY, dash="5 5")
    place = lambda u, v: (  # noqa: E731
        x + (62 + 21 * v) * math.sin(1.5 * u) * 1.05,
        y + 34 - (62 + 21 * v) * math.cos(1.5 * u) + 20 * u,
    )
    edge = [place(k / 20, 1) for k in range(-20, 21)] + [place(k / 20, -1) for k in range(20, -21, -1)]
    d.polygon(edge, tint(GREEN, 0.16), GREEN)
    for r, angle in sunflower(80):
        r = 0.46 * math.sqrt(-2 * math.log(1 - 0.95 * r * r))
        d.circle(*place(r * math.cos(angle), 0.9 * r * math.sin(angle)), 2.4, GREEN)
    mean = place(0, 0)
    d.circle(*mean, 5.5, INK, "#FFFFFF")
    d.line((x + 4, y + 40), (mean[0] + 1, mean[1] + 7), thick=1.5)
    d.text(x - 16, y + 57, "mean latent", 14)


def codes(d: Drawing, x: float, y: float) -> None:
    """A code of W beside one of W+."""
    d.code(x, y + 10, [GREEN] * 6, width=78, row=20)
    d.code(x + 118, y + 10, list(ROWS), width=78, row=20)
    d.text(x + 39, y + 152, "a code of W:", 14)
    d.text(x + 39, y + 170, "all rows alike", 14)
    d.text(x + 157, y + 152, "a code of W+:", 14)
    d.text(x + 157, y + 170, "rows are free", 14)


def facts(d: Drawing, own) -> None:
    rows = [
        (150, f"*z*: {PAPER.z_dim}", f"ours: {own.z_dim}", ["drawn from a bell curve"]),
        (450, f"*w*: {PAPER.w_dim}", f"ours: {own.w_dim}", ["what the mapping network", "makes of *z*"]),
        (760, f"*w*^{{+}}: {PAPER.num_ws} × {PAPER.w_dim}", f"ours: {own.num_ws} × {own.w_dim}",
         ["not drawn from anything:", "found by searching"]),
    ]  # fmt: skip
    for x, shape, small, words in rows:
        d.text(x, 292, shape, 16)
        d.text(x, 314, small, 14, colour=GREY)
        d.lines(x, 342, words, 14)
    d.line((70, 410), (850, 410), colour=INK, thick=2.5)
    d.text(70, 398, "few images: faces as in training", 14, "start")
    d.text(850, 398, "almost any image, faces or not", 14, "end")
    d.text(70, 436, "codes are faces, and edits stay faces", 14, "start")
    d.text(850, 436, "most codes are no faces, and edits can break", 14, "end")
    d.text(460, 472, "The further to the right, the nearer a photo can be met, and the less a code means.", 15)
