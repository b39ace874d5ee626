"""What the checks share: kinds of answers, comparison with a reference, words; and the old place of the checks."""

import inspect
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from i2s import checks
from i2s.course import lesson01, lesson05
from i2s.course.checks import (
    CheckFailed,
    NoAnswer,
    compare,
    compare_guess,
    exercise,
    expect_choice,
    expect_no_mistake,
    expect_number,
    expect_tensor,
    expect_text,
    random_tensors,
)


def test_check_failed_shows_a_sentence_and_no_traceback():
    assert CheckFailed("x is too large.")._render_traceback_() == ["Not yet: x is too large."]


def test_expect_no_mistake_names_the_first_that_fits():
    mistakes = {"doubled": torch.tensor([2.0]), "negated": torch.tensor([-1.0]), "minus": torch.tensor([-1.0])}
    expect_no_mistake(torch.tensor([1.0]), mistakes)
    with pytest.raises(CheckFailed, match="negated"):
        expect_no_mistake(torch.tensor([-1.0]), mistakes)


def test_checks_are_still_found_at_their_old_place():
    assert checks.check_adain is lesson01.check_adain and checks.check_morph is lesson05.check_morph
    for name in ("check_nothing_like_it", "adain"):
        with pytest.raises(AttributeError, match=name):
            getattr(checks, name)
    assert {"check_adain", "check_find", "check_morph"} <= set(dir(checks))


# --- numbers and tensors ----------------------------------------------------------------------------------------------

VALUES = [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    "answer",
    [
        torch.tensor(VALUES),
        torch.tensor(VALUES, dtype=torch.float64, requires_grad=True),
        torch.tensor(VALUES).int(),
        np.array(VALUES),
        np.array(VALUES, dtype=np.uint16),
        VALUES,
        [torch.tensor([1.0, 2.0]), torch.tensor([3, 4])],
        [[torch.tensor(1.0), 2.0], (np.float32(3), torch.tensor([4.0]).sum())],
        tuple(np.array(VALUES)),
    ],
)
def test_tensors_of_any_kind_are_taken(answer):
    found = expect_tensor(answer, "x", (2, 2))
    assert found.dtype == torch.float32 and found.tolist() == VALUES and not found.requires_grad


@pytest.mark.parametrize(
    "answer, said",
    [
        (None, "no value"),
        (..., "no value"),
        ("12", "is a str"),
        ([1, [2, 3]], "is a list"),
        ([torch.zeros(2), torch.zeros(3)], "several shapes"),
        (torch.zeros(2, 2) > 1, "bool values"),
        (torch.zeros(2, 2, dtype=torch.complex64), "complex64 values"),
        (lambda: 1, "is a function"),
        (torch.full((2, 2), torch.nan), "NaN"),
        (torch.zeros(4), r"has shape \[4\], but \[2, 2\] is needed. Reshape."),
    ],
)
def test_what_is_no_tensor_is_named(answer, said):
    with pytest.raises(CheckFailed, match=said):
        expect_tensor(answer, "x", (2, 2), hint="Reshape.")


def test_a_function_that_gives_none_lacks_a_return():
    with pytest.raises(CheckFailed, match="end the function with `return") as failed:
        expect_tensor(None, "mse(...)")
    assert not isinstance(failed.value, NoAnswer)


def test_exact_tensors_are_not_converted():
    for answer, said in (
        (VALUES, "a list, but a torch tensor"),
        (torch.tensor(VALUES).double(), "dtype torch.float64"),
    ):
        with pytest.raises(CheckFailed, match=said):
            expect_tensor(answer, "x", exact=True)
    assert expect_tensor(torch.tensor(VALUES), "x", exact=True).shape == (2, 2)


@pytest.mark.parametrize(
    "answer", [4, 4.0, np.int64(4), np.float32(4), torch.tensor(4), torch.tensor([4.0]), np.array([[4]]), [4]]
)
def test_numbers_of_any_kind_are_taken(answer):
    found = expect_number(answer, "n", whole=True)
    assert found == 4 and type(found) is int and expect_number(answer, "n") == 4
    assert expect_tensor(answer, "n", ()).item() == 4


@pytest.mark.parametrize(
    "answer, said",
    [
        (None, "set `n` to a number"),
        ("4", "without quotation marks"),
        (True, "is True"),
        ([1, 2], "holds 2 numbers"),
        (float("nan"), "nan"),
        (4.5, "a whole number"),
        (max, "a function"),
        (Fraction(1, 2), "is a Fraction"),
    ],
)
def test_what_is_no_number_is_named(answer, said):
    with pytest.raises(CheckFailed, match=said):
        expect_number(answer, "n", whole=True)


# --- comparison with a reference --------------------------------------------------------------------------------------


def mse(a, b):
    return (a - b).square().mean(dim=1)


def compare_mse(answer, **options):
    compare(
        answer,
        mse,
        [random_tensors((3, 4), (3, 4), seed=seed) for seed in range(2)],
        [
            (lambda a, b: (a - b).abs().mean(dim=1), "absolute"),
            (lambda a, b: mse(a, b).mean(), "of the batch"),
            (lambda a, b: a @ b, "stops on these inputs"),
            (lambda a, b: torch.full((3,), torch.nan), "divides by zero"),
        ],
        otherwise="not the mean of squares",
        hint="One number a row.",
        **options,
    )


