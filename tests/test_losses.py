"""The loss of the paper: its formula, its normalisation, its gradients."""

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from torch import nn

from i2s.errors import SettingsError
from i2s.losses import TAP_NAMES, ImageLoss, Perceptual, PixelMSE, Sum
from i2s.losses.slim import load_slim
from i2s.losses.vgg16 import VGG16


class Eye(nn.Module):
    """Four maps of four shapes from one pixel each: tiling an image tiles its features. Counts its calls."""

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.mixes = [torch.randn(c, 3, generator=rng, dtype=torch.float64) for c in (4, 5, 6, 7)]
        self.calls = 0

    def features(self, images):
        self.calls += 1
        small = [images, images, images[:, :, ::4, ::4], images[:, :, ::8, ::8]]
        return [torch.einsum("cr,nrhw->nchw", m.to(images), x).tanh() for m, x in zip(self.mixes, small)]


def pictures(count=2, side=16, seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side, generator=rng, dtype=dtype) * 2 - 1


def distance(loss, images, targets):
    return sum(loss(images, loss.prepare(targets)).values())


def test_the_papers_formula_written_out():
    eye, images, targets = Eye(), pictures(seed=1), pictures(seed=2)
    terms = ImageLoss(eye, 0.5, (1, 2, 3, 4))(images, ImageLoss(eye).prepare(targets))
    for n in range(2):
        u, v = (images[n] + 1) / 2, (targets[n] + 1) / 2
        expected = {"mse": 0.5 / u.numel() * (u - v).norm() ** 2}
        for k, name in enumerate(TAP_NAMES):
            a, b = eye.features(images)[k][n], eye.features(targets)[k][n]
            expected[name] = (k + 1) / a.numel() * (a - b).norm() ** 2
        assert {name: pytest.approx(float(value)) for name, value in expected.items()} == {
            name: float(value[n]) for name, value in terms.items()
        }


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("side", [16, 48])
def test_terms_depend_neither_on_the_size_nor_on_the_batch(count, side):
    """Defect 3: a wrong N. A constant difference of 0.5 in [-1, 1] is 0.25^2 in [0, 1], at any size and batch."""
    targets = torch.full((count, 3, side, side), -0.25, dtype=torch.float64)
    terms = ImageLoss(Eye())(targets + 0.5, ImageLoss(Eye()).prepare(targets))
    torch.testing.assert_close(terms["mse"], torch.full((count,), 0.0625, dtype=torch.float64))
    one = ImageLoss(Eye())(targets[:1, :, :16, :16] + 0.5, ImageLoss(Eye()).prepare(targets[:1, :, :16, :16]))
    for name in TAP_NAMES:
        torch.testing.assert_close(terms[name], one[name].expand(count))


def test_pixel_range():
    """[0, 1] by default; the same weight in [-1, 1] counts four times."""
    images, targets = pictures(seed=1), pictures(seed=2)
    default, wide = PixelMSE(), PixelMSE(pixel_range=(-1, 1))
    torch.testing.assert_close(4 * default(images, targets)["mse"], wide(images, targets)["mse"])
    torch.testing.assert_close(default(images, targets)["mse"], ((images - targets) / 2).square().flatten(1).mean(1))
    whole = ImageLoss(Eye(), tap_weights=(0,) * 4, pixel_range=(-1, 1))
    torch.testing.assert_close(distance(whole, images, targets), wide(images, targets)["mse"])


seeds = st.integers(0, 10_000)


@hypothesis.given(seed=seeds)
@hypothesis.settings(max_examples=15, deadline=None)
def test_distance_is_zero_for_equal_images_only_and_symmetric(seed):
    loss, a, b = ImageLoss(Eye()), pictures(seed=seed), pictures(seed=seed + 1)
    assert torch.equal(distance(loss, a, a), torch.zeros(2, dtype=torch.float64))
    assert (distance(loss, a, b) > 0).all()
    torch.testing.assert_close(distance(loss, a, b), distance(loss, b, a))
    b[0] = a[0]
    assert distance(loss, a, b)[0] == 0 < distance(loss, a, b)[1]


@hypothesis.given(seed=seeds)
@hypothesis.settings(max_examples=15, deadline=None)
def test_perceptual_distance_is_zero_exactly_where_the_features_are_equal(seed):
    """Pixels that no tap looks at change the pixel term alone."""
    eye = Eye()
    eye.mixes = [m * torch.tensor([1.0, 1.0, 0.0]) for m in eye.mixes]  # blind to blue
    loss, a = ImageLoss(eye), pictures(seed=seed)
    b = a.clone()
    b[:, 2] = pictures(seed=seed + 1)[:, 2]
    terms = loss(a, loss.prepare(b))
    assert all((terms[name] == 0).all() for name in TAP_NAMES) and (terms["mse"] > 0).all()


