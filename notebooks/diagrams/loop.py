"""Image2StyleGAN's five steps."""

from drawing import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PINK, SKY, Drawing, tint

ROWS = (BLUE, ORANGE, GREEN, AMBER, PINK, SKY)


def draw() -> Drawing:
    d = Drawing(
        920, 446, "Embedding a photo: a loop of five steps",
        "1: an initial code, the mean latent or random numbers. 2: the frozen generator draws its image. 3: the loss "
        "compares it with the photo. 4: Adam changes the code, down the gradient that flows back through the "
        "generator. 5: repeat.",
    )  # fmt: skip
    step(d, 36, 44, 1, "initial code", "mean latent, or U(−1, 1)")
    step(d, 290, 44, 2, "generate", "the generator is frozen")
    step(d, 640, 44, 3, "compare", "pixels and features")
    # 1 the code
    d.code(56, 116, list(ROWS), width=92, row=19)
    d.text(102, 250, "*w*, a code of W+", 15)
    # 2 the generator and its image
    d.line((162, 172), (264, 172), thick=2.5)
    d.polygon([(268, 150), (356, 112), (356, 232), (268, 194)], tint(GREY, 0.18), GREY)
    d.text(313, 178, "G", 22, bold=True)
    d.text(313, 250, "weights fixed", 15, colour=GREY)
    d.line((360, 172), (424, 172), thick=2.5)
    d.face(428, 120, 104, SKY, BLUE, smile=0.25, long=0.1)
    d.text(480, 250, "image G(*w*)", 15)
    # 3 the loss
    d.line((536, 172), (636, 172), thick=2.5)
    d.box(640, 138, 96, 68, ["loss", "*L*"], ORANGE, 18)
    d.face(790, 120, 104, SKY, BLUE, smile=0.95, long=0.1)
    d.text(842, 250, "photo *I*", 15)
    d.line((786, 172), (740, 172), thick=2.5)
    # 4 the way back
    d.line((688, 210), (688, 316), (548, 316), colour=ORANGE, thick=2.5, dash="7 5")
    d.text(676, 342, "gradient ∂*L* / ∂*w*,", 15, "start")
    d.text(676, 362, "back through G", 15, "start")
    d.rect(312, 284, 232, 64, tint(ORANGE, 0.14), ORANGE)
    d.circle(338, 316, 15, INK)
    d.text(338, 322, "4", 17, colour="#FFFFFF", bold=True)
    d.text(362, 311, "update", 17, "start", bold=True)
    d.text(362, 333, "Adam changes *w* only", 15, "start")
    d.line((308, 316), (102, 316), (102, 264), colour=ORANGE, thick=2.5)
    # 5 again
    d.circle(338, 406, 15, INK)
    d.text(338, 412, "5", 17, colour="#FFFFFF", bold=True)
    d.text(362, 412, "**repeat** from 2: a few hundred times here, 5000 times in the paper", 15, "start")
    d.line((320, 406), (28, 406), (28, 172), (52, 172), thick=2)
    return d


def step(d: Drawing, x: float, y: float, number: int, name: str, words: str) -> None:
    """A step's number and name, and a line on it."""
    d.circle(x + 15, y, 15, INK)
    d.text(x + 15, y + 6, str(number), 17, colour="#FFFFFF", bold=True)
    d.text(x + 40, y + 6, name, 17, "start", bold=True)
    d.text(x + 40, y + 29, words, 15, "start", GREY)
