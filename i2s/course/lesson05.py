"""Lesson 5: editing."""

import torch

from i2s.course.checks import close, expect, expect_choice, expect_sentences, expect_tensor, mentions, passed


def _codes(count: int, seed: int = 0) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return list(torch.randn(count, 4, 6, generator=rng))


def check_morph(morph) -> None:
    """Exercise 5.1: points on the line between two codes."""
    w1, w2 = _codes(2)
    found = expect_tensor(morph(w1, w2, [1.0, 0.25, 0.0]), "morph(w1, w2, [1, 0.25, 0])", (3, 4, 6),
                          hint="One code for each lambda: torch.stack them.")  # fmt: skip
    if close(found[0], w2) and close(found[2], w1):
        expect(False, "the ends are swapped: lambda 1 is w1, lambda 0 is w2.")
    expect(close(found[0], w1), "lambda 1 should give w1.")
    expect(close(found[2], w2), "lambda 0 should give w2: is the second weight 1 - lambda?")
    expect(close(found[1], 0.25 * w1 + 0.75 * w2), "lambda 0.25 should be a quarter of w1 and three quarters of w2.")
    same = morph(w1, w1, [0.3])[0]
    expect(close(same, w1), "a morph from a code to itself should not move: the two weights add up to 1.")
    passed("lambda 1 is the first face, lambda 0 the second, and between them a straight line.")


def check_give_smile(give_smile) -> None:
    """Exercise 5.2: expression transfer."""
    w1, neutral, smiling = _codes(3, seed=1)
    found = expect_tensor(give_smile(w1, neutral, smiling, 0.5), "give_smile(w1, neutral2, smiling2, 0.5)", (4, 6))
    if close(found, w1 - 0.5 * (smiling - neutral)):
        expect(False, "this takes the smile away: add smiling minus neutral, not neutral minus smiling.")
    if close(found, w1 + 0.5 * smiling):
        expect(False, "the whole smiling person was added: take their neutral code off first; the smile is left.")
    if close(found, 0.5 * w1 + 0.5 * (smiling - neutral)) or close(found, 0.5 * (w1 + smiling - neutral)):
        expect(False, "the taker was scaled too: lambda belongs to the smile alone.")
    if close(found, w1 + smiling - neutral):
        expect(False, "lambda is not used: multiply the difference by it.")
    expect(close(give_smile(w1, neutral, smiling, 0.0), w1), "lambda 0 should leave the taker's code alone.")
    expect(close(found, w1 + 0.5 * (smiling - neutral)), "this is not w1 + lambda (w3 - w2).")
    to_its_owner = give_smile(neutral, neutral, smiling, 1.0)
    expect(close(to_its_owner, smiling), "given to its own owner, the smile should give the smiling code.")
    passed("lambda 0 changes nothing, and a person's own smile makes their own smiling code.")


def check_mean_smile(mean_smile) -> None:
    """Exercise 5.3: the mean smile of the others."""
    neutral, smiling = torch.stack(_codes(4, seed=2)), torch.stack(_codes(4, seed=3))
    found = expect_tensor(mean_smile(neutral, smiling, 2), "mean_smile(neutral, smiling, 2)", (4, 6),
                          hint="The mean runs over the people, dim=0.")  # fmt: skip
    smiles = smiling - neutral
    if close(found, smiling[[0, 1, 3]].mean(0)):
        expect(False, "this is the mean of the smiling codes: take each person's neutral code off first.")
    if close(found, smiles.mean(0)):
        expect(False, "the person at `left_out` is in the mean as well: leave them out, or the test is no test.")
    if close(found, smiles[[0, 1, 3]].sum(0)):
        expect(False, "this is the sum of the smiles: divide by their number.")
    if close(found, smiles[[0, 1, 3]].sum(0) / 4):
        expect(False, "divide by the number of the others, one fewer than all.")
    if close(found, smiles[2]):
        expect(False, "this is the smile of the one that should be left out.")
    if close(found, -smiles[[0, 1, 3]].mean(0)):
        expect(False, "smiling minus neutral, not the other way.")
    expect(close(found, smiles[[0, 1, 3]].mean(0)), "this is not the mean of smiling minus neutral over the others.")
    passed("what the others' smiles share; what is peculiar to one of them fades.")


def check_crossover_prediction(prediction) -> None:
    """Exercise 5.4: what comes from the style."""
    british = prediction.lower().replace("color", "colour") if isinstance(prediction, str) else prediction
    expect_choice(
        british,
        right="colours",
        wrong={
            "pose": "pose is decided by the coarse rows, the first ones, and they come from the content.",
            "identity": "shape and features sit mostly in the first half, which comes from the content.",
        },
    )
    passed("the fine rows are the last ones: colours and small detail.")


def check_dark_hair(cause) -> None:
    """Exercise 5.5: why a smile changes the hair."""
    expect_choice(
        cause,
        right="A",
        wrong={
            "B": "no row is a smile, true, but that would hold for every smile; here the hair changed as well.",
            "C": "lambda scales what is added; it adds nothing new.",
        },
    )
    passed("a difference holds all that differs, meant or not: light, pose, and what the search happened to find.")


def check_request(answer) -> None:
    """Exercise 5.6: a request to edit a portrait. Looks for consent or labelling, and for a reason."""
    expect_sentences(answer, 15)
    reason = ("dece(iv|pt)", "believ", "misle", "trust", "truth", "untrue", "lies?\\b", "lying", "fake", "manipul")
    reason += ("honest", "dishonest", "fool", "trick", "distort", "evidence", "authentic", "reality", "propagand")
    condition = ("consent", "ask(ed|ing)?\\b", "agree", "label", "say so", "permi", "caption", "marked", "declar")
    condition += ("disclos", "approv", "allow", "transparen", "told", "note\\b")
    expect(mentions(answer, *reason), "say what readers would believe, and whether that is true.")
    expect(mentions(answer, *condition), "say who has to be asked, or what has to stand beside the picture.")
    passed("a reason and a condition are there; compare with the solution.")
