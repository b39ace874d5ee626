"""Mapping and synthesis network with all shapes, at 1024 px and ours."""

from drawing import AMBER, BLUE, GREEN, GREY, PALE, Drawing, tint
from sizes import PAPER, ours

TOP, STEP = 122, 44  # of the rows of the synthesis network


def draw() -> Drawing:
    own = ours()
    d = Drawing(
        920, 600, "The two networks of a StyleGAN",
        "The mapping network, eight fully connected layers, turns z into w. The synthesis network starts from a "
        f"learned 4 by 4 constant and doubles the size up to {PAPER.resolution} px ({own.resolution} px in ours); w "
        f"enters each layer through an affine map A. A code has {PAPER.num_ws} rows of {PAPER.w_dim} numbers "
        f"({own.num_ws} of {own.w_dim} in ours).",
    )  # fmt: skip
    mapping(d, own)
    synthesis(d, own)
    return d


def mapping(d: Drawing, own) -> None:
    d.text(120, 40, "Mapping network", 18, colour=BLUE, bold=True)
    d.box(60, TOP - 14, 120, 34, "*z*", AMBER, 18)
    d.text(120, TOP - 24, f"{PAPER.z_dim} numbers (ours: {own.z_dim})", 14, colour=GREY)
    d.line((120, TOP + 20), (120, TOP + 40))
    d.box(60, TOP + 40, 120, 28, "normalise", GREY, 14)
    d.line((120, TOP + 68), (120, TOP + 88))
    for k in range(PAPER.mapping_layers):
        d.rect(60, TOP + 88 + 24 * k, 120, 19, tint(BLUE), BLUE, radius=4)
        d.text(120, TOP + 102 + 24 * k, f"fully connected {k + 1}", 13)
    end = TOP + 88 + 24 * PAPER.mapping_layers
    d.line((120, end - 5), (120, end + 18))
    d.box(60, end + 18, 120, 34, "*w*", AMBER, 18)
    d.text(120, end + 72, f"{PAPER.w_dim} numbers (ours: {own.w_dim})", 14, colour=GREY)
    # the bus that carries w to every layer
    last = TOP + STEP * (len(PAPER.channels) - 1)
    d.line((180, end + 35), (232, end + 35), colour=AMBER, thick=3, arrow=False)
    d.line((232, TOP), (232, max(last, end + 35)), colour=AMBER, thick=3, arrow=False)
    d.text(120, 536, "W: the same *w* in all layers", 14)
    d.text(120, 558, "W+: one for each layer", 14)


def synthesis(d: Drawing, own) -> None:
    d.text(420, 40, "Synthesis network", 18, colour=GREEN, bold=True)
    d.text(692, 32, "StyleGAN", 15, bold=True)
    d.text(692, 50, f"{PAPER.resolution} px", 15, bold=True)
    d.text(836, 32, "ours (StyleGAN2)", 15, bold=True)
    d.text(836, 50, f"{own.resolution} px", 15, bold=True)
    for x, words in ((656, "maps"), (728, "rows"), (800, "maps"), (872, "rows")):
        d.text(x, 76, words, 14, colour=GREY)
    d.line((616, 84), (904, 84), colour=PALE, thick=1.5, arrow=False)
    d.text(420, 78, "learned constant, 4 × 4", 14)
    d.line((420, 84), (420, TOP - 16), colour=GREEN)
    for k, maps in enumerate(PAPER.channels):
        y, size, wide = TOP + STEP * k, 4 * 2**k, 96 + 17 * k
        inside = k < len(own.channels)
        d.line((232, y), (258, y), colour=AMBER)
        d.box(258, y - 13, 26, 26, "A", AMBER, 15, 0.3)
        d.line((284, y), (420 - wide / 2, y), colour=AMBER)
        d.rect(420 - wide / 2, y - 15, wide, 30, tint(GREEN, 0.26 if inside else 0.1), GREEN)
        d.text(420, y + 5, f"{size} × {size}", 15)
        if k:
            d.line((420, y - STEP + 15), (420, y - 15), colour=GREEN)
        d.text(656, y + 5, str(maps))
        d.text(728, y + 5, f"{2 * k}, {2 * k + 1}")
        if inside:
            d.text(800, y + 5, str(own.channels[k]))
            d.text(872, y + 5, "0" if k == 0 else f"{2 * k - 1}, {2 * k}")
    last, edge = TOP + STEP * (len(own.channels) - 1), TOP + STEP * len(own.channels)
    d.line((836, last + 14), (836, edge - 8), colour=GREEN)
    d.text(836, edge + 9, "to RGB: row " + str(own.num_ws - 1), 14)
    d.text(836, edge + 30, f"image 3 × {own.resolution} × {own.resolution}", 14)
    d.text(836, edge + 58, f"W+ is {own.num_ws} × {own.w_dim}", 15, bold=True)
    bottom = TOP + STEP * (len(PAPER.channels) - 1)
    d.line((420, bottom + 15), (420, bottom + 40), colour=GREEN)
    d.text(420, bottom + 57, f"image 3 × {PAPER.resolution} × {PAPER.resolution}", 15)
    d.text(692, bottom + 57, f"W+ is {PAPER.num_ws} × {PAPER.w_dim}", 15, bold=True)
    d.text(420, bottom + 88, "At each size two layers: convolution, noise, style.", 14)
    d.text(420, bottom + 108, "A: affine layer, turns *w* into the style of one layer.", 14)
    words = ["maps: how many feature maps", "rows: which rows of the W+ code"]
    d.lines(904, bottom + 88, words, 14, "end", GREY, gap=1.43)
