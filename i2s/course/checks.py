'''What the exercise checks `check_...(answer)` of the lessons share.

A check raises `CheckFailed`, shown as one line that names the likely mistake, or prints that the answer is right.

    @exercise  # a blank answer prints one line; @exercise(needed=True): it stops "Run all", for answers needed later
    def check_mse(mse: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Exercise 3.2: mean squared error of each image, in [0, 1]."""
        compare(
            mse,
            lambda a, b: ((a - b) / 2).square().mean(dim=(1, 2, 3)),
            inputs=[random_tensors((3, 3, 8, 8), (3, 3, 8, 8), seed=seed) for seed in range(3)],
            mistakes=[
                (lambda a, b: (a - b).square().mean(dim=(1, 2, 3)), "the pixels were taken in [-1, 1]: halve first."),
                (lambda a, b: ((a - b) / 2).square().mean(), "this is the mean of the batch: one number an image."),
            ],
            otherwise="this is not the mean of the squared differences in [0, 1].",
        )
        passed("0 for equal images, 1 for black against white.")

call                calls.py: a learner's function, on clones, networks left as they were, errors in the learner's lines
compare             a function with the reference, on random inputs
expect_tensor       tensors; also arrays, lists and numbers of any kind
expect_number       a number of any kind
expect_choice       a word or a letter
expect_text         two or three sentences
compare_guess       a guessed number beside the measured one
'''

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from i2s.course.calls import CheckFailed, Itself, NoAnswer, call, name_of

__all__ = [
    "CheckFailed",
    "Itself",
    "NoAnswer",
    "call",
    "close",
    "compare",
    "compare_guess",
    "exercise",
    "expect",
    "expect_choice",
    "expect_no_mistake",
    "expect_number",
    "expect_sentences",
    "expect_tensor",
    "expect_text",
    "mentions",
    "passed",
    "random_tensors",
]


# --- a check ----------------------------------------------------------------------------------------------------------


def exercise(check: Callable | None = None, *, needed: bool = False) -> Callable:
    """Decorate the check of an exercise, whose docstring begins with "Exercise N.M:".

    A blank answer prints a line, so that "Run all" goes on. What the check draws changes no random state, and an error
    inside of the check, which would show its lines, becomes a CheckFailed.

    Args:
        check: The check.
        needed: Later cells need the answer: a blank one raises NoAnswer.
    """
    if check is None:
        return functools.partial(exercise, needed=needed)
    title = (check.__doc__ or "").partition(":")[0]

    @functools.wraps(check)
    def run(*arguments: object, **keywords: object) -> None:
        try:
            with torch.random.fork_rng(devices=[]), torch.enable_grad():
                check(*arguments, **keywords)
        except NoAnswer as blank:
            if needed:
                raise NoAnswer(f"{blank.args[0]} ({title}; cells below need it.)") from None
            print(f"{title}: {blank}")
        except CheckFailed:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}".split("\n")[0]
            raise CheckFailed(f"the answer cannot be tested ({what}): is it what the exercise asks for?") from error

    return run


def passed(what: str) -> None:
    """Print that an answer is right, and what it shows."""
    print(f"Right: {what}")


def expect(condition: bool, message: str) -> None:
    """Raise CheckFailed with `message` unless `condition` holds."""
    if not condition:
        raise CheckFailed(message)


# --- numbers and tensors ----------------------------------------------------------------------------------------------


