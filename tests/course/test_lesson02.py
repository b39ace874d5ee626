"""Lesson 2: its checks take right answers, however written, and name the mistake of wrong ones."""

import numpy as np
import pytest
import torch
from helpers import small_generator

from i2s.course import lesson02
from i2s.course.checks import CheckFailed, NoAnswer


class Sizes:
    num_ws, w_dim = 12, 512


# --- answers ----------------------------------------------------------------------------------------------------------


def search_by(body, make=None, back=lambda code, losses: (code.detach(), losses)):
    """The given frame of exercise 2.2 around body(step, code, adam, losses, draw, distance)."""

    def search(draw, start, distance, steps, learning_rate=0.05):
        code = start.clone().requires_grad_()
        adam = (make or torch.optim.Adam)([code], lr=learning_rate)
        losses = []
        for step in range(steps):
            body(step, code, adam, losses, draw, distance)
        return back(code, losses)

    return search


def loop(image=lambda draw, code: draw(code), clear="before", backward=True, updates=1, entry=None):
    """The solution of exercise 2.2, or one with a flaw."""

    def body(step, code, adam, losses, draw, distance):
        loss = distance(image(draw, code))
        if clear == "before":
            adam.zero_grad()
        if backward:
            loss.backward(retain_graph=clear == "graph")
        if clear == "between":
            adam.zero_grad()
        for _ in range(updates):
            adam.step()
        if clear == "after":
            adam.zero_grad()
        losses.append(entry(loss, losses, step, code, draw, distance) if entry else loss.item())

    return search_by(body)


def long_way(draw, start, distance, steps, learning_rate=0.05):
    code = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.Adam([code], lr=learning_rate)
    losses = []
    while len(losses) < steps:
        optimiser.zero_grad(set_to_none=False)
        error = distance(draw(code))
        losses += [float(error.detach())]
        error.backward()
        optimiser.step()
    return code, losses


def by_autograd(draw, start, distance, steps, learning_rate=0.05):
    code = start.clone().requires_grad_()
    adam = torch.optim.Adam([code], lr=learning_rate)
    losses = []
    for _ in range(steps):
        loss = distance(draw(code))
        (code.grad,) = torch.autograd.grad(loss, code)
        adam.step()
        losses.append(loss.detach())
    return code.detach(), losses


def fresh_optimiser(draw, start, distance, steps, learning_rate=0.05):
    code = start.clone().requires_grad_()
    losses = []
    for _ in range(steps):
        adam = torch.optim.Adam([code], lr=learning_rate)
        loss = distance(draw(code))
        loss.backward()
        adam.step()
        adam.zero_grad()
        losses.append(loss.item())
    return code.detach(), losses


def image_outside(draw, start, distance, steps, learning_rate=0.05):
    code = start.clone().requires_grad_()
    adam = torch.optim.Adam([code], lr=learning_rate)
    image = draw(code)
    for _ in range(steps):
        adam.zero_grad()
        distance(image).backward()
        adam.step()
    return code.detach(), []


def by_hand(draw, start, distance, steps, learning_rate=0.05):
    code = start.clone().requires_grad_()
    losses = []
    for _ in range(steps):
        loss = distance(draw(code))
        code.grad = None
        loss.backward()
        code.data -= learning_rate * code.grad
        losses.append(loss.item())
    return code.detach(), losses


def without_gradients(draw, start, distance, steps, learning_rate=0.05):
    code = start.clone().requires_grad_()
    with torch.no_grad():
        distance(draw(code)).backward()


def afterwards(change):
    """The solution of exercise 2.2, and a change of what it returns."""
    return lambda *arguments: change(*loop()(*arguments))


def times(count):
    right = loop()
    return lambda draw, start, distance, steps, lr: right(draw, start, distance, count(steps), lr)


def unlike_given(draw, start, distance, steps, learning_rate=0.05):
    start.requires_grad_()
    adam = torch.optim.Adam([start], lr=learning_rate)
    losses = []
    for _ in range(steps):
        loss = distance(draw(start))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return start.detach().clone(), losses


def stack_rows(generator, w):
    return generator.synthesis(torch.stack([w[:, 0]] * generator.num_ws, dim=1))


def one_by_one(generator, w):
    return torch.cat([generator.synthesis(x.expand(generator.num_ws, -1)[None]) for x in w])


