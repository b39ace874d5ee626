"""The loss: pixels, and four feature maps of VGG-16."""

from drawing import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PALE, SKY, Drawing, tint
from sizes import PAPER, SLIM, ours

# blocks of VGG-16 as far as the loss looks: (name, size at 256 px, channels, tap)
LAYERS = (
    ("conv1_1", 256, 64, True), ("conv1_2", 256, 64, True),
    ("conv2_1", 128, 128, False), ("conv2_2", 128, 128, False),
    ("conv3_1", 64, 256, False), ("conv3_2", 64, 256, True), ("conv3_3", 64, 256, False),
    ("conv4_1", 32, 512, False), ("conv4_2", 32, 512, True),
)  # fmt: skip
HEIGHT = {256: 150, 128: 110, 64: 78, 32: 52}
MIDDLE = 150  # of the row of layers
COLOURS = (BLUE, SKY, GREEN, AMBER)
PAPER_SIZE = 256  # px of VGG's input in ports of the paper's code


def draw() -> Drawing:
    d = Drawing(
        920, 562, "The loss of Image2StyleGAN",
        "Image and photo are compared twice: pixel by pixel, and by the feature maps conv1_1, conv1_2, conv3_2 and "
        "conv4_2 of a frozen VGG-16. Each term is the mean squared difference times its weight; the loss is their sum.",
    )  # fmt: skip
    d.face(28, 62, 88, SKY, BLUE, smile=0.25, long=0.1)
    d.text(72, 54, "image G(*w*)", 15)
    d.face(28, 186, 88, SKY, BLUE, smile=0.95, long=0.1)
    d.text(72, 178, "photo *I*", 15)
    d.text(500, 32, "VGG-16, trained on ImageNet, frozen: both images go through it", 16, colour=GREEN, bold=True)
    own = f"ours is distilled to the same taps, at {ours().resolution} px"
    words = f"ports of the paper's code feed it {PAPER_SIZE} px; {own}"
    d.text(500, 54, words, 14)
    d.line((120, 106), (150, 106), (150, MIDDLE - 6), (182, MIDDLE - 6), thick=2)
    d.line((120, 230), (150, 230), (150, MIDDLE + 6), (182, MIDDLE + 6), thick=2)
    taps = network(d)
    terms(d, taps)
    return d


def network(d: Drawing) -> list[tuple[float, str, str]]:
    """The layers from left to right; gives (x, name, shape) of the tapped ones."""
    x, taps, before = 188.0, [], 256
    for name, size, channels, tap in LAYERS:
        if size != before:
            d.text(x + 10, MIDDLE + 5, "↓½", 14, colour=GREY)
            x += 30
        before, high, wide = size, HEIGHT[size], 24 + channels / 20
        colour = COLOURS[len(taps)] if tap else GREY
        d.rect(x, MIDDLE - high / 2, wide, high, tint(colour, 0.5 if tap else 0.14), colour if tap else PALE, thick=2)
        if tap:
            taps.append((x + wide / 2, name, f"{channels} × {size} × {size}"))
            d.line((x + wide / 2, MIDDLE + high / 2 + 2), (x + wide / 2, 262), colour=INK, thick=1.6, arrow=False)
        x += wide + 12
    d.text(x + 6, MIDDLE + 5, "…", 18, "start", GREY)
    return taps


def terms(d: Drawing, taps: list[tuple[float, str, str]]) -> None:
    """Five boxes, one for each term, and their sum."""
    places = [28, 208, 386, 564, 742]
    d.line((72, 278), (72, 318), thick=2)
    own = ours().resolution
    shapes = [f"3 × {size} × {size}" for size in (PAPER.resolution, own)]
    formula = "*λ*_{mse} / *N* · ‖Δ*I*‖²"
    box(d, places[0], "pixels", f"paper: {shapes[0]}", f"ours: {shapes[1]}", ["mean squared error", formula], ORANGE)
    meanings = ["edges, colours", "edges, colours", "textures", "parts of things"]
    for k, (x, name, shape) in enumerate(taps):
        middle = places[k + 1] + 79
        turn = 262 + 9 * (len(taps) - 1 - k) if middle > x else 262
        d.line((x, 262), (x, turn), (middle, turn), (middle, 318), thick=1.6)
        size = own * int(shape.split()[-1]) // PAPER_SIZE
        own_shape = f"ours: {SLIM.taps[k]} × {size} × {size}"
        formula = "*λ*_{j} / *N*_{j} · ‖Δ*F*_{j}‖²".replace("j", str(k + 1))
        box(d, places[k + 1], name, f"paper: {shape}", own_shape, [meanings[k], formula], COLOURS[k])
    for x in places:
        d.line((x + 79, 456), (x + 79, 486), thick=2)
    d.rect(28, 486, 872, 48, tint(ORANGE, 0.14), ORANGE)
    words = "loss *L* = the sum of all five.  Δ: image − photo.  *N*: how many numbers.  *λ*: weights, 1 in the paper."
    d.text(464, 516, words, 16)


def box(d: Drawing, x: float, name: str, paper: str, own: str, rows: list[str], colour: str) -> None:
    """A term: its name, the shape of what is compared, in the paper and here, and what it is."""
    d.rect(x, 318, 158, 138, tint(colour, 0.14), colour, thick=2)
    d.text(x + 79, 342, name, 16, bold=True)
    d.text(x + 79, 363, own, 14)
    d.text(x + 79, 382, paper, 13, colour=GREY)
    d.text(x + 79, 410, rows[0], 14)
    d.text(x + 79, 438, rows[1], 15)
