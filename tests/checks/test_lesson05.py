"""The checks of lesson 5: right answers pass, and each mistake is named."""

import pytest
import torch

from i2s import checks
from i2s.course.checks import CheckFailed


def line(first=lambda lam: lam, second=lambda lam: 1 - lam):
    return lambda w1, w2, lams: torch.stack([first(lam) * w1 + second(lam) * w2 for lam in lams])


def smile(neutral, smiling, left_out):
    others = [k for k in range(len(neutral)) if k != left_out]
    return (smiling[others] - neutral[others]).mean(0)


WORDS = "Readers would believe it is a photo and be deceived; I would do it only with consent and a label beside it."
SOLUTIONS = {
    "morph": line(),
    "give_smile": lambda w, n, s, lam: w + lam * (s - n),
    "mean_smile": smile,
    "crossover_prediction": "colours",
    "dark_hair": "A",
    "request": WORDS,
}
MISTAKES = [
    ("morph", lambda *a: None, "no value"),
    ("morph", lambda w1, w2, lams: lams[0] * w1, "shape"),
    ("morph", line(lambda lam: 1 - lam, lambda lam: lam), "swapped"),
    ("morph", line(second=lambda lam: lam), "w1|1 - lambda"),
    ("morph", line(lambda lam: lam**2, lambda lam: 1 - lam**2), "quarter"),
    ("give_smile", lambda *a: None, "no value"),
    ("give_smile", lambda w, n, s, lam: w + lam * (n - s), "takes the smile away"),
    ("give_smile", lambda w, n, s, lam: w + lam * s, "whole smiling person"),
    ("give_smile", lambda w, n, s, lam: w + s - n, "lambda is not used"),
    ("give_smile", lambda w, n, s, lam: lam * (w + s - n), "scaled too"),
    ("mean_smile", lambda *a: None, "no value"),
    ("mean_smile", lambda n, s, k: smile(0 * n, s, k), "neutral code off"),
    ("mean_smile", lambda n, s, k: (s - n).mean(0), "left_out"),
    ("mean_smile", lambda n, s, k: smile(n, s, k) * 3, "sum of the smiles"),
    ("mean_smile", lambda n, s, k: smile(n, s, k) * 0.75, "number of the others"),
    ("mean_smile", lambda n, s, k: (s - n)[k], "the one that should be left out"),
    ("mean_smile", lambda n, s, k: -smile(n, s, k), "not the other way"),
    ("mean_smile", lambda n, s, k: smile(n, s, k).mean(), "shape"),
    ("crossover_prediction", None, "no answer"),
    ("crossover_prediction", "pose", "coarse rows"),
    ("crossover_prediction", "identity", "first half"),
    ("crossover_prediction", "hats", "not one of"),
    ("dark_hair", "", "no answer"),
    ("dark_hair", "B", "every smile"),
    ("dark_hair", "C", "nothing new"),
    ("request", "", "sentences"),
    ("request", "I would do it because the newspaper pays me well and the picture is really nicer so", "believe"),
    ("request", "I would refuse since readers believe what they see and that would be a bad thing indeed", "asked"),
]  # fmt: skip


OTHERS = [
    ("give_smile", lambda w, n, s, lam: w + lam * s - lam * n),
    ("mean_smile", lambda n, s, k: ((s - n).sum(0) - (s - n)[k]) / (len(n) - 1)),
    ("crossover_prediction", "colors"),
    ("request", "I would decline unless she gives permission and it is marked as altered: voters could be misled."),
    ("request", "Dishonest, since photos are taken as evidence. With approval and a clear disclosure it may be shown."),
]
TASK = "Sure, I will do the task a little earlier than my clients wish, since I like friendly portraits so much."


@pytest.mark.parametrize("name, answer", OTHERS)
def test_other_right_answers_pass(name, answer):
    getattr(checks, f"check_{name}")(answer)


def test_words_that_only_hold_the_letters_do_not_count():
    """ "lie" is in earlier and clients, "ask" in task."""
    with pytest.raises(CheckFailed, match="readers would believe"):
        checks.check_request(TASK)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_the_solution_passes(name, capsys):
    getattr(checks, f"check_{name}")(SOLUTIONS[name])
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_each_mistake_is_named(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(checks, f"check_{name}")(answer)
