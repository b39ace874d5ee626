"""The checks of lesson 3: right answers pass, and each mistake is named."""

import pytest
import torch

from i2s import checks
from i2s.checks.core import CheckFailed

DIMS = (1, 2, 3)
PHOTO = torch.zeros(1, 3, 8, 8)
COPIES = (PHOTO, PHOTO + 0.5, PHOTO + 0.1)  # "moved" is further away than "blurred"


def squares(net, a, b):
    return [(x - y).square() for x, y in zip(net.features(a), net.features(b))]


def perceptual(net, a, b, weights):
    return sum(w * s.mean(dim=DIMS) for w, s in zip(weights, squares(net, a, b)))


def runs(mse=(1, 0, 1), taps=((0,) * 4, (1,) * 4, (1,) * 4), names=("mse", "perceptual", "both"), keep=True):
    def three_losses(embed, photo, options):
        rest = options if keep else {}
        return {n: embed(photo, mse_weight=m, tap_weights=t, **rest) for n, m, t in zip(names, mse, taps)}

    return three_losses


SOLUTIONS = {
    "smaller_mse": ("blurred", *COPIES),
    "mse": (lambda a, b: ((a - b) / 2).square().mean(dim=DIMS),),
    "perceptual_loss": (perceptual,),
    "three_losses": (runs(),),
    "range_factor": (4,),
    "large_loss": ("B",),
}
MISTAKES = [
    ("smaller_mse", (None, *COPIES), "no answer"),
    ("smaller_mse", ("moved", *COPIES), "edges are elsewhere"),
    ("smaller_mse", ("both", *COPIES), "not one of"),
    ("mse", (lambda a, b: None,), "no value"),
    ("mse", (lambda a, b: ((a - b) / 2).square().mean(),), "one number for each|One number"),
    ("mse", (lambda a, b: (a - b).square().mean(dim=DIMS),), "four times"),
    ("mse", (lambda a, b: (a - b).square().mean(dim=DIMS) / 2,), "twice too large"),
    ("mse", (lambda a, b: ((a - b) / 2).square().sum(dim=DIMS),), "sum of the squares"),
    ("mse", (lambda a, b: ((a - b) / 2).abs().mean(dim=DIMS),), "absolute"),
    ("perceptual_loss", (lambda *a: None,), "no value"),
    ("perceptual_loss", (lambda n, a, b, w: perceptual(n, a, b, w).sum(),), "shape"),
    ("perceptual_loss", (lambda n, a, b, w: sum(v * s.sum(dim=DIMS) for v, s in zip(w, squares(n, a, b))),), "N_j"),
    ("perceptual_loss", (lambda n, a, b, w: perceptual(n, a, b, (1, 1, 1, 1)),), "weights are not used"),
    ("perceptual_loss", (lambda n, a, b, w: perceptual(n, a, b, w) / 4,), "mean over the taps"),
    ("perceptual_loss", (lambda n, a, b, w: w[-1] * squares(n, a, b)[-1].mean(dim=DIMS),), "only one tap"),
    ("perceptual_loss", (lambda n, a, b, w: sum(v * s.mean(dim=DIMS).sqrt() for v, s in zip(w, squares(n, a, b))),), "root"),
    ("three_losses", (lambda *a: None,), "dict"),
    ("three_losses", (runs(names=("mse", "perceptual", "all")),), "no both"),
    ("three_losses", (runs(taps=((1,) * 4,) * 3),), "still has features"),
    ("three_losses", (runs(mse=(1, 1, 1)),), "still has pixels"),
    ("three_losses", (runs(keep=False),), "options"),
    ("range_factor", (None,), "number"),
    ("range_factor", (2,), "squared"),
    ("range_factor", (0.25,), "other way"),
    ("range_factor", (1,), "twice as wide"),
    ("large_loss", (None,), "no answer"),
    ("large_loss", ("A",), "255"),
    ("large_loss", ("C",), "no root"),
]  # fmt: skip


@pytest.mark.parametrize("name", SOLUTIONS)
def test_the_solution_passes(name, capsys):
    getattr(checks, f"check_{name}")(*SOLUTIONS[name])
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_each_mistake_is_named(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(checks, f"check_{name}")(*answer)
