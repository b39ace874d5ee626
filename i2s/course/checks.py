"""What every check of an exercise is made of: look at an answer in order, and name the likely mistake.

A check is a function `check_x(answer)`. It looks at shape, dtype, range, known values and then properties, in that
order, so that the first thing said is the first thing to mend. It raises `CheckFailed`, or prints that all is right.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor


class CheckFailed(AssertionError):
    """An answer is not right yet; the message says what was found and what is the likely mistake."""

    def _render_traceback_(self) -> list[str]:
        """A notebook shows this in place of a traceback: the learner's own line is not at fault, the answer is."""
        return [f"Not yet: {self}"]


def passed(what: str) -> None:
    """Say that an answer is right, and what that shows."""
    print(f"Right: {what}")


def expect(true: bool, message: str) -> None:
    """CheckFailed with `message` unless `true`."""
    if not true:
        raise CheckFailed(message)


def expect_tensor(
    answer,
    name: str,
    shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = torch.float32,
    low: float | None = None,
    high: float | None = None,
    hint: str = "",
) -> Tensor:
    """`answer` is a tensor with that shape, dtype and range of finite values; CheckFailed says which of these is off.

    `hint`, the likely mistake, is added where the shape is wrong.
    """
    written = answer is not None and answer is not NotImplemented
    expect(written, f"`{name}` has no value yet: write the line that makes it.")
    expect(
        isinstance(answer, Tensor),
        f"`{name}` is a {type(answer).__name__}, but a torch tensor is needed.",
    )
    answer = answer.detach()
    if shape is not None:
        expect(
            tuple(answer.shape) == tuple(shape),
            f"`{name}` has shape {list(answer.shape)}, but {list(shape)} is needed. {hint}".rstrip(),
        )
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


def close(a, b, relative: float = 1e-3, absolute: float = 1e-5) -> bool:
    """Whether two tensors or numbers agree, loosely enough for another device or thread count."""
    a = torch.as_tensor(a, dtype=torch.float64).cpu()
    b = torch.as_tensor(b, dtype=torch.float64).cpu()
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=relative, atol=absolute))


def expect_choice(answer, right: str, wrong: dict[str, str]) -> None:
    """`answer` is the choice `right`; for each wrong one CheckFailed says why it is wrong."""
    choices = ", ".join(repr(name) for name in sorted([right, *wrong]))
    expect(isinstance(answer, str) and bool(answer.strip()), f"there is no answer yet: choose one of {choices}.")
    plain = answer.lower().strip(" \"'`().")
    found = {name.lower(): name for name in (right, *wrong)}.get(plain)
    expect(found is not None, f"{answer!r} is not one of the choices {choices}.")
    expect(found == right, f"{answer!r}: {wrong.get(found, '')}")


def expect_sentences(answer, least: int = 12) -> None:
    """`answer` is a text of at least so many words; what it says, `mentions` looks for."""
    long_enough = isinstance(answer, str) and len(answer.split()) >= least
    expect(long_enough, "write two or three sentences into the string `answer`.")


def mentions(text: str, *stems: str) -> bool:
    """Whether a word of `text` begins with one of the stems, which are lower case: "ask" is in asked, not in task."""
    return re.search(r"\b(?:" + "|".join(stems) + ")", text.lower()) is not None