def expect_tensor(
    answer: object,
    name: str,
    shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = torch.float32,
    low: float | None = None,
    high: float | None = None,
    hint: str = "",
    exact: bool = False,
) -> Tensor:
    """Convert an answer to a tensor of finite values.

    Args:
        answer: What the learner's code gave: a tensor, an array, a number, or a list of them, of any precision.
        name: Its name in messages.
        shape: Shape that it must have; None: any. One number may have any number of dimensions.
        dtype: Type to convert to; None: as it is.
        low: Smallest value allowed.
        high: Largest value allowed.
        hint: The likely mistake where the shape is wrong.
        exact: The task asks for a torch tensor of `dtype`; nothing is converted.

    Returns:
        The answer, detached.

    Raises:
        NoAnswer: It is blank.
        CheckFailed: It is no tensor, or its shape, type or range is another one.
    """
    tensor = as_tensor(answer, name) if not exact or answer is None else answer
    expect(isinstance(tensor, Tensor), f"`{name}` is a {type(answer).__name__}, but a torch tensor is needed.")
    tensor = tensor.detach()
    if shape is not None:
        if tuple(shape) == () and tensor.numel() == 1:
            tensor = tensor.reshape(())
        wrong_shape = f"`{name}` has shape {list(tensor.shape)}, but {list(shape)} is needed. {hint}".rstrip()
        expect(tuple(tensor.shape) == tuple(shape), wrong_shape)
    if dtype is not None:
        expect(not exact or tensor.dtype == dtype, f"`{name}` has dtype {tensor.dtype}, but {dtype} is needed.")
        tensor = tensor.to(dtype)
    if tensor.is_floating_point():
        expect(bool(torch.isfinite(tensor).all()), f"`{name}` holds NaN or infinity: look for a division by zero.")
    if low is not None:
        least = float(tensor.min())
        expect(least >= low, f"`{name}` goes down to {least:.3g}, but nothing below {low:g} is expected.")
    if high is not None:
        most = float(tensor.max())
        expect(most <= high, f"`{name}` goes up to {most:.3g}, but nothing above {high:g} is expected.")
    return tensor


def as_tensor(answer: object, name: str) -> Tensor:
    """Convert an answer to a tensor of numbers: tensors, arrays, numbers, and lists of them.

    Raises:
        NoAnswer: It is blank.
        CheckFailed: It holds no numbers, or lists of several lengths.
    """
    if answer is None:
        expect("(" not in name, f"`{name}` has no value yet: end the function with `return ...`.")
        raise NoAnswer(f"`{name}` has no value.")
    if answer is ... or answer is NotImplemented:
        raise NoAnswer(f"`{name}` has no value.")
    if isinstance(answer, (list, tuple)) and any(isinstance(item, Tensor) for item in answer):
        parts = [as_tensor(item, name) for item in answer]
        shapes = {tuple(part.shape) for part in parts}
        expect(len(shapes) == 1, f"`{name}` is a list of tensors of several shapes: {sorted(shapes)}.")
        answer = torch.stack(parts)
    if not isinstance(answer, Tensor):
        array = None
        with suppress(ValueError, TypeError):  # lists of several lengths; what is no number
            array = np.asarray(answer)
        numbers = array is not None and array.dtype.kind in "iuf"
        expect(numbers, f"`{name}` is a {type(answer).__name__}, but a tensor of numbers is needed.")
        answer = torch.as_tensor(array.astype(np.float64) if array.dtype.kind == "u" else array)
    real = not answer.is_complex() and answer.dtype != torch.bool
    expect(real, f"`{name}` holds {str(answer.dtype).removeprefix('torch.')} values, but numbers are needed.")
    return answer


def expect_number(answer: object, name: str, whole: bool = False) -> float | int:
    """Convert an answer to a number: of Python, NumPy or torch, also in an array of one.

    Args:
        answer: The learner's.
        name: Its name in messages.
        whole: It must be a whole number, and is returned as an int.

    Raises:
        NoAnswer: It is blank.
        CheckFailed: It is no number, or none of the kind.
    """
    if answer is None or answer is ...:
        raise NoAnswer(f"set `{name}` to a number.")
    expect(
        not isinstance(answer, str), f"`{name}` is the text {answer!r}: set it to a number, without quotation marks."
    )
    expect(not isinstance(answer, (bool, np.bool_)), f"`{name}` is {answer}: set it to a number.")
    expect(not callable(answer), f"`{name}` is a function: set it to the number that it returns.")
    tensor = as_tensor(answer, name)
    expect(tensor.numel() == 1, f"`{name}` holds {tensor.numel()} numbers: one is needed.")
    number = tensor.item()
    expect(math.isfinite(number), f"`{name}` is {number}: set it to a number.")
    if whole:
        expect(number == round(number), f"`{name}` is {number:g}, but a whole number is needed.")
        return round(number)
    return number


