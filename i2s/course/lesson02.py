"""Lesson 2, Z, W and W+: the checks of the exercises."""

import re
from collections.abc import Callable

import torch
from torch import Tensor

from i2s.course.checks import (
    close,
    expect,
    expect_choice,
    expect_no_mistake,
    expect_sentences,
    expect_tensor,
    mentions,
    passed,
)
from i2s.generators.base import Generator
from i2s.latents import LatentStatistics


def check_numbers_in_w_plus(official: float | None, ours: float | None, generator: Generator) -> None:
    """Exercise 2.1: how many numbers a code in W+ has."""
    expect(official is not None and ours is not None, "`official` and `ours` need a value each.")
    numbers = all(isinstance(number, (int, float)) for number in (official, ours))
    expect(numbers, "set `official` and `ours` to numbers, without quotation marks.")
    expect(official != 512, "512 is one row: in W+ each of the 18 layers has a row of its own.")
    expect(official != 18 + 512, "the rows are not added: a table of 18 rows and 512 columns has their product.")
    expect(official == 18 * 512, f"`official` is {official}: how many numbers has a table of 18 rows and 512 columns?")
    wanted = generator.num_ws * generator.w_dim
    expect(ours != official, "`ours` is that of the official network: compute it from generator.num_ws and w_dim.")
    expect(ours == wanted, f"`ours` is {ours}: multiply generator.num_ws by generator.w_dim.")
    passed(f"{official} numbers at 1024 px, {ours} here; W has one row of them.")


class IdentityGenerator:
    """A fake generator whose image is z itself, so that the right descent is known; counts its images."""

    def __init__(self) -> None:
        self.calls = 0

    def mapping(self, z: Tensor) -> Tensor:
        """Return w = 2 z."""
        return 2 * z

    def synthesis(self, w: Tensor) -> Tensor:
        """Return w / 2."""
        self.calls += 1
        return w / 2


def gradient_descent(steps: int, zero_grad: bool = True) -> Tensor:
    """Minimise |z|^2 from z = (3, 3) by Adam with learning rate 0.05, with or without clearing the gradient."""
    z = torch.full((1, 2), 3.0, requires_grad=True)
    adam = torch.optim.Adam([z], lr=0.05)
    for _ in range(steps):
        if zero_grad:
            adam.zero_grad()
        z.square().sum().backward()
        adam.step()
    return z.detach()


def check_embed_in_z(embed_in_z: Callable) -> None:
    """Exercise 2.2: the loop over z."""
    generator = IdentityGenerator()
    z = torch.full((1, 2), 3.0, requires_grad=True)
    losses = embed_in_z(generator, z, lambda image: image.square().sum(), 12)
    expect(isinstance(losses, (list, tuple)), "return the list of losses.")
    expect(len(losses) > 0, "the list of losses is empty: write the loop.")
    expect(len(losses) == 12, f"there are {len(losses)} losses for 12 steps: append one in each step.")
    expect(not any(isinstance(x, Tensor) for x in losses), "the losses are tensors: append loss.item(), a number.")
    expect(not close(losses[0], 72.0), "the image is what mapping gave: that is w, it still goes through synthesis.")
    expect(not close(losses[0], 4.5), "synthesis got z: it takes what generator.mapping(z) gives.")
    expect(losses[-1] != losses[0], "the loss never changes: does each step call backward() and adam.step()?")
    expect(
        not close(z.detach(), gradient_descent(12, zero_grad=False), 1e-5, 1e-6),
        "the gradients of all steps add up: call adam.zero_grad() before backward().",
    )
    expect(
        close(z.detach(), gradient_descent(12), 1e-5, 1e-6),
        "z does not end where Adam leads: zero_grad, backward, step, once each in every step.",
    )
    expect(generator.calls == 12, f"the image was made {generator.calls} times in 12 steps: once in each is enough.")
    passed("loss, gradients to zero, backward, step.")


def check_false_w(cause: str | None) -> None:
    """Exercise 2.3: why a W of repeated rows is W+."""
    expect_choice(
        cause,
        right="C",
        wrong={
            "A": "the mean latent is the very centre of W.",
            "B": "Adam has a default learning rate, 0.001; it changes how fast, not where to.",
        },
    )
    passed("a repeat makes copies; a code in W has one row, which all layers share.")


