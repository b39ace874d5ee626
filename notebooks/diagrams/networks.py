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
        f"enters through two affine maps A a size, noise through two boxes B. A code has {PAPER.num_ws} rows of "
        f"{PAPER.w_dim} numbers ({own.num_ws} of {own.w_dim} in ours).",
    )  # fmt: skip
    mapping(d, own)
    synthesis(d, own)
    return d


def mapping(d: Drawing, own) -> None:
    d.text(120, 40, "Mapping network", 18, colour=BLUE, bold=True)
    d.box(60, TOP - 14, 120, 34, "*z*", AMBER, 18)
    d.text(120, TOP - 24, numbers(PAPER.z_dim, own.z_dim), 14, colour=GREY)
    d.line((120, TOP + 20), (120, TOP + 40))
    d.box(60, TOP + 40, 120, 28, "normalise", GREY, 14)
    d.line((120, TOP + 68), (120, TOP + 88))
    for k in range(PAPER.mapping_layers):
        d.rect(60, TOP + 88 + 24 * k, 120, 19, tint(BLUE), BLUE, radius=4)
        d.text(120, TOP + 102 + 24 * k, f"fully connected {k + 1}", 13)
    end = TOP + 88 + 24 * PAPER.mapping_layers
    d.line((120, end - 5), (120, end + 18))
    d.box(60, end + 18, 120, 34, "*w*", AMBER, 18)
    d.text(120, end + 72, numbers(PAPER.w_dim, own.w_dim), 14, colour=GREY)
    # the bus that carries w to every layer
    last = TOP + STEP * (len(PAPER.channels) - 1)
    d.line((180, end + 35), (232, end + 35), colour=AMBER, thick=3, arrow=False)
    d.line((232, TOP - 9), (232, max(last + 9, end + 35)), colour=AMBER, thick=3, arrow=False)
    d.text(120, 536, "W: the same *w* in all layers", 14)
    d.text(120, 558, "W+: one for each layer", 14)


def numbers(theirs: int, own: int) -> str:
    """How long a code is, in the paper and in ours."""
    return f"{theirs} numbers" + (f" (ours: {own})" if own != theirs else "")


def synthesis(d: Drawing, own) -> None:
    d.text(420, 40, "Synthesis network", 18, colour=GREEN, bold=True)
    d.text(660, 32, "StyleGAN", 15, bold=True)
    d.text(660, 50, f"{PAPER.resolution} px", 15, bold=True)
    d.text(784, 32, "ours (StyleGAN2)", 15, bold=True)
    d.text(784, 50, f"{own.resolution} px", 15, bold=True)
    for x, words in ((660, "maps"), (784, "maps"), (876, "rows")):
        d.text(x, 76, words, 14, colour=GREY)
    d.line((624, 84), (904, 84), colour=PALE, thick=1.5, arrow=False)
    d.text(420, 78, "learned constant, 4 × 4", 14)
    d.line((420, 84), (420, TOP - 17), colour=GREEN)
    for k, maps in enumerate(PAPER.channels):
        y, size, wide = TOP + STEP * k, 4 * 2**k, 96 + 15 * k
        inside = k < len(own.channels)
        for up in (-9, 9):  # two layers: a style and a noise map each
            d.line((232, y + up), (254, y + up), colour=AMBER, thick=1.6)
            d.box(254, y + up - 8, 24, 16, "A", AMBER, 13, 0.3)
            d.line((278, y + up), (420 - wide / 2, y + up), colour=AMBER, thick=1.6)
            d.box(560, y + up - 8, 24, 16, "B", GREY, 13, 0.3)
            d.line((560, y + up), (420 + wide / 2, y + up), colour=GREY, thick=1.6)
        d.rect(420 - wide / 2, y - 17, wide, 34, tint(GREEN, 0.26 if inside else 0.1), GREEN)
        d.text(420, y + 5, f"{size} × {size}", 15)
        if k:
            d.line((420, y - STEP + 17), (420, y - 17), colour=GREEN)
        d.text(660, y + 5, str(maps))
        d.text(876, y + 5, f"{2 * k}, {2 * k + 1}")
        if inside:
            d.text(784, y + 5, str(own.channels[k]))
    last = TOP + STEP * (len(own.channels) - 1)
    d.lines(784, last + 44, ["an RGB image of", "each size, added up"], 14, colour=GREY)
    d.text(784, last + 92, f"W+ is {own.num_ws} × {own.w_dim}", 14)
    bottom = TOP + STEP * (len(PAPER.channels) - 1)
    d.line((420, bottom + 17), (420, bottom + 40), colour=GREEN)
    d.text(420, bottom + 57, f"image 3 × {PAPER.resolution} × {PAPER.resolution}", 15)
    d.text(660, bottom + 32, f"W+ is {PAPER.num_ws} × {PAPER.w_dim}", 14)
    d.text(250, bottom + 88, "A: affine map, turns *w* into the style of one layer", 14, "start", GREY)
    d.text(250, bottom + 108, "B: noise times a learned strength", 14, "start", GREY)
    words = ["maps: how many feature maps", "rows: of the W+ code, for the two styles of a size"]
    d.lines(904, bottom + 88, words, 14, "end", GREY, gap=1.43)