@pytest.mark.parametrize("net", [Eye(), load_slim().double()], ids=["eye", "slim"])
def test_an_images_loss_and_gradient_do_not_depend_on_its_neighbours(net):
    loss, images, targets = ImageLoss(net), pictures(3, seed=1), pictures(3, seed=2)
    together = images.clone().requires_grad_()
    values = distance(loss, together, targets)
    values.sum().backward()
    for n in range(3):
        alone = images[n : n + 1].clone().requires_grad_()
        value = distance(loss, alone, targets[n : n + 1])
        value.sum().backward()
        torch.testing.assert_close(value[0], values[n])
        torch.testing.assert_close(alone.grad[0], together.grad[n])


def test_weights_scale_their_own_terms():
    images, targets = pictures(seed=1), pictures(seed=2)
    plain, scaled = (
        loss(images, loss.prepare(targets)) for loss in (ImageLoss(Eye()), ImageLoss(Eye(), 5.0, (1, 0.5, 2, 3)))
    )
    for name, factor in zip(("mse", *TAP_NAMES), (5.0, 1, 0.5, 2, 3)):
        torch.testing.assert_close(scaled[name], factor * plain[name])


def test_features_of_the_target_are_computed_once_and_carry_no_gradient():
    """Defect 8."""
    eye, targets = Eye(), pictures(seed=2).requires_grad_()
    loss = ImageLoss(eye)
    prepared = loss.prepare(targets)
    assert eye.calls == 1
    for _ in range(3):
        images = pictures(seed=1).requires_grad_()
        sum(loss(images, prepared).values()).sum().backward()
        assert images.grad.abs().sum() > 0
    assert eye.calls == 4 and targets.grad is None


def test_terms_of_weight_0_are_left_out():
    eye, images, targets = Eye(), pictures(seed=1), pictures(seed=2)
    loss = ImageLoss(eye, tap_weights=(0, 0, 0, 0))
    assert set(loss(images, loss.prepare(targets))) == {"mse"} and eye.calls == 0
    loss = ImageLoss(eye, 0, (0, 1, 0, 1))
    assert set(loss(images, loss.prepare(targets))) == {"conv1_2", "conv4_2"}


def test_terms_compose():
    images, targets = pictures(seed=1), pictures(seed=2)
    loss = Sum(PixelMSE(2.0), Perceptual(Eye(), (1, 0, 0, 0)))
    assert set(loss(images, loss.prepare(targets))) == {"mse", "conv1_1"}
    twice = Sum(PixelMSE(), PixelMSE())
    with pytest.raises(SettingsError, match="mse"):
        twice(images, twice.prepare(targets))


@pytest.mark.parametrize(
    "settings",
    [
        {"mse_weight": -1.0},
        {"mse_weight": float("nan")},
        {"mse_weight": float("inf")},
        {"tap_weights": (1, 1, 1)},
        {"tap_weights": (1, 1, 1, -2)},
        {"mse_weight": 0, "tap_weights": (0, 0, 0, 0)},
        {"pixel_range": (1, 0)},
    ],
)
def test_settings_out_of_range(settings):
    with pytest.raises(SettingsError):
        ImageLoss(Eye(), **settings)


def test_images_and_photos_of_different_shapes():
    """One photo is not silently compared with many images."""
    loss = ImageLoss(Eye())
    with pytest.raises(SettingsError, match="differ in shape"):
        loss(pictures(2), loss.prepare(pictures(1)))


@pytest.mark.parametrize("make", [load_slim, VGG16], ids=["slim", "vgg16"])
def test_gradient_against_finite_differences(make):
    """In float64, along random directions."""
    torch.manual_seed(0)
    net = make().double().requires_grad_(False)
    loss, targets = ImageLoss(net), pictures(1, 24, seed=2)
    prepared = loss.prepare(targets)
    images = pictures(1, 24, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(sum(loss(images, prepared).values()).sum(), images)
    for seed in range(3):
        direction = pictures(1, 24, seed=10 + seed)
        with torch.no_grad():
            ahead, behind = (sum(loss(images + h * direction, prepared).values()) for h in (1e-7, -1e-7))
        slope = float((ahead - behind) / 2e-7)
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-5)