def close(
    a: Tensor | Sequence[float] | float,
    b: Tensor | Sequence[float] | float,
    relative: float = 1e-3,
    absolute: float = 1e-5,
) -> bool:
    """True if two tensors or numbers agree, within what another device or thread count may change."""
    a = torch.as_tensor(a, dtype=torch.float64).detach().cpu()
    b = torch.as_tensor(b, dtype=torch.float64).detach().cpu()
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=relative, atol=absolute))


def random_tensors(*shapes: Sequence[int], seed: int = 0) -> tuple[Tensor, ...]:
    """Draw tensors of these shapes from a normal distribution, as the inputs of a check."""
    rng = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=rng) for shape in shapes)


def compare(
    function: Callable,
    reference: Callable,
    inputs: Iterable[Sequence],
    mistakes: Sequence[tuple[Callable, str]] = (),
    otherwise: str = "the result is not what the formula gives.",
    *,
    name: str = "",
    hint: str = "",
    gradient: int | None = None,
    relative: float = 1e-3,
    absolute: float = 1e-5,
) -> None:
    """Compare a learner's function with the reference on each of the inputs.

    Args:
        function: The learner's; called by `call`.
        reference: The right function.
        inputs: Arguments of each call.
        mistakes: (wrong function, sentence): the first that gives what the learner's gives, on all inputs, is named.
        otherwise: The message if none does.
        name: Name of the result in messages; made of the function's unless given.
        hint: The likely mistake where the shape is wrong or the function stops.
        gradient: Place of the argument by which the result must be differentiable, with the reference's gradient.
        relative: Tolerance.
        absolute: Tolerance.

    Raises:
        CheckFailed: The results differ.
    """
    name = name or f"{name_of(function)}(...)"
    inputs = [tuple(arguments) for arguments in inputs]
    wanted = [reference(*arguments).detach() for arguments in inputs]
    found = [as_tensor(call(function, *arguments, hint=hint), name).detach() for arguments in inputs]

    def agree(values: list[Tensor]) -> bool:
        return all(
            close(a.nan_to_num(nan=1e30), b.nan_to_num(nan=1e30), relative, absolute) for a, b in zip(found, values)
        )

    if not agree(wanted):
        for wrong, sentence in mistakes:
            made = False
            with suppress(Exception):  # a mistake that stops on these inputs was not made
                made = agree([torch.as_tensor(wrong(*arguments)).detach() for arguments in inputs])
            expect(not made, sentence)
        for a, b in zip(found, wanted):
            expect_tensor(a, name, b.shape, hint=hint)
        raise CheckFailed(otherwise)
    if gradient is not None:
        for arguments in inputs:
            expect_gradient(function, reference, arguments, gradient, name)


def expect_gradient(function: Callable, reference: Callable, arguments: Sequence, place: int, name: str) -> None:
    """Raise CheckFailed unless the gradient by the argument at `place` is that of the reference."""
    variable = arguments[place].detach().clone().requires_grad_()
    given = [*arguments[:place], variable, *arguments[place + 1 :]]
    weights = None
    gradients = []
    for one in (lambda *given: call(function, *given), reference):
        result = one(*given)
        lost = not (isinstance(result, Tensor) and result.requires_grad)
        expect(not lost, f"`{name}` has no gradient: no torch.no_grad(), detach(), item() or float() on its way.")
        weights = torch.linspace(1, 2, result.numel()).view_as(result) if weights is None else weights
        gradients.append(torch.autograd.grad((result * weights.to(result)).sum(), variable, allow_unused=True)[0])
    found, wanted = gradients
    complete = found is not None and close(found, wanted, 1e-2, 1e-4 * float(wanted.abs().max()))
    expect(
        complete,
        f"the values of `{name}` are right, but part of its gradient is missing: no torch.no_grad(), detach() or "
        "item() on the way of any term.",
    )


