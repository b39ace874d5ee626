"""Three edits of codes: morphing, expression transfer, crossover."""

from drawing import AMBER, BLUE, GREEN, GREY, ORANGE, PALE, SKY, Drawing

FIRST = {"colour": SKY, "hair": BLUE, "long": 0.0}  # one person ...
SECOND = {"colour": AMBER, "hair": ORANGE, "long": 0.9}  # ... and another
SIZE = 92


def draw() -> Drawing:
    d = Drawing(
        920, 590, "Three edits of a code",
        "Morphing blends two codes: half of one and half of the other gives a face between. Expression transfer adds "
        "the difference of two codes of one person, smiling minus neutral, to the code of another. Crossover takes "
        "the first rows, those of the coarse layers, from one code and the last rows, the fine ones, from another.",
    )  # fmt: skip
    for y in (198, 392):
        d.line((24, y), (896, y), colour=PALE, thick=1.5, arrow=False)
    morphing(d, 0)
    expression(d, 196)
    crossing(d, 390)
    return d


def head(d: Drawing, y: float, name: str, formula: str, words: list[str]) -> None:
    d.text(28, y + 54, name, 18, "start", GREEN, bold=True)
    d.text(28, y + 86, formula, 16, "start")
    d.lines(28, y + 116, words, 14, "start", GREY, gap=1.4)


def morphing(d: Drawing, y: float) -> None:
    head(d, y, "Morphing", "*w* = *λ w*_{1} + (1 − *λ*) *w*_{2}", ["a point on the line", "between two codes"])
    for k, lam in enumerate(("1", "¾", "½", "¼", "0")):
        x, share = 306 + 122 * k, k / 4
        mixed = {part: blend(FIRST[part], SECOND[part], share) for part in ("colour", "hair")}
        d.face(x, y + 42, SIZE, smile=0.5, long=share * SECOND["long"], **mixed)
        d.code(x, y + 142, [mixed["hair"]] * 5, width=SIZE, row=8)
        ends = {"1": "*w*_{1}   (*λ* = 1)", "0": "*w*_{2}   (*λ* = 0)"}
        d.text(x + SIZE / 2, y + 32, ends.get(lam, f"*λ* = {lam}"), 15)


def expression(d: Drawing, y: float) -> None:
    words = ["what a smile changes in the", "source, added to the target"]
    head(d, y, "Expression transfer", "*w* = *w*_{1} + *λ* (*w*_{3} − *w*_{2})", words)
    faces = ((306, FIRST, -0.1, "*w*_{1}"), (478, SECOND, 0.95, "*w*_{3}"),
             (622, SECOND, -0.1, "*w*_{2}"), (794, FIRST, 0.95, "*w*"))  # fmt: skip
    for x, face, smile, name in faces:
        d.face(x, y + 42, SIZE, smile=smile, **face)
        d.text(x + SIZE / 2, y + 32, name, 16)
    for x, sign in ((436, "+ *λ* ("), (596, "−"), (726, ")"), (762, "=")):
        d.text(x, y + 96, sign, 24)
    for x, words in ((352, "neutral"), (524, "smile"), (668, "neutral"), (840, "smile")):
        d.text(x, y + 156, words, 14)
    d.line((478, y + 170), (714, y + 170), colour=GREY, thick=1.2, arrow=False)
    d.text(596, y + 188, "source: one person, twice", 14, colour=GREY)
    d.text(352, y + 188, "target", 14, colour=GREY)


def crossing(d: Drawing, y: float) -> None:
    head(d, y, "Style transfer: crossover", "first rows of *w*_{1}, last of *w*_{2}",
         ["first rows: coarse layers", "last rows: fine layers"])  # fmt: skip
    d.face(330, y + 34, SIZE * 0.8, smile=0.5, **FIRST)
    d.face(330, y + 116, SIZE * 0.8, smile=0.5, **SECOND)
    d.text(322, y + 76, "*w*_{1}", 16, "end")
    d.text(322, y + 158, "*w*_{2}", 16, "end")
    blue, red = FIRST["hair"], SECOND["hair"]
    d.code(430, y + 39, [blue] * 8, width=74, row=8)
    d.code(430, y + 121, [red] * 8, width=74, row=8)
    d.line((512, y + 54), (586, y + 84), colour=blue)
    d.line((512, y + 168), (586, y + 138), colour=red)
    d.code(594, y + 64, [blue] * 4 + [red] * 4, width=92, row=12)
    d.text(640, y + 178, "a new code *w*", 14)
    d.line((696, y + 111), (764, y + 111))
    d.text(730, y + 100, "G", 16, bold=True)
    d.face(772, y + 61, 100, smile=0.5, colour=SECOND["colour"], hair=SECOND["hair"], long=FIRST["long"])
    d.text(822, y + 178, "its image", 14)


def blend(a: str, b: str, share: float) -> str:
    """A colour between two: `share` is how much of b is in it."""
    pairs = ((int(a[k : k + 2], 16), int(b[k : k + 2], 16)) for k in (1, 3, 5))
    return "#" + "".join(f"{round(p + share * (q - p)):02X}" for p, q in pairs)
