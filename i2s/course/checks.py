"""Helpers for the exercise checks `check_...(answer)` of the lessons.

A check looks at shape, dtype, range, known values and then properties, in this order, so that the first message is the
first thing to mend. It raises `CheckFailed`, which names the likely mistake, or prints that the answer is right.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class CheckFailed(AssertionError):
    """A wrong answer; the message says what was found and names the likely mistake."""

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython shows instead of a traceback."""
        return [f"Not yet: {self}"]


def passed(what: str) -> None:
    """Print that an answer is right, and what it shows."""
    print(f"Right: {what}")


def expect(condition: bool, message: str) -> None:
    """Raise CheckFailed with `message` unless `condition` holds."""
    if not condition:
        raise CheckFailed(message)


def expect_tensor(
    answer: object,
    name: str,
    shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = torch.float32,
    low: float | None = None,
    high: float | None = None,
    hint: str = "",
) -> Tensor:
    """Check that an answer is a tensor of finite values.

    Args:
        answer: What the learner's code gave.
        name: Its name in messages.
        shape: Shape that it must have; None: any.
        dtype: Type that it must have; None: any.
        low: Smallest value allowed.
        high: Largest value allowed.
        hint: The likely mistake where the shape is wrong.

    Returns:
        The answer, detached.

    Raises:
        CheckFailed: It is no tensor, or its shape, type or range is another one.
    """
    written = answer is not None and answer is not NotImplemented
    expect(written, f"`{name}` has no value yet: write the line that makes it.")
    expect(isinstance(answer, Tensor), f"`{name}` is a {type(answer).__name__}, but a torch tensor is needed.")
    answer = answer.detach()
    if shape is not None:
        wrong_shape = f"`{name}` has shape {list(answer.shape)}, but {list(shape)} is needed. {hint}".rstrip()
        expect(tuple(answer.shape) == tuple(shape), wrong_shape)
    if dtype is not None:
        expect(answer.dtype == dtype, f"`{name}` has dtype {answer.dtype}, but {dtype} is needed.")
    if answer.is_floating_point():
        expect(bool(torch.isfinite(answer).all()), f"`{name}` holds NaN or infinity: look for a division by zero.")
    if low is not None:
        least = float(answer.min())
        expect(least >= low, f"`{name}` goes down to {least:.3g}, but nothing below {low:g} is expected.")
    if high is not None:
        most = float(answer.max())
        expect(most <= high, f"`{name}` goes up to {most:.3g}, but nothing above {high:g} is expected.")
    return answer


def close(
    a: Tensor | Sequence[float] | float,
    b: Tensor | Sequence[float] | float,
    relative: float = 1e-3,
    absolute: float = 1e-5,
) -> bool:
    """True if two tensors or numbers agree, within what another device or thread count may change."""
    a = torch.as_tensor(a, dtype=torch.float64).cpu()
    b = torch.as_tensor(b, dtype=torch.float64).cpu()
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=relative, atol=absolute))


def expect_no_mistake(found: Tensor, mistakes: Mapping[str, Tensor]) -> None:
    """Raise CheckFailed with the first message whose value, the result of a likely mistake, was found."""
    for message, wrong in mistakes.items():
        expect(not close(found, wrong), message)


def expect_choice(answer: object, right: str, wrong: Mapping[str, str]) -> None:
    """Check a multiple choice.

    Args:
        answer: The learner's choice; case, quotation marks and a full stop do not matter.
        right: The right choice.
        wrong: For each other choice, why it is wrong.

    Raises:
        CheckFailed: No choice was made, or a wrong one.
    """
    choices = ", ".join(repr(name) for name in sorted([right, *wrong]))
    expect(isinstance(answer, str) and bool(answer.strip()), f"there is no answer yet: choose one of {choices}.")
    plain = answer.lower().strip(" \"'`().")
    found = {name.lower(): name for name in (right, *wrong)}.get(plain)
    expect(found is not None, f"{answer!r} is not one of the choices {choices}.")
    expect(found == right, f"{answer!r}: {wrong.get(found, '')}")


def expect_sentences(answer: object, least: int = 12) -> None:
    """Raise CheckFailed unless `answer` is a text of at least `least` words."""
    long_enough = isinstance(answer, str) and len(answer.split()) >= least
    expect(long_enough, "write two or three sentences into the string `answer`.")


def mentions(text: str, *stems: str) -> bool:
    """True if a word of `text` begins with one of the lower-case stems: "ask" is in asked, not in task."""
    return re.search(r"\b(?:" + "|".join(stems) + ")", text.lower()) is not None