def from_zeros(generator, w):
    table = torch.zeros(len(w), generator.num_ws, generator.w_dim)
    return generator.synthesis(table + w)


def rows_of(generator, w):
    return generator.synthesis(w.expand(-1, generator.num_ws, -1))


def mean_rows(w):
    return w.mean(dim=1, keepdim=True).expand_as(w)


def loop_of_rows(w):
    result = torch.empty_like(w)
    for n in range(len(w)):
        for k in range(w.shape[1]):
            result[n, k] = sum(w[n]) / w.shape[1]
    return result


NAMES = ["W", "W+, late", "W", "W+, late", "W", "W+, late"]
WORDS = [
    "There the error of the reconstruction is lowest, so I take W+ for (a). In W what lies on the way is realistic.",
    "The first reproduces faces most faithfully; in the second every stop is a plausible person.",
    "W+ matches the picture best. With W the images on the way look natural and do not break.",
    "All layers agree on one face in W, so the walk holds; but only W+ has all the detail of the painting.",
    "W is too coarse for (a), and W+ has a lower distortion. For (b) codes of W+ get torn, and those of W do not.",
]
RIGHT = [
    ("numbers_in_w_plus", (9216, 6144, Sizes)),
    ("numbers_in_w_plus", (18 * 512.0, 12 * 512, Sizes)),
    ("numbers_in_w_plus", (np.int64(9216), np.prod([12, 512]), Sizes)),
    ("numbers_in_w_plus", (torch.tensor(9216), torch.zeros(12, 512).numel(), Sizes)),
    ("numbers_in_w_plus", (torch.tensor([9216]), np.float32(6144), Sizes)),
    ("search", (loop(),)),
    ("search", (loop(clear="after"),)),
    ("search", (long_way,)),
    ("search", (by_autograd,)),
    ("search", (loop(entry=lambda loss, *_: np.float64(loss.item())),)),
    ("search", (loop(entry=lambda loss, *_: loss.detach().clone()),)),
    ("search", (search_by(lambda s, c, a, ls, draw, dist: (a.zero_grad(), ls.append(dist(draw(c))), ls[-1].backward(),
                                                           a.step(), ls.append(ls.pop().item()))),)),
    ("draw_w", (rows_of,)),
    ("draw_w", (lambda g, w: g.synthesis(w.repeat(1, g.num_ws, 1)),)),
    ("draw_w", (lambda generator, w: generator.synthesis(torch.cat([w] * generator.num_ws, dim=1)),)),
    ("draw_w", (stack_rows,)),
    ("draw_w", (one_by_one,)),
    ("draw_w", (from_zeros,)),
    ("draw_w", (lambda g, w: g.synthesis(w.repeat_interleave(g.num_ws, dim=1)),)),
    ("false_w", ("C",)),
    ("false_w", ("c",)),
    ("false_w", (" C. ",)),
    ("false_w", (("C",),)),
    ("false_w", ("C: Adam adjusts each row by itself",)),
    ("same_rows", (mean_rows,)),
    ("same_rows", (lambda w: w.mean(1)[:, None].repeat(1, w.shape[1], 1),)),
    ("same_rows", (lambda w: w.sum(dim=1, keepdim=True) / w.shape[1] + torch.zeros_like(w),)),
    ("same_rows", (lambda w: np.repeat(w.numpy().mean(1, keepdims=True), w.shape[1], axis=1),)),
    ("same_rows", (lambda w: w.double().mean(-2, keepdim=True).expand(w.shape),)),
    ("same_rows", (loop_of_rows,)),
    ("blind_test", ([0, 3], NAMES)),
    ("blind_test", ((3, 0, 0), NAMES)),
    ("blind_test", ({5}, NAMES)),
    ("blind_test", ([], NAMES)),
    ("blind_test", (np.array([1, 2]), NAMES)),
    ("blind_test", (torch.tensor([1.0, 2.0]), NAMES)),
    ("blind_test", (range(5), NAMES)),
    *[("choice_of_space", ("W+", "W", words)) for words in WORDS],
    ("choice_of_space", ("w_plus", "w", WORDS[0])),
    ("choice_of_space", ("W plus", "W, as all layers agree", WORDS[0])),
    ("choice_of_space", ("W+, because it is closest", ("W",), WORDS[1])),
]  # fmt: skip