@pytest.mark.parametrize(
    "answer",
    [
        mse,
        lambda a, b: mse(a, b).double(),
        lambda a, b: mse(a, b).numpy(),
        lambda a, b: mse(a, b).tolist(),
        lambda a, b: [((x - y) ** 2).mean() for x, y in zip(a, b)],
        lambda a, b: np.mean((a.numpy() - b.numpy()) ** 2, axis=1),
    ],
)
def test_compare_takes_other_ways_to_write_it(answer):
    compare_mse(answer)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda a, b: (a - b).abs().mean(dim=1), "^absolute$"),
        (lambda a, b: (a - b).square().mean(), "^of the batch$"),
        (lambda a, b: (a - b).square().mean(dim=0), r"has shape \[4\], but \[3\] is needed. One number a row."),
        (lambda a, b: 0 * a[:, 0] / 0, "^divides by zero$"),
        (lambda a, b: a[:, 0] / torch.tensor([0.0, 1, 1]), "NaN or infinity"),
        (lambda a, b: 2 * mse(a, b), "^not the mean of squares$"),
        (lambda a, b: mse(a, b).mean(dim=9), "(?s)stopped with IndexError.*test_checks.py, line.*One number a row"),
        (lambda a, b: None, "return"),
        (lambda a, b: a.sub_(b).square().mean(dim=1), "changes what it was handed, `a`: its values"),
    ],
)
def test_compare_names_the_mistake(answer, said):
    with pytest.raises(CheckFailed, match=said):
        compare_mse(answer)


def test_compare_demands_the_gradient():
    compare_mse(mse, gradient=0)

    @torch.no_grad()
    def without(a, b):
        return mse(a, b)

    def half(a, b):
        return (a - b).square()[:, :2].sum(dim=1) / 4 + (a - b).square()[:, 2:].sum(dim=1).detach() / 4

    for answer, said in (
        (without, "no gradient"),
        (lambda a, b: mse(a, b).tolist(), "no gradient"),
        (half, "part of its gradient is missing"),
    ):
        compare_mse(answer)
        with pytest.raises(CheckFailed, match=said):
            compare_mse(answer, gradient=0)


# --- blank answers ----------------------------------------------------------------------------------------------------


def blank_function(x):
    raise NotImplementedError()


def check_half(half):
    """Exercise 9.1: half of it."""
    torch.rand(1)
    compare(half, lambda x: x / 2, [random_tensors((3,))])
    print("Right")


@pytest.mark.parametrize("answer", [blank_function, None, ...])
def test_blank_answer_prints_a_line_or_stops_where_it_is_needed(answer, capsys):
    exercise(check_half)(answer)
    said = capsys.readouterr().out
    assert said.startswith("Exercise 9.1: no answer yet: write ") and said.count("\n") == 1
    with pytest.raises(NoAnswer) as stopped:
        exercise(needed=True)(check_half)(answer)
    (line,) = stopped.value._render_traceback_()
    assert line.startswith("Stopped here, no answer yet: write") and "(Exercise 9.1; cells below need it.)" in line


def test_a_check_leaves_random_state_and_grad_mode_as_they_were():
    with torch.no_grad():
        torch.manual_seed(1)
        wanted = torch.rand(2)
        torch.manual_seed(1)
        exercise(check_half)(lambda x: x / 2)
        assert torch.equal(torch.rand(2), wanted) and not torch.is_grad_enabled()


def test_an_error_of_the_check_shows_none_of_its_lines():
    def check(answer):
        """Exercise 9.2: a dict."""
        return answer["the solution"] + 1

    with pytest.raises(CheckFailed, match=r"cannot be tested \(TypeError") as failed:
        exercise(check)(5)
    assert "the solution" not in "".join(failed.value._render_traceback_())


# --- words ------------------------------------------------------------------------------------------------------------

LETTERS = {"A": "it clips nothing", "C": "positive"}
NAMES = {"brighter": "no", "noise": "no"}


@pytest.mark.parametrize(
    "answer",
    ["B", "b", " B ", ("B",), ["b"], "B: cancels", "b) it cancels", '"B"', "(b)", "B.", np.str_("B"), "B - it"],
)
def test_a_letter_may_be_written_in_many_ways(answer):
    expect_choice(answer, "B", LETTERS)


@pytest.mark.parametrize("answer", ["same", "the same", ["same"], "It stays the same.", "Same!", "'same'"])
def test_a_word_may_be_written_in_many_ways(answer):
    expect_choice(answer, "same", NAMES)


