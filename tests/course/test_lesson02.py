"""Lesson 2: its checks pass solutions and name mistakes."""

import pytest
import torch

from i2s.course import lesson02
from i2s.course.checks import CheckFailed


class Sizes:
    num_ws, w_dim = 10, 256


def loop(image_of=lambda g, z: g.synthesis(g.mapping(z)), zero=True, step=True, item=True, more=0):
    def embed_in_z(generator, z, loss_of, steps):
        adam, losses = torch.optim.Adam([z], lr=0.05), []
        for _ in range(steps + more):
            loss = loss_of(image_of(generator, z))
            if zero:
                adam.zero_grad()
            loss.backward()
            if step:
                adam.step()
            losses.append(loss.item() if item else loss)
        return losses

    return embed_in_z


def rms(w_plus, statistics):
    return statistics.whiten(w_plus).square().mean(dim=(1, 2)).sqrt()


WORDS = (
    "For the restoration W+, because it comes closest to the photo; for the walk W , whose codes stay ordinary faces."
)
SOLUTIONS = {
    "numbers_in_w_plus": (9216, 2560, Sizes),
    "embed_in_z": (loop(),),
    "false_w": ("C",),
    "same_rows": (lambda w: w.mean(dim=1, keepdim=True).expand_as(w),),
    "strangeness": (rms,),
    "choice_of_space": (WORDS,),
}
MISTAKES = [
    ("numbers_in_w_plus", (None, None, Sizes), "need a value"),
    ("numbers_in_w_plus", (512, 256, Sizes), "one row"),
    ("numbers_in_w_plus", (530, 256, Sizes), "not added"),
    ("numbers_in_w_plus", ("9216", 2560, Sizes), "quotation marks"),
    ("numbers_in_w_plus", (18 * 1024, 2560, Sizes), "table of 18 rows"),
    ("numbers_in_w_plus", (9216, 9216, Sizes), "that of the official"),
    ("numbers_in_w_plus", (9216, 256, Sizes), "multiply"),
    ("embed_in_z", (lambda *a: [],), "empty"),
    ("embed_in_z", (lambda *a: None,), "list of losses"),
    ("embed_in_z", (loop(zero=False),), "zero_grad"),
    ("embed_in_z", (loop(step=False),), "never changes"),
    ("embed_in_z", (loop(item=False),), "item"),
    ("embed_in_z", (loop(more=1),), "13 losses"),
    ("embed_in_z", (loop(image_of=lambda g, z: g.mapping(z)),), "through synthesis"),
    ("embed_in_z", (loop(image_of=lambda g, z: g.synthesis(z)),), "synthesis got z"),
    ("embed_in_z", (loop(image_of=lambda g, z: g.synthesis(g.mapping(z)) + 0 * g.synthesis(z)),), "24 times"),
    ("false_w", (None,), "no answer"),
    ("false_w", ("A",), "centre of W"),
    ("false_w", ("B",), "default learning rate"),
    ("false_w", ("E",), "not one of"),
    ("same_rows", (lambda w: None,), "no value"),
    ("same_rows", (lambda w: w.mean(dim=1),), "keeps its shape"),
    ("same_rows", (lambda w: w.mean(dim=1, keepdim=True),), "keeps its shape"),
    ("same_rows", (lambda w: w,), "nothing has changed"),
    ("same_rows", (lambda w: w[:, :1].expand_as(w),), "first one"),
    ("same_rows", (lambda w: w.mean(dim=0, keepdim=True).expand_as(w),), "dim 0"),
    ("same_rows", (lambda w: w.mean(dim=2, keepdim=True).expand_as(w),), "dim 2"),
    ("same_rows", (lambda w: w.mean(dim=(0, 1), keepdim=True).expand_as(w),), "of its own rows"),
    ("same_rows", (lambda w: w.copy_(w.mean(dim=1, keepdim=True).expand_as(w)),), "has changed"),
    ("strangeness", (lambda w, s: None,), "no value"),
    ("strangeness", (lambda w, s: s.whiten(w).square().mean().sqrt(),), "shape"),
    ("strangeness", (lambda w, s: rms(w, s).square(),), "root is missing"),
    ("strangeness", (lambda w, s: s.whiten(w).flatten(1).norm(dim=1),), "their mean"),
    ("strangeness", (lambda w, s: s.whiten(w).abs().mean(dim=(1, 2)),), "absolute"),
    ("strangeness", (lambda w, s: w.square().mean(dim=(1, 2)).sqrt(),), "not whitened"),
    ("choice_of_space", ("",), "sentences"),
    (
        "choice_of_space",
        ("I would choose the space W for all of it since that is the best of them in every way",),
        r"W\+",
    ),
    (
        "choice_of_space",
        ("I would choose W+ for all of it since that is the best of all of them in each way",),
        "you choose W",
    ),
    (
        "choice_of_space",
        ("For (a) I would take W, since it is closest to the photo, and for (b) W+, where the walk stays smooth.",),
        "other way round",
    ),
]
OTHERS = [
    "For (a) I take W+: the lowest error of reconstruction. For (b) W, as what lies on the way is realistic.",
    "(a) W plus, since it reproduces the portrait faithfully. (b) W, because every stop is a plausible person there.",
    "W+ for the portrait: it matches best. W for the walk: the images on the way look natural and stay so.",
    "(b): W, as all layers agree on one face there; for (a) W is not close enough to the photo, but W+ is.",
    "For (a), W is too coarse, so W+ it is, by its detail. For (b) codes of W+ fall apart on a walk, so W is it.",
]


@pytest.mark.parametrize("answer", OTHERS)
def test_check_choice_of_space_passes_other_right_words(answer):
    lesson02.check_choice_of_space(answer)


def test_check_numbers_in_w_plus_does_not_give_the_answer_away():
    with pytest.raises(CheckFailed) as failed:
        lesson02.check_numbers_in_w_plus(4608, 2560, Sizes)
    assert "9216" not in str(failed.value)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_check_passes_the_solution(name, capsys):
    getattr(lesson02, f"check_{name}")(*SOLUTIONS[name])
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_check_names_each_mistake(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(lesson02, f"check_{name}")(*answer)
