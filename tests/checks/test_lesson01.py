"""The checks of lesson 1: right answers pass, and each mistake is named."""

import pytest
import torch

from i2s import checks, crossover
from i2s.course.checks import CheckFailed


def adain(x, scale, shift):
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x / (x.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
    return x * scale[:, :, None, None] + shift[:, :, None, None]


def colours(generator, a, b, layers=lambda k: [k], norm=lambda d: d.norm()):
    mean = lambda code: generator.synthesis(code).mean(dim=(2, 3))
    return torch.stack([norm(mean(crossover(a, b, layers=layers(k))) - mean(a)) for k in range(generator.num_ws)])


SOLUTIONS = {
    "scaled_z": "same",
    "adain": adain,
    "scaled_style": "B",
    "colour_changes": colours,
    "truncate": lambda w, mean, psi: mean + psi * (w - mean),
    "truncation_words": "Near the mean the training has seen many codes, so faces are good; the price: all look alike.",
}

wide = lambda v: v[:, :, None, None]
average = lambda x: x.mean((2, 3), keepdim=True)
pixels = lambda g, a, b, k: (g.synthesis(crossover(a, b, layers=[k])) - g.synthesis(a)).norm(dim=1).mean()
MISTAKES = [
    ("scaled_z", None, "no answer"),
    ("scaled_z", "brighter", "divides z"),
    ("scaled_z", "noise", "direction"),
    ("scaled_z", "darker", "not one of"),
    ("adain", lambda x, s, b: None, "no value"),
    ("adain", lambda x, s, b: x.mean(dim=(2, 3)), "shape"),
    ("adain", lambda x, s, b: adain(x, s, torch.zeros_like(b)), "shift"),
    ("adain", lambda x, s, b: x * wide(s) + wide(b), "normalise"),
    ("adain", lambda x, s, b: (x - x.mean()) / x.std() * wide(s) + wide(b), "by itself"),
    ("adain", lambda x, s, b: (x - average(x)) / x.var((2, 3), keepdim=True) * wide(s) + wide(b), "root"),
    ("adain", lambda x, s, b: (x - average(x)) / x.std((2, 3), False, keepdim=True) * wide(s) + wide(b), "1e-8"),
    ("adain", lambda x, s, b: adain(x, 1 + s, b), "1 was added"),
    ("adain", lambda x, s, b: adain(x, s, b) * wide(s), "shift last"),
    ("scaled_style", "", "no answer"),
    ("scaled_style", "A", "linear"),
    ("scaled_style", "C", "ReLU"),
    ("scaled_style", "D", "not one of"),
    ("colour_changes", lambda g, a, b: None, "no value"),
    ("colour_changes", lambda g, a, b: colours(g, a, b).sum(), "shape"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, lambda k: range(k, 4)), "from k on"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, lambda k: range(k + 1)), "up to k"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.square().sum()), "squares"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.abs().mean()), "mean colour"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.abs().sum()), "added up"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.abs().max()), "mean colour"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.sum()), "mean colour"),
    ("colour_changes", lambda g, a, b: colours(g, b, a), "start from a"),
    ("colour_changes", lambda g, a, b: torch.stack([pixels(g, a, b, k) for k in range(4)]), "average each image"),
    ("truncate", lambda w, m, p: None, "no value"),
    ("truncate", lambda w, m, p: p * w, "towards 0"),
    ("truncate", lambda w, m, p: w + p * (m - w), "wrong way"),
    ("truncate", lambda w, m, p: m + p * w, "leave w alone"),
    ("truncation_words", "", "sentences"),
    ("truncation_words", "It looks better because of truncation and that is all that I can say about it", "say where"),
    ("truncation_words", "Because the training has seen many of the codes near to the middle of W", "what is lost"),
]  # fmt: skip


OTHERS = [
    ("scaled_z", " 'Same'. "),
    ("adain", lambda x, s, b: torch.nn.functional.instance_norm(x, eps=1e-8) * wide(s) + wide(b)),
    ("truncate", lambda w, m, p: p * w + (1 - p) * m),
    (
        "truncation_words",
        "Codes close to w-bar were common, so the network draws them well. In exchange there is less variation.",
    ),
    ("truncation_words", "The network has practised most on typical faces. We pay for it with less varied people."),
    (
        "truncation_words",
        "Averaging towards the centre removes what the network never learned, but all end up identical.",
    ),
]


@pytest.mark.parametrize("name, answer", OTHERS)
def test_other_right_answers_pass(name, answer):
    getattr(checks, f"check_{name}")(answer)


def test_a_colour_may_be_mixed_row_by_row():
    def by_hand(generator, a, b):
        found = []
        for k in range(generator.num_ws):
            code = a.clone()
            code[:, k] = b[:, k]
            move = generator.synthesis(code).mean(dim=(2, 3)) - generator.synthesis(a).mean(dim=(2, 3))
            found.append(move.square().sum().sqrt())
        return torch.stack(found)

    checks.check_colour_changes(by_hand)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_the_solution_passes(name, capsys):
    getattr(checks, f"check_{name}")(SOLUTIONS[name])
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_each_mistake_is_named(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(checks, f"check_{name}")(answer)


def test_an_unknown_check_is_an_attribute_error():
    with pytest.raises(AttributeError):
        checks.check_nothing_like_it  # noqa: B018


def test_a_notebook_shows_the_sentence_and_no_traceback():
    assert CheckFailed("x is too large.")._render_traceback_() == ["Not yet: x is too large."]