WRONG = [
    ("numbers_in_w_plus", (512, 512, Sizes), "one row"),
    ("numbers_in_w_plus", (530, 524, Sizes), "product"),
    ("numbers_in_w_plus", (18, 12, Sizes), "number of rows"),
    ("numbers_in_w_plus", (18 * 18, 6144, Sizes), "a row has 512"),
    ("numbers_in_w_plus", ("9216", 6144, Sizes), "quotation marks"),
    ("numbers_in_w_plus", (18 * 1024, 6144, Sizes), "table of 18 rows"),
    ("numbers_in_w_plus", (9216, 9216, Sizes), "that of the official"),
    ("numbers_in_w_plus", (9216, 512, Sizes), "is one row"),
    ("numbers_in_w_plus", (9216, 524, Sizes), "do not add"),
    ("numbers_in_w_plus", (9216, 2560, Sizes), "multiply"),
    ("numbers_in_w_plus", ([18, 512], 6144, Sizes), "one is needed"),
    ("numbers_in_w_plus", (9216.5, 6144, Sizes), "whole number"),
    ("search", (loop(clear="never"),), "add up"),
    ("search", (loop(clear="between"),), "are gone when"),
    ("search", (loop(backward=False),), "no gradients"),
    ("search", (search_by(lambda s, c, a, ls, draw, dist: (a.step(), a.zero_grad(), dist(draw(c)).backward())),),
     "finds no gradient yet"),
    ("search", (loop(updates=0),), "never called"),
    ("search", (loop(updates=2),), "called 24 times"),
    ("search", (fresh_optimiser,), "make it once"),
    ("search", (image_outside,), "make both inside the loop"),
    ("search", (by_hand,), "never called"),
    ("search", (without_gradients,), "no_grad"),
    ("search", (loop(image=lambda draw, code: code),), "got the code"),
    ("search", (loop(image=lambda draw, code: draw(code.detach())),), "asks for gradients"),
    ("search", (loop(image=lambda draw, code: draw(draw(code))),), "takes the code"),
    ("search", (loop(image=lambda draw, code: draw(code) + 0 * draw(code)),), "drawn 24 times"),
    ("search", (loop(entry=lambda loss, *_: loss),), "item"),
    ("search", (loop(entry=lambda loss, ls, *_: loss.item() + (ls[-1] if ls else 0)),), "sum of all"),
    ("search", (loop(entry=lambda loss, ls, s, *_: (loss.item() + s * (ls[-1] if ls else 0)) / (s + 1)),),
     "mean of all"),
    ("search", (loop(entry=lambda loss, ls, s, c, draw, distance: c.grad.norm().item()),), "gradient"),
    ("search", (loop(entry=lambda loss, ls, s, *_: s),), "numbers of the steps"),
    ("search", (loop(entry=lambda loss, ls, s, *_: s + 1),), "from 1"),
    ("search", (loop(entry=lambda loss, ls, *_: ls[0] if ls else loss.item()),), "first loss"),
    ("search", (loop(entry=lambda loss, *_: 3.0),), "not what distance"),
    ("search", (search_by(lambda *_: None),), "write the body"),
    ("search", (search_by(lambda s, c, a, ls, draw, dist: (draw(c), a.step())),), "no gradients"),
    ("search", (afterwards(lambda code, losses: code),), "two things"),
    ("search", (afterwards(lambda code, losses: (code, [])),), "empty"),
    ("search", (afterwards(lambda code, losses: (code, losses[:1])),), "there is 1 loss"),
    ("search", (afterwards(lambda code, losses: (code, 2 * losses)),), "for 12 steps"),
    ("search", (afterwards(lambda code, losses: (code, losses[::-1])),), "other way round"),
    ("search", (lambda *a: (a[1].clone(), loop()(*a)[1]),), "is the start"),
    ("search", (times(lambda steps: steps - 1),), "called 11 times"),
    ("search", (times(lambda steps: steps + 1),), "called 13 times"),
    ("search", (search_by(lambda s, c, a, ls, draw, dist: (a.zero_grad(), (x := dist(draw(c))).backward(), a.step(),
                          ls.append(x.item())), make=torch.optim.SGD),), "where Adam leads"),
    ("search", (unlike_given,), "changes what it was handed"),
    ("draw_w", (lambda g, w: g.synthesis(w),), "got one row"),
    ("draw_w", (lambda g, w: g.synthesis(w.expand(-1, 12, -1)),), r"generator.num_ws"),
    ("draw_w", (lambda g, w: g(w),), "takes a z"),
    ("draw_w", (lambda g, w: g(w[:, 0]),), "been there"),
    ("draw_w", (lambda g, w: w.expand(-1, g.num_ws, -1),), "send it through synthesis"),
    ("draw_w", (lambda g, w: g.synthesis(w[:1].expand(-1, g.num_ws, -1)),), "only the first code"),
    ("draw_w", (lambda g, w: rows_of(g, w.mean(0, keepdim=True).expand_as(w)),), "averaged"),
    ("draw_w", (lambda g, w: rows_of(g, w - g.w_mean),), "subtracted"),
    ("draw_w", (lambda g, w: rows_of(g, w / g.num_ws),), "divided among"),
    ("draw_w", (lambda g, w: rows_of(g, w.detach()),), "gradient"),
    ("draw_w", (lambda g, w: (rows_of(g, w) + 1) / 2,), r"\[-1, 1\]"),
    ("draw_w", (lambda g, w: rows_of(g, 2 * w),), "whose rows are all w"),
    ("draw_w", (lambda g, w: None,), "no value"),
    ("draw_w", (lambda g, w: rows_of(g, w.mul_(1.5)),), "changes what it was handed"),
    ("false_w", ("A",), "very centre"),
    ("false_w", ("a: the mean",), "very centre"),
    ("false_w", ("B",), "how fast"),
    ("false_w", (["B"],), "how fast"),
    ("false_w", ("D",), "copies"),
    ("false_w", ("E",), "not one of"),
    ("false_w", (3,), "not one of"),
    ("false_w", ("the rows",), "not one of"),
    ("same_rows", (lambda w: None,), "no value"),
    ("same_rows", (lambda w: w.mean(dim=1),), "keeps its shape"),
    ("same_rows", (lambda w: w.mean(dim=1, keepdim=True),), "keeps its shape"),
    ("same_rows", (lambda w: w,), "nothing has changed"),
    ("same_rows", (lambda w: w[:, :1].expand_as(w),), "first one"),
    ("same_rows", (lambda w: w[:, -1:].expand_as(w),), "last one"),
    ("same_rows", (lambda w: w.mean(dim=0, keepdim=True).expand_as(w),), "dim 0"),
    ("same_rows", (lambda w: w.mean(dim=2, keepdim=True).expand_as(w),), "dim 2"),
    ("same_rows", (lambda w: w.mean(dim=(0, 1), keepdim=True).expand_as(w),), "of its own rows"),
    ("same_rows", (lambda w: w.mean(dim=(1, 2), keepdim=True).expand_as(w),), "columns"),
    ("same_rows", (lambda w: w.sum(dim=1, keepdim=True).expand_as(w),), "sum of the rows"),
    ("same_rows", (lambda w: w.median(dim=1, keepdim=True).values.expand_as(w),), "median"),
    ("same_rows", (lambda w: w - mean_rows(w),), "do not share"),
    ("same_rows", (lambda w: (w + mean_rows(w)) / 2,), "not the mean of the rows"),
    ("same_rows", (lambda w: w.copy_(mean_rows(w)),), "changes what it was handed"),
    ("same_rows", (lambda w: w.transpose(1, 2).mean(1, keepdim=True).expand_as(w),), "stopped with RuntimeError"),
    ("blind_test", ("0, 3", NAMES), "is a text"),
    ("blind_test", (3, NAMES), "one number"),
    ("blind_test", ([6], NAMES), "from 0 to 5"),
    ("blind_test", ([-1], NAMES), "from 0 to 5"),
    ("blind_test", ([1.5], NAMES), "whole number"),
    ("blind_test", (["2"], NAMES), "quotation marks"),
    ("blind_test", ([[0, 1], [2, 3]], NAMES), "one is needed"),
    ("blind_test", ([True, False, True], NAMES), "set it to a number"),
    ("blind_test", (range(6), NAMES), "all are broken"),
    ("choice_of_space", ("W", "W+", WORDS[0]), "closest to the photo"),
    ("choice_of_space", ("W", "W", WORDS[0]), "closest to the photo"),
    ("choice_of_space", ("W+", "W+", WORDS[0]), "edits hold"),
    ("choice_of_space", ("Z", "W", WORDS[0]), "least close"),
    ("choice_of_space", ("W+", "Z", WORDS[0]), "least close"),
    ("choice_of_space", ("V", "W", WORDS[0]), "not one of"),
    ("choice_of_space", ("W+", 2, WORDS[0]), "not one of"),
    ("choice_of_space", ("W+", "W", "Because it is better."), "a few more words"),
    ("choice_of_space", ("W+", "W", "The weather is fine today and I am going to take the bus to town at noon."),
     "what counts for the exact"),
    ("choice_of_space", ("W+", "W", "W+ since the error is the lowest that I saw of all three in the table today."),
     "at each stop"),
    ("choice_of_space", ("W+", "W", "A museum wants to show a portrait exactly as it is, drawn by the generator, and "
                         "to let visitors walk smoothly from their own face to the portrait's."), "repeats the"),
]  # fmt: skip
BLANK = [
    ("numbers_in_w_plus", (None, None, Sizes)),
    ("search", (None,)),
    ("draw_w", (None,)),
    ("false_w", (None,)),
    ("same_rows", (None,)),
    ("blind_test", (None, NAMES)),
    ("choice_of_space", (None, None, "")),
    ("choice_of_space", ("W+", "W", "")),
]