def expect_no_mistake(found: Tensor, mistakes: Mapping[str, Tensor]) -> None:
    """Raise CheckFailed with the first message whose value, the result of a likely mistake, was found."""
    for message, wrong in mistakes.items():
        expect(not close(found, wrong), message)


# --- words ------------------------------------------------------------------------------------------------------------


def expect_choice(answer: object, right: str, wrong: Mapping[str, str]) -> None:
    """Check a multiple choice.

    Args:
        answer: The learner's choice: "B", "b", ("B",), "B: it cancels", "the same"; the first word or the only choice
            that it names.
        right: The right choice.
        wrong: For each other choice, why it is wrong.

    Raises:
        NoAnswer: No choice was made.
        CheckFailed: A wrong choice was made, or none of those offered.
    """
    choices = {name.lower(): name for name in (right, *wrong)}
    offered = ", ".join(repr(name) for name in sorted([right, *wrong]))
    while isinstance(answer, (list, tuple, set)) and len(answer) == 1:
        (answer,) = answer
    if answer is None or answer is ... or (isinstance(answer, str) and not answer.strip(" .")):
        raise NoAnswer(f"choose one of {offered}.")
    expect(isinstance(answer, str), f"{answer!r} is not one of the choices {offered}.")
    found = named_choice(answer, choices)
    expect(found is not None, f"{answer!r} is not one of the choices {offered}.")
    expect(found == right, f"{answer!r}: {wrong.get(found, '')}")


def named_choice(answer: str, choices: Mapping[str, str]) -> str | None:
    """Return the choice that an answer names: as a whole, with its first word, or with any if it is the only one."""
    plain = answer.lower().strip(" \"'`().:")
    if plain in choices:
        return choices[plain]
    first = re.match(r"\W*(\w+)\s*[:.,;)\-\u2013]", answer.lower())  # "B: it cancels"
    if first and first[1] in choices:
        return choices[first[1]]
    words = re.findall(r"\w+", answer.lower())
    negated = {"not", "no", "never", "neither", "nor", "t"} & set(words)
    named = {choices[word] for word in words if word in choices and len(word) > 1}
    return named.pop() if len(named) == 1 and not negated else None


ENGLISH = re.compile(
    r"a|an|and|are|as|at|be|because|but|by|can|do|does|each|for|from|has|have|if|in|into|is|it|its|more|no|not|of|on|one|"
    r"only|or|so|than|that|the|their|them|then|there|they|this|to|what|when|where|which|who|with|would"
)  # common words, by which the language is recognised
BLANK = re.compile(r"[\s.\u2026_?-]*|(your )?(answer|text)( here)?\.*", re.IGNORECASE)


