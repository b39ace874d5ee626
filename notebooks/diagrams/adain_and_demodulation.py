"""How a style acts: StyleGAN normalises feature maps (AdaIN), StyleGAN2 the weights of the convolution."""

import math

from drawing import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PALE, Drawing, tint

WEIGHTS = ((0.5, 1.0, 0.75), (0.6, 0.9, 0.8), (0.9, 0.5, 0.6))  # [in][out], made up
STYLE = (1.7, 0.4, 0.9)  # one scale for each input map


def draw() -> Drawing:
    d = Drawing(
        920, 560, "AdaIN and demodulation",
        "Left, StyleGAN: after the convolution each feature map is normalised to mean 0 and standard deviation 1, then "
        "multiplied and shifted by the style. Right, StyleGAN2: the style scales the weights of each input map, the "
        "weights of each output map are divided by their length, and only then comes the convolution.",
    )  # fmt: skip
    d.line((460, 24), (460, 536), colour=PALE, thick=1.5, arrow=False)
    adain(d)
    demodulation(d)
    return d


def adain(d: Drawing) -> None:
    d.text(230, 40, "StyleGAN: AdaIN acts on the feature maps", 17, colour=BLUE, bold=True)
    steps = [
        (76, ["convolution"], GREY),
        (164, ["+ noise, + bias,", "leaky ReLU"], GREY),
        (272, ["normalise each map", "(*x* − μ) / σ"], BLUE),
        (380, ["style", "× scale + shift"], AMBER),
    ]
    chain(d, 32, steps)
    w_to_style(d, 120, 488, (120, 438), "scale and shift of each map")
    d.text(348, 150, "values in two maps", 14, colour=GREY)
    histograms(d, 348, 226, [(38, 22, BLUE, "none"), (-24, 34, ORANGE, "6 4")])
    histograms(d, 348, 334, [(0, 16, BLUE, "none"), (0, 16, ORANGE, "6 4")])
    histograms(d, 348, 442, [(22, 11, BLUE, "none"), (-34, 25, ORANGE, "6 4")])
    d.text(348, 354, "mean 0, variance 1: always", 14)
    d.text(348, 462, "what the style says", 14)
    d.text(348, 246, "whatever came in", 14)


def demodulation(d: Drawing) -> None:
    d.text(690, 40, "StyleGAN2: demodulation acts on the weights", 17, colour=GREEN, bold=True)
    steps = [
        (76, ["modulate", "*w′*_{ij} = *s*_{i} · *w*_{ij}"], AMBER),
        (184, ["demodulate", "*w″*_{ij} = *w′*_{ij} / length_{j}"], GREEN),
        (292, ["convolution", "with *w″*"], GREY),
        (380, ["+ noise, + bias,", "leaky ReLU"], GREY),
    ]
    chain(d, 492, steps)
    modulated = [[s * v for v in row] for s, row in zip(STYLE, WEIGHTS)]
    lengths = [math.sqrt(sum(row[j] ** 2 for row in modulated)) for j in range(3)]
    unit = [[1.35 * v / lengths[j] for j, v in enumerate(row)] for row in modulated]
    w_to_style(d, 580, 488, None, "one scale for each input map")
    d.line((564, 476), (478, 476), (478, 105), (492, 105), colour=AMBER)
    d.text(800, 72, "weights", 14, colour=GREY)
    grid(d, 764, 80, WEIGHTS, "*w*: row *i* is an input map,", "column *j* an output map")
    grid(d, 764, 196, modulated, "*w′*: rows scaled by the style")
    grid(d, 764, 296, unit, "*w″*: each column of length 1")
    words = ["Unit variance in, unit", "variance out: expected,", "but never measured."]
    d.lines(806, 410, words, 14)


def chain(d: Drawing, x: float, steps) -> None:
    """Boxes below each other, the feature maps x entering at the top and leaving on the right of the last."""
    middle, y = x + 88, steps[0][0]
    d.text(middle - 24, y - 12, "*x*", 16)
    d.line((middle, y - 24), (middle, y))
    for k, (top, rows, colour) in enumerate(steps):
        d.box(x, top, 176, 58 if len(rows) > 1 else 44, rows, colour)
        if k:
            d.line((middle, y), (middle, top))
        y = top + (58 if len(rows) > 1 else 44)
    d.line((x + 176, y - 29), (x + 206, y - 29))


def w_to_style(d: Drawing, x: float, y: float, tip, words: str) -> None:
    """w, its affine layer A, and what comes out."""
    d.box(x - 16, y - 26, 32, 28, "A", AMBER, 15, 0.3)
    if tip:
        d.line((x, y - 26), tip, colour=AMBER)
    d.line((x, y + 24), (x, y + 2), colour=AMBER)
    d.text(x, y + 40, "*w*", 18)
    d.text(x + 28, y - 6, words, 14, "start", GREY)


def histograms(d: Drawing, x: float, y: float, curves) -> None:
    """Bell curves (offset, deviation, colour, dash) over a common axis with 0 in the middle."""
    d.line((x - 100, y), (x + 100, y), colour=GREY, thick=1.2, arrow=False)
    d.line((x, y + 4), (x, y - 56), colour=PALE, thick=1.2, arrow=False)
    for offset, deviation, colour, dash in curves:
        height = 44 * min(1.0, 16 / deviation) ** 0.6
        points = [(x + u, y - height * math.exp(-(((u - offset) / deviation) ** 2) / 2)) for u in range(-96, 97, 4)]
        d.path("M " + " L ".join(f"{a:.2f} {b:.2f}" for a, b in points), "none", colour, 2.2, dash)


def grid(d: Drawing, x: float, y: float, values, *words: str) -> None:
    """Weights as squares, the area of each as large as the weight."""
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            side = 19 * math.sqrt(value)
            left, top = x + 26 * j + 10 - side / 2, y + 22 * i + 12 - side / 2
            d.rect(left, top, side, side, tint(INK, 0.62), "none", radius=2)
    d.lines(x + 36, y + 82, list(words), 14)