@pytest.mark.parametrize("name, answer", RIGHT)
def test_check_takes_right_answers(name, answer, capsys):
    getattr(lesson02, f"check_{name}")(*answer)
    assert capsys.readouterr().out.startswith(("Right:", "Both points are mentioned", "W "))


@pytest.mark.parametrize("name, answer, said", WRONG)
def test_check_names_the_mistake(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(lesson02, f"check_{name}")(*answer)


@pytest.mark.parametrize("name, answer", BLANK)
def test_check_knows_a_blank_answer(name, answer):
    with pytest.raises(NoAnswer, match="no answer yet"):
        getattr(lesson02, f"check_{name}").__wrapped__(*answer)


@pytest.mark.parametrize("name", {name for name, _ in RIGHT})
def test_check_is_tried_often(name):
    """Eight wrong and five right answers at least."""
    assert sum(name == one for one, _, _ in WRONG) >= 8
    assert sum(name == one for one, _ in RIGHT) >= 5


def test_check_numbers_in_w_plus_does_not_give_the_answer_away():
    with pytest.raises(CheckFailed) as failed:
        lesson02.check_numbers_in_w_plus(4608, 6144, Sizes)
    assert "9216" not in str(failed.value)


def test_check_blind_test_counts_each_group(capsys):
    lesson02.check_blind_test([0, 1, 3], NAMES)
    assert [line.split() for line in capsys.readouterr().out.splitlines()[:2]] == [
        ["W", "1", "of", "3", "broken"],
        ["W+,", "late", "2", "of", "3", "broken"],
    ]


# --- helpers ----------------------------------------------------------------------------------------------------------


def test_principal_directions_are_those_of_random_codes():
    """Orthonormal, sorted, and the spread of other random codes along them is the one that is told."""
    generator = small_generator()
    directions, spread = lesson02.principal_directions(generator)
    assert torch.allclose(directions @ directions.T, torch.eye(generator.w_dim), atol=1e-4)
    assert (spread.diff() <= 0).all() and spread.shape == (generator.w_dim,)
    with torch.no_grad():
        w = generator.mapping(generator.sample_z(4000, seed=1))[:, 0]
    found = (w @ directions.T).std(dim=0)
    assert torch.allclose(found[:4], spread[:4], rtol=0.1)


def test_shuffle_keeps_images_and_names_together():
    groups = {"a": torch.zeros(3, 3, 2, 2), "b": torch.ones(5, 3, 2, 2)}
    images, names = lesson02.shuffle(groups, seed=1)
    assert [{0: "a", 1: "b"}[int(x.mean())] for x in images] == names
    assert sorted(names) == list("aaabbbbb") != names
    assert names == lesson02.shuffle(groups, seed=1)[1]
