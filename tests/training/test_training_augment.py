"""Augmentation: what each change does, how often, and how p follows the discriminator."""

import math

import pytest
import torch
from tiny_run import random_faces

from i2s.images import dequantize
from training.augment import (
    PIPELINES,
    STRONGEST,
    AdaptiveAugment,
    affine,
    affine_matrices,
    colour,
    cutout,
    translate,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_augment_changes_nothing_at_p_0(pipeline):
    images = dequantize(random_faces(8))
    augmented = AdaptiveAugment(rng(), pipeline)(images)
    torch.testing.assert_close(augmented, images, rtol=0, atol=1e-4 if pipeline == "ada" else 0)  # ada resamples


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_augment_changes_every_image_at_p_1_and_repeats_with_its_rng(pipeline):
    images = dequantize(random_faces(8))
    first, second = (AdaptiveAugment(rng(), pipeline, p=1.0)(images) for _ in range(2))
    assert torch.equal(first, second) and first.shape == images.shape
    assert (first != images).flatten(1).any(1).all()


def test_diffaugment_makes_each_change_with_probability_p():
    many = torch.rand(4000, 3, 4, 4, generator=rng()) * 2 - 1
    augment = AdaptiveAugment(rng(), p=0.3)
    same = (augment(many) == many).flatten(1).all(1).float().mean()
    # at 4 px there is no room to translate; a cutout may miss no pixel, as 40 % of 4 px is more than one
    assert abs(same - 0.7**2) < 0.03


def test_ada_makes_each_change_with_probability_p():
    count = 4000
    matrices = affine_matrices(count, torch.tensor(0.3), rng())
    moved = matrices[:, :, 2] != 0  # translation across, down
    assert moved.float().mean(dim=0).tolist() == pytest.approx([0.3, 0.3], abs=0.03)
    unchanged = (matrices[:, :, :2] == torch.eye(2)).flatten(1).all(1).float().mean()
    # scale, stretch, a quarter turn (one of four is none), any angle
    assert unchanged == pytest.approx(0.7 * 0.7 * (1 - 0.3 * 0.75) * math.sqrt(0.7), abs=0.03)


def test_affine_moves_and_turns_as_its_matrix_says():
    images = dequantize(random_faces(2))
    left = torch.tensor([[1.0, 0, 0.25], [0, 1, 0]])  # the place read lies an eighth of the width to the right
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0]])
    moved, turned = affine(images, torch.stack([left, quarter]))
    torch.testing.assert_close(moved[:, :, :14], images[0, :, :, 2:])
    torch.testing.assert_close(turned, images[1].rot90(1, (1, 2)), rtol=0, atol=1e-5)


def test_augment_is_differentiable():
    images = dequantize(random_faces(4)).double().requires_grad_()
    u = torch.rand(4, 4, generator=rng(), dtype=torch.float64)
    small = images[:1, :, :8, :8].detach().requires_grad_()
    for change in (colour, translate, cutout):
        assert torch.autograd.gradcheck(lambda x, change=change: change(x, u[:1]), small)
    for pipeline in PIPELINES:
        augment = AdaptiveAugment(rng(), pipeline, p=1.0)
        (gradient,) = torch.autograd.grad(augment(images.float()).square().sum(), images)
        assert gradient.abs().flatten(1).sum(1).min() > 0


def test_p_follows_the_target():
    augment = AdaptiveAugment(rng(), images=1000)
    for sign, seen, p in ((0.9, 100, 0.1), (0.2, 40, 0.06), (-1.0, 500, 0.0), (1.0, 5000, STRONGEST)):
        augment.update(torch.tensor(sign), seen)
        assert float(augment.p) == pytest.approx(p)
    assert STRONGEST < 1
    least = AdaptiveAugment(rng(), least=0.1)
    least.update(torch.tensor(-1.0), 500_000)
    assert float(least.p) == 0.1


def test_translate_moves_pixels_and_fills_with_black():
    x = torch.rand(3, 3, 16, 16, generator=rng())
    u = torch.tensor([[1.0, 0.5, 0, 0], [0.5, 0.0, 0, 0], [0.5, 0.5, 0, 0]])  # down ends, left ends, nothing
    y = translate(x, u)
    assert torch.equal(y[0, :, :14], x[0, :, 2:]) and (y[0, :, 14:] == -1).all()  # an eighth of 16 is 2
    assert torch.equal(y[1, :, :, 2:], x[1, :, :, :14]) and (y[1, :, :, :2] == -1).all()
    assert torch.equal(y[2], x[2])


def test_cutout_greys_out_a_square():
    x = torch.ones(2, 3, 20, 20)
    y = cutout(x, torch.tensor([[0.51, 0.51, 0, 0], [0.01, 0.01, 0, 0]]))
    assert y[0].eq(0).sum() == 3 * 8 * 8 and (y[0, :, 7:15, 7:15] == 0).all()  # 40 % of 20 px
    assert y[1].eq(0).sum() == 3 * 5 * 5 and (y[1, :, :5, :5] == 0).all()  # in the corner a part of it


def test_colour_changes_what_it_says():
    x = dequantize(random_faces(1)).double()
    middle = torch.full((1, 4), 0.5, dtype=torch.float64)
    assert torch.allclose(colour(x, middle), x)
    brighter, grey, flat = (middle.clone() for _ in range(3))
    brighter[0, 0], grey[0, 1], flat[0, 2] = 1.0, 0.0, 0.0
    assert torch.allclose(colour(x, brighter), x + 0.5)
    assert torch.allclose(colour(x, grey), x.mean(1, keepdim=True).expand_as(x))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    assert torch.allclose(colour(x, flat), mean + (x - mean) / 2)
