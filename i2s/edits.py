"""Edits: the three operations on W+ codes of Image2StyleGAN (Abdal, Qin, Wonka 2019).

    morphing              w = lambda w1 + (1 - lambda) w2
    expression transfer   w = w1 + lambda (w3 - w2)
    style transfer        the first rows of one code, the last of another: crossover

A code is [num_ws, w_dim], or [N, num_ws, w_dim] for N of them; a single one is combined with any number of others. All
are pure functions: their results share no memory with their arguments, and gradients flow through. Each returns codes
for `generator.synthesis` (add [None] to a single one).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor

from i2s.errors import LatentError, SettingsError

Lambda = float | Sequence[float] | Tensor
MIDDLE = range(4, 8)  # rows of 16 and 32 px, which carry an expression


def morph(w1: Tensor, w2: Tensor, lam: Lambda) -> Tensor:
    """Blend two codes: w = lam w1 + (1 - lam) w2 (the paper's morphing equation).

    Args:
        w1: [num_ws, w_dim] or [N, num_ws, w_dim].
        w2: The same.
        lam: 1 is w1, 0 is w2, beyond them extrapolates; a number, or K of them (list or tensor [K]) for K frames.

    Returns:
        For a number, codes of the same shape. For K numbers [K, num_ws, w_dim], or for N codes
        [K * N, num_ws, w_dim], all N of a frame together.

    Raises:
        LatentError: The codes are no finite floats, or do not go together.
        SettingsError: lam is no finite number.
    """
    w1, w2 = _codes(w1=w1, w2=w2)
    return _frames(lambda lam: lam * w1 + (1 - lam) * w2, lam, like=w1)


def morph_through(codes: Tensor | Sequence[Tensor], frames: int) -> Tensor:
    """Blend from each code to the next: the codes of a video through all of them.

    Args:
        codes: At least two, [N, num_ws, w_dim], or a list of [num_ws, w_dim].
        frames: From each code to the next, both included; at least 2.

    Returns:
        [(N - 1) (frames - 1) + 1, num_ws, w_dim]; each given code is there once.

    Raises:
        LatentError: The codes are no finite floats, do not go together, or are fewer than two.
        SettingsError: `frames` is no whole number of at least 2.
    """
    if not isinstance(frames, Integral) or isinstance(frames, bool) or frames < 2:
        raise SettingsError(f"frames is {frames!r}, but must be a whole number of at least 2.")
    codes = list(codes)
    if len(codes) < 2:
        raise LatentError("A morph needs at least two codes: give another one.")
    lam = torch.linspace(1, 0, int(frames), dtype=torch.float32, device="cpu")
    passages = [morph(first, second, lam) for first, second in pairwise(codes)]
    return torch.cat([passages[0], *(passage[1:] for passage in passages[1:])])


def transfer_expression(
    w1: Tensor, w2: Tensor, w3: Tensor, lam: Lambda = 0.5, *, rows: Iterable[int] | None = MIDDLE
) -> Tensor:
    """Transfer an expression: w = w1 + lam (w3 - w2) (the paper's equation), in some rows.

    The paper changes all rows, rows=None, and gives no lam. Over the 240 ordered pairs of 16 people, the perceptual
    distance to the target's own smile became 1.23 of that of the neutral face with all rows and lam 1, 0.99 with the
    defaults (faces-128; data/london-128.md).

    Args:
        w1: The target face, [num_ws, w_dim] or [N, num_ws, w_dim].
        w2: The source person, neutral.
        w3: The source person, with the expression.
        lam: 1 is the whole difference, more exaggerates, a negative one reverses it; or K numbers, as in `morph`.
        rows: The rows that are changed, in any order; negative ones count from the end. None: all.

    Returns:
        As `morph`.

    Raises:
        LatentError: The codes are no finite floats, do not go together, or have no such row.
        SettingsError: lam is no finite number.
    """
    w1, w2, w3 = _codes(w1=w1, w2=w2, w3=w3)
    difference = w3 - w2
    if rows is not None:
        difference = torch.where(_chosen(rows, w1), difference, 0)
    return _frames(lambda lam: w1 + lam * difference, lam, like=w1)


def crossover(
    content: Tensor, style: Tensor, split: int | None = None, *, layers: Iterable[int] | None = None
) -> Tensor:
    """Transfer a style: the first `split` rows of content, the rest of style (the paper's crossover).

    Args:
        content: [num_ws, w_dim] or [N, num_ws, w_dim].
        style: The same.
        split: 0 is style, num_ws is content; None is half of the rows, the paper's 9 of 18 (see `split_for`).
        layers: In place of split, the rows to take from style, in any order; negative ones count from the end.

    Returns:
        Codes of the same shape.

    Raises:
        LatentError: The codes do not go together, or have no such row.
        SettingsError: Both split and layers are given.
    """
    content, style = _codes(content=content, style=style)
    num_ws = content.shape[-2]
    if layers is None:
        split = num_ws // 2 if split is None else split
        if not _is_int(split) or not 0 <= split <= num_ws:
            raise LatentError(f"split is {split}: give a number from 0 to {num_ws}, the rows of this code.")
        layers = range(split, num_ws)
    elif split is not None:
        raise SettingsError("split and layers both say which rows come from the style: give one of them.")
    return torch.where(_chosen(layers, content), style, content)


def split_for(resolution: int, upto: int | None = None) -> int:
    """Number of content rows for `crossover`, in StyleGAN1 and StyleGAN2.

    At 1024 px the paper's 9 of 18 rows are both: half of them, and the layers from 4 x 4 to 64 x 64. Below, the two
    differ, and one must choose:

        resolution                     64   128   256   512   1024
        num_ws                         10    12    14    16     18
        half of the rows                5     6     7     8      9
        up to 64 x 64 (upto=64)         9     9     9     9      9

    Half keeps the proportion (layers up to 2 sqrt(resolution)) and is the default: at 64 px, 9 rows leave only the
    last one to the style, which colours the finished image. In StyleGAN2 row 0 is the 4 x 4 layer, rows 1 and 2 are
    8 x 8, and so on; the row after a size also sets its toRGB. StyleGAN1 has two rows at each size, so that its ninth
    is the first of 64 x 64. StyleGAN3's rows follow no such sizes.

    Args:
        resolution: Of the generator, which has num_ws = 2 log2(resolution) - 2 rows.
        upto: Size of the feature maps up to which the rows are the content's; None is half of all rows.

    Raises:
        SettingsError: A size is no power of two, or `upto` is larger than the resolution.
    """
    for name, value in {"resolution": resolution, "upto": upto}.items():
        if value is not None and (not _is_int(value) or value < 4 or value & (value - 1)):
            raise SettingsError(f"{name} is {value}, but must be a power of two of at least 4.")
    num_ws = 2 * int(math.log2(resolution)) - 2
    if upto is None:
        return num_ws // 2
    if upto > resolution:
        raise SettingsError(f"upto is {upto}, but the generator's largest layer is {resolution}.")
    return 2 * int(math.log2(upto)) - 3


def _chosen(rows: Iterable[int], w: Tensor) -> Tensor:
    """Mark rows of a code, [num_ws, 1]; LatentError where there is no such row."""
    num_ws = w.shape[-2]
    chosen = torch.zeros(num_ws, 1, dtype=torch.bool, device=w.device)
    for row in rows:
        if not _is_int(row) or not -num_ws <= row < num_ws:
            raise LatentError(f"There is no row {row}: this code has rows 0 to {num_ws - 1}.")
        chosen[row] = True
    return chosen


def _frames(blend: Callable[[Tensor], Tensor], lam: Lambda, like: Tensor) -> Tensor:
    """Return blend(lam) for a number; for K numbers, all K results one after the other, [K * N, num_ws, w_dim]."""
    try:
        lam = torch.as_tensor(lam, dtype=like.dtype, device=like.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SettingsError(f"lam is {lam!r}: give a number, or a list of numbers.") from error
    if lam.ndim > 1 or lam.numel() == 0:
        raise SettingsError(f"lam has shape {list(lam.shape)}: give a number, or a list of numbers.")
    if not lam.isfinite().all():
        raise SettingsError("lam holds NaN or infinity: give finite numbers.")
    if lam.ndim == 0:
        return blend(lam)
    return blend(lam[:, None, None, None]).flatten(0, 1)  # [K, N | 1, ...] -> [K * N, num_ws, w_dim]


def _codes(**codes: Tensor) -> list[Tensor]:
    """Return the codes; LatentError unless they are finite floats of shapes that go together."""
    for name, w in codes.items():
        if not isinstance(w, Tensor):
            raise LatentError(f"{name} is a {type(w).__name__}: give a W+ code, a tensor [num_ws, w_dim].")
        if w.ndim not in (2, 3) or 0 in w.shape:
            shape = list(w.shape)
            raise LatentError(f"{name} has shape {shape}: a code is [num_ws, w_dim] or [N, num_ws, w_dim].")
        if not w.is_floating_point():
            raise LatentError(f"{name} is of {w.dtype}: a W+ code holds floats.")
    shapes = ", ".join(f"{name} {list(w.shape)}" for name, w in codes.items())
    if len({w.shape[-2:] for w in codes.values()}) > 1:
        raise LatentError(f"The codes differ in shape ({shapes}): embed all photos with the same generator.")
    if len({len(w) for w in codes.values() if w.ndim == 3} - {1}) > 1:
        raise LatentError(f"The codes differ in number ({shapes}): give as many of each, or one.")
    if len({w.device for w in codes.values()}) > 1:
        raise LatentError("The codes are on different devices: bring them to one with .to(device).")
    for name, w in codes.items():
        if not w.isfinite().all():
            raise LatentError(f"{name} holds NaN or infinity: embed the photo again.")
    return list(codes.values())


def _is_int(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