@pytest.mark.parametrize(
    "answer, said",
    [
        ("A", "clips"),
        ("a: a style", "clips"),
        ("C", "positive"),
        ("D", "not one of the choices 'A', 'B', 'C'"),
        ("a better style cancels", "not one"),
        (2, "not one"),
        (["A", "B"], "not one"),
        (None, "choose one of 'A', 'B', 'C'"),
        ("", "choose"),
        ("...", "choose"),
    ],
)
def test_a_wrong_letter_is_answered(answer, said):
    with pytest.raises(CheckFailed, match=said):
        expect_choice(answer, "B", LETTERS)


@pytest.mark.parametrize("answer", ["not the same", "same or brighter", "sameness", "brighter"])
def test_a_word_is_not_taken_from_its_contrary(answer):
    with pytest.raises(CheckFailed):
        expect_choice(answer, "same", NAMES)


QUESTION = "Why do faces look better with psi 0.5, and what is the price? Say what the training has seen near the mean."
MODEL = "Near the mean the network was trained most, so faces are good there; the price is variety."


def check_words(answer):
    expect_text(
        answer,
        {"say where good faces are.": ("mean", "train"), "say what is lost.": ("vari", "divers", "alike")},
        MODEL,
        QUESTION,
        {r"further from the mean": "psi 0.5 brings codes nearer to the mean."},
    )


@pytest.mark.parametrize(
    "answer",
    [
        MODEL,
        "Training saw many codes there. All of the faces become alike in return for that.",
        ["Codes near the mean were trained on a lot, so they work.", "We lose the diversity of the faces."],
        "In the mean region the generator is well trained, but diversity of the outputs suffers for it.",
        "The distribution is dense at the mean, hence good quality, yet there is less variety of faces.",
    ],
)
def test_a_text_that_mentions_both_points_is_never_called_right(answer, capsys):
    check_words(answer)
    said = capsys.readouterr().out
    assert said.startswith("Both points are mentioned; the check reads words") and said.endswith(MODEL + "\n")
    assert "Right" not in said


@pytest.mark.parametrize(
    "answer, said",
    [
        ("", "no answer yet"),
        (None, "no answer yet"),
        ("...", "no answer yet"),
        ("your answer", "no answer yet"),
        (5, "in quotation marks"),
        ("mean, variety", "a few more words"),
        ("mean mean mean mean mean mean mean mean variety variety variety", "English"),
        (QUESTION, "repeats the question"),
        (QUESTION + " Variety.", "repeats the question"),
        ("The training saw many more codes in that region, so they are drawn well.", "what is lost"),
        ("There is less variety in the faces that we then get out of it.", "where good faces are"),
        ("The code is further from the mean, so the images have more variety and less quality.", "brings codes nearer"),
        (
            "平均の近くでは学習データが多いので、顔はきれいに描かれる。その代わり多様性が失われる。",
            "reads English only",
        ),
        ("Nahe beim Mittelwert wurde viel trainiert, dafür geht die Vielfalt der Gesichter verloren.", "English only"),
    ],
)
def test_a_text_that_says_less_is_refused(answer, said):
    with pytest.raises(CheckFailed, match=said):
        check_words(answer)


@pytest.mark.parametrize(
    "guess, measured, said",
    [
        (40, 10.5, "difference: 10.5; you guessed 40, 3.8 times too high"),
        (np.float32(1), torch.tensor(10.0), "difference: 10; you guessed 1, 10.0 times too low"),
        (10, 10.5, "difference: 10.5; you guessed 10, within a tenth"),
        (0, 2.0, "difference: 2; you guessed 0, off by -2"),
        (-1, 2.0, "difference: 2; you guessed -1, off by -3"),
        (None, 2.0, "difference: 2; no guess was made"),
        ("many", 2.0, "difference: 2; no guess was made"),
    ],
)
def test_a_guess_is_taken_up_again(guess, measured, said, capsys):
    compare_guess(guess, measured, "difference")
    assert capsys.readouterr().out == said + "\n"


# --- all checks of the lessons ----------------------------------------------------------------------------------------


def test_checks_of_the_notebooks_are_exercises():
    """So that a blank answer prints a line and no error shows the check's own lines; each names its exercise."""
    sources = (Path(__file__).resolve().parents[2] / "notebooks" / "source").glob("*.py")
    called = {name for path in sources for name in re.findall(r"\bcheck_\w+(?=\()", path.read_text(encoding="utf-8"))}
    assert called and called <= set(dir(checks)), called - set(dir(checks))
    for name in dir(checks):
        assert re.match(r"Exercises? \d\.\d+\b[^:]*: ", getattr(checks, name).__doc__), name


@pytest.mark.parametrize("name", dir(checks))
def test_check_shows_no_line_of_its_own_whatever_it_gets(name):
    """An answer of a wrong kind: a sentence, or "no answer yet"; never a traceback with the solution in it."""
    check = getattr(checks, name)
    parameters = inspect.signature(check).parameters.values()

    def stops(*arguments, **keywords):
        raise ValueError("the learner's own")

    for answer in (stops, lambda *arguments, **keywords: object(), object(), None):
        try:
            check(*[answer if k == 0 else object() for k in range(len(parameters))])
        except CheckFailed as failed:
            said = "\n".join(failed._render_traceback_())
            assert "lesson0" not in said and ".py" not in said.replace("test_checks.py", "")