def check_same_rows(same_rows: Callable[[Tensor], Tensor]) -> None:
    """Exercise 2.4: every row of a code becomes the mean of its rows."""
    w_plus = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(2))
    kept = w_plus.clone()
    found = expect_tensor(
        same_rows(w_plus),
        "same_rows(w_plus)",
        (3, 5, 4),
        hint="The code keeps its shape: expand the mean row, mean(dim=1, keepdim=True), over all rows.",
    )
    expect(torch.equal(w_plus, kept), "the code that was given has changed: return a new one.")
    mistakes = {
        "nothing has changed: the rows are still those of the code.": w_plus,
        "every row is the first one: take the mean of all rows.": w_plus[:, :1],
        "this is the mean over the codes, dim 0: the rows are dim 1.": w_plus.mean(dim=0, keepdim=True),
        "this is the mean of the numbers within each row, dim 2: the rows are dim 1.": w_plus.mean(dim=2, keepdim=True),
        "all codes have become one: each keeps the mean of its own rows.": w_plus.mean(dim=(0, 1), keepdim=True),
    }
    expect_no_mistake(found, {message: wrong.expand_as(w_plus) for message, wrong in mistakes.items()})
    expect(close(found, w_plus.mean(dim=1, keepdim=True).expand_as(w_plus)), "the rows are not the mean of the rows.")
    passed("what is left is what all layers agree on.")


def check_strangeness(strangeness: Callable[[Tensor, LatentStatistics], Tensor]) -> None:
    """Exercise 2.5: root mean square of the whitened numbers of each code."""
    rng = torch.Generator().manual_seed(3)
    statistics = LatentStatistics(
        torch.randn(4, generator=rng), torch.eye(4)[[2, 0, 3, 1]], torch.tensor([4.0, 2, 1, 0.5])
    )
    w_plus = torch.randn(3, 5, 4, generator=rng) * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    found = expect_tensor(
        strangeness(w_plus, statistics),
        "strangeness(w_plus, statistics)",
        (3,),
        low=0.0,
        hint="One number for each code: the mean runs over rows and columns, dim=(1, 2).",
    )
    v = statistics.whiten(w_plus)
    wanted = v.square().mean(dim=(1, 2)).sqrt()
    mistakes = {
        "the root is missing: these are mean squares.": wanted.square(),
        "this is the sum of the squares under the root: take their mean, so that 1 is ordinary.": v.flatten(1).norm(
            dim=1
        ),
        "this is the mean of the absolute values: take the root of the mean square.": v.abs().mean(dim=(1, 2)),
        "the code was not whitened: use statistics.whiten(w_plus).": w_plus.square().mean(dim=(1, 2)).sqrt(),
    }
    expect_no_mistake(found, mistakes)
    expect(close(found, wanted), "this is not the root mean square of statistics.whiten(w_plus).")
    passed("about 1 is an ordinary code; a code of twice the spread is twice as strange.")


def mentions_w(words: str) -> bool:
    """True if the text names W itself, not W+ alone."""
    return re.search(r"\bw\b(?!\+)", words) is not None


def check_choice_of_space(answer: str | None) -> None:
    """Exercise 2.6: W or W+, for which purpose; looks for words of both spaces and both reasons only."""
    expect_sentences(answer, 15)
    words = re.sub(r"\bw[ _-]?plus\b", "w+", answer.lower())
    expect("w+" in words, "say for which purpose you choose W+.")
    expect(mentions_w(words), "say for which purpose you choose W.")
    first, _, second = words.partition("(b)")
    only_w = mentions_w(first) and "w+" not in first
    only_w_plus = "w+" in second and not mentions_w(second)
    expect(
        not ("(a)" in first and only_w and only_w_plus),
        "is it the other way round? Look again which space came closest to the photo (2.2), and in which one all "
        "layers have to agree.",
    )
    near = ("close", "exact", "near", "loss", "error", "detail", "psnr", "same image", "faithful", "fidelity", "match")
    near += ("precise", "accura", "resembl", "reproduc", "reconstruct")
    edit = ("face", "smooth", "manifold", "ordinary", "edit", "walk", "between", "agree", "natural", "realis")
    edit += ("plausib", "person", "people")
    expect(mentions(words, *near), "say which space comes closest to the photo, and for which purpose that counts.")
    expect(mentions(words, *edit), "say in which space the stops of a walk are faces.")
    passed("both purposes are there; compare with the solution.")