def expect_text(
    answer: object,
    points: Mapping[str, Sequence[str]],
    model: str,
    question: str = "",
    confusions: Mapping[str, str] | None = None,
    least: int = 8,
) -> None:
    """Check that two or three English sentences mention each point, and print a model answer beside them.

    Words are looked for, truth is not judged; so the message says "mentioned", never "right". Parts that repeat the
    question do not count.

    Args:
        answer: The learner's text.
        points: {what to say if the point is missing: beginnings of the words that mention it, regular expressions}.
        model: A model answer.
        question: The exercise's text.
        confusions: {regular expression of a well-known wrong statement: why it is wrong}.
        least: Different words that the answer has at least, the question's left out.

    Raises:
        NoAnswer: It is blank.
        CheckFailed: It is too short, in another language, repeats the question, or lacks a point.
    """
    if isinstance(answer, (list, tuple)) and answer and all(isinstance(part, str) for part in answer):
        answer = " ".join(answer)
    if answer is None or answer is ... or (isinstance(answer, str) and BLANK.fullmatch(answer.strip())):
        raise NoAnswer("write two or three sentences into the string `answer`.")
    expect(
        isinstance(answer, str),
        f"`answer` is a {type(answer).__name__}: write two or three sentences in quotation marks.",
    )
    words = re.findall(r"[^\W\d_][\w'+-]*", answer)
    letters = sum(character.isalpha() for character in answer)
    foreign = letters >= 20 and sum(bool(ENGLISH.fullmatch(word.lower())) for word in words) < len(words) / 8
    expect(not foreign, "this check reads English only, and finds hardly an English word: write in English, or compare "
           "your text with the one in the solutions.")  # fmt: skip
    own = without_copies(answer, question)
    different = {word.lower() for word in re.findall(r"[^\W\d_][\w'+-]*", own)}
    copied = len(own.split()) < len(answer.split()) / 2
    expect(not copied, "most of this repeats the question: answer in words of your own.")
    expect(len(different) >= least, f"say it in a few more words: {least} different ones at least.")
    for pattern, why in (confusions or {}).items():
        expect(re.search(pattern, answer.lower()) is None, why)
    for missing, stems in points.items():
        expect(mentions(own, *stems), missing)
    number = {1: "The point is", 2: "Both points are"}.get(len(points), f"All {len(points)} points are")
    print(f"{number} mentioned; the check reads words, not sense. Compare with this answer:\n{model}")


def without_copies(answer: str, question: str, length: int = 4) -> str:
    """Return the answer without the runs of `length` or more words that the question has too."""
    words = answer.split()
    plain, asked = ([re.sub(r"\W", "", word.lower()) for word in text.split()] for text in (answer, question))
    runs = {tuple(asked[k : k + length]) for k in range(len(asked) - length + 1)}
    taken = {k + j for k in range(len(plain)) if tuple(plain[k : k + length]) in runs for j in range(length)}
    return " ".join(word for k, word in enumerate(words) if k not in taken)


def expect_sentences(answer: object, least: int = 12) -> None:
    """Raise CheckFailed unless `answer` is a text of at least `least` words."""
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        raise NoAnswer("write two or three sentences into the string `answer`.")
    long_enough = isinstance(answer, str) and len(answer.split()) >= least
    expect(long_enough, f"write two or three sentences into the string `answer`, of {least} words at least.")


def mentions(text: str, *stems: str) -> bool:
    """True if a word of `text` begins with one of the lower-case stems: "ask" is in asked, not in task."""
    return re.search(r"\b(?:" + "|".join(stems) + ")", text.lower()) is not None


# --- predictions ------------------------------------------------------------------------------------------------------


def compare_guess(guess: object, measured: float | Tensor, what: str = "the value") -> None:
    """Print a guess beside what was measured; a blank one, or none that is a number, is no reason to stop.

    Args:
        guess: The learner's number.
        measured: The value.
        what: Its name, with its unit in brackets: "mean difference (of 255)".
    """
    measured = float(measured)
    try:
        number = expect_number(guess, "guess")
    except CheckFailed:
        print(f"{what}: {measured:.3g}; no guess was made")
        return
    ratio = number / measured if measured else math.nan
    if math.isclose(number, measured, rel_tol=0.1):
        verdict = "within a tenth"
    elif ratio > 0:
        verdict = f"{max(ratio, 1 / ratio):.1f} times too {'high' if abs(number) > abs(measured) else 'low'}"
    else:
        verdict = f"off by {number - measured:+.3g}"
    print(f"{what}: {measured:.3g}; you guessed {number:.3g}, {verdict}")
