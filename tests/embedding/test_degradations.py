"""Degradations of images, and masks: what they do, that gradients pass, and what cannot be."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.autograd import gradcheck

from i2s.embedding.degradations import (
    Blur,
    Compose,
    Downsample,
    Grey,
    Inpaint,
    Noise,
    box_mask,
    circle_mask,
    half_mask,
    soften,
)
from i2s.errors import SettingsError

ALL = {
    "inpaint": Inpaint(half_mask(24, "left")),
    "grey": Grey(),
    "area": Downsample(8),
    "bicubic": Downsample(9, "bicubic"),
    "blur": Blur(1.2),
    "noise": Noise(0.2),
    "compose": Compose((Grey(), Blur(0.8), Downsample(12))),
}
each = pytest.mark.parametrize("degrade", ALL.values(), ids=ALL)


def pictures(count=2, side=24, seed=0, dtype=torch.float64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


@each
def test_gradients_pass(degrade):
    images = pictures(1).requires_grad_()
    assert gradcheck(degrade, (images,), fast_mode=True)


@each
@hypothesis.given(seed=st.integers(0, 10_000))
@hypothesis.settings(max_examples=8, deadline=None)
def test_each_image_is_degraded_by_itself(degrade, seed):
    images = pictures(3, seed=seed, dtype=torch.float32)
    found = degrade(images)
    assert found.shape[:2] == (3, 3) and found.dtype == torch.float32
    for n in range(3):
        torch.testing.assert_close(degrade(images[n : n + 1])[0], found[n])


@each
def test_what_is_lost_is_lost_on_both_sides(degrade):
    """Of equal images the degraded ones are equal, to the last bit; else a perfect embedding would cost something."""
    assert torch.equal(degrade(pictures()), degrade(pictures()))


def test_inpaint():
    images = pictures()
    found = ALL["inpaint"](images)
    assert torch.equal(found[..., :12], images[..., :12]) and (found[..., 12:] == 0).all()
    changed = images.clone()
    changed[..., 12:] = 0.7
    assert torch.equal(ALL["inpaint"](changed), found)
    own = torch.cat([half_mask(24, side) for side in ("left", "top")])
    assert torch.equal(Inpaint(own)(images)[1, :, 12:], torch.zeros(3, 12, 24).double())


def test_grey_is_the_mean_of_the_channels():
    images = pictures()
    found = Grey()(images)
    assert torch.equal(found[:, 0], found[:, 2])
    torch.testing.assert_close(found[:, 1], (images[:, 0] + images[:, 1] + images[:, 2]) / 3)
    torch.testing.assert_close(Grey()(found), found)


def test_downsample():
    images = pictures()
    torch.testing.assert_close(Downsample(8)(images)[0, 1, 2, 3], images[0, 1, 6:9, 9:12].mean())
    assert Downsample(12, "bicubic")(pictures()[:, :, :18]).shape == (2, 3, 12, 16)
    for mode in ("area", "bicubic"):
        flat = torch.full((1, 3, 24, 24), 0.3)
        torch.testing.assert_close(Downsample(8, mode)(flat), torch.full((1, 3, 8, 8), 0.3))
        assert torch.equal(Downsample(24, mode)(images), images)
    # grain of one pixel is gone: without a filter before it, every third pixel would be a stripe
    stripes = torch.tensor([1.0, -1.0]).repeat(12).expand(1, 3, 24, 24)
    assert Downsample(8, "bicubic")(stripes)[..., 1:-1].abs().max() < 0.2


def test_blur_is_the_gaussian_of_scipy():
    image = pictures(1)
    expected = np.stack([gaussian_filter(x, 1.2, mode="mirror", radius=4) for x in image[0].numpy()])
    np.testing.assert_allclose(Blur(1.2)(image)[0], expected, atol=1e-12)


def test_noise_is_fixed_by_its_seed():
    images = torch.zeros(2, 3, 64, 64)
    grain = Noise(0.2, seed=1)(images)
    assert torch.equal(grain[0], grain[1]) and torch.equal(grain, Noise(0.2, seed=1)(images))
    assert not torch.equal(grain, Noise(0.2, seed=2)(images))
    assert float(grain.std()) == pytest.approx(0.2, rel=0.03) and abs(float(grain.mean())) < 0.01


def test_blur_takes_grain_away_and_leaves_shapes():
    """What denoising lives on."""
    x = torch.linspace(0, 6, 64).sin().expand(1, 3, 64, 64)
    noisy = Noise(0.3)(x)
    before, after = (noisy - x).std(), (Blur(2)(noisy) - Blur(2)(x)).std()
    assert after < 0.2 * before and (Blur(2)(x) - x).abs().mean() < 0.03


def test_compose_goes_from_first_to_last():
    images = pictures()
    assert torch.equal(Compose((Grey(), Downsample(8)))(images), Downsample(8)(Grey()(images)))
    assert torch.equal(Compose(())(images), images)
    assert Compose([Grey()]) == Compose((Grey(),))


# ---- masks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side, rows, columns", [
    ("left", slice(None), slice(0, 4)), ("right", slice(None), slice(4, 8)),
    ("top", slice(0, 3), slice(None)), ("bottom", slice(3, 6), slice(None)),
])  # fmt: skip
def test_half_masks(side, rows, columns):
    mask = half_mask((6, 8), side)
    expected = torch.zeros(1, 1, 6, 8)
    expected[..., rows, columns] = 1
    assert torch.equal(mask, expected)


def test_box_mask():
    mask = box_mask((10, 20), left=0.5, top=0.2, right=1, bottom=0.4)
    expected = torch.zeros(1, 1, 10, 20)
    expected[..., 2:4, 10:] = 1
    assert torch.equal(mask, expected)


@pytest.mark.parametrize("size", [np.int64(8), np.array([8, 8]), torch.tensor(8), (np.int32(8), 8), [8, 8]])
def test_masks_take_sizes_of_numpy(size):
    assert torch.equal(half_mask(size), half_mask(8)) and torch.equal(circle_mask(size), circle_mask(8))


@pytest.mark.parametrize("make", [Blur, Noise])
def test_degradations_store_numbers_of_python(make):
    for sigma in (np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5)):
        assert make(sigma) == make(0.5) and type(make(sigma).sigma) is float
    assert type(Downsample(np.int64(8)).size) is int


def test_circle_mask():
    mask = circle_mask(200, (0.5, 0.4), 0.2)
    assert float(mask.mean()) == pytest.approx(np.pi * 0.04, rel=0.01)
    assert mask[0, 0, 80, 100] == 1 and mask[0, 0, 160, 100] == 0
    soft = circle_mask(200, (0.5, 0.4), 0.2, blur=0.1)
    assert soft[0, 0, 80, 100:].diff().max() <= 0 and 0 < float(soft[0, 0, 80, 100:].diff().abs().max()) < 0.1
    assert float(soft[0, 0, 80, 140]) == pytest.approx(0.5, abs=0.05)  # the edge lies half inside, half outside
    assert (soft[0, 0, 80, 151:] == 0).all() and (soft[0, 0, 80, 100:129] == 1).all()


def test_soften():
    mask = soften(box_mask(32, 0.25, 0.25, 0.75, 0.75), 2)
    assert mask.shape == (1, 1, 32, 32) and 0 <= mask.min() and mask.max() <= 1
    assert 0.3 < float(mask[0, 0, 16, 8]) < 0.7
    Inpaint(mask)  # may be one


# ---- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Inpaint(torch.ones(4, 4)), "tensor of floats"),
        (lambda: Inpaint(torch.full((1, 1, 4, 4), 2.0)), "beyond 0..1"),
        (lambda: Inpaint(torch.zeros(1, 1, 4, 4)), "0 everywhere"),
        (lambda: Inpaint(torch.ones(1, 1, 4, 4))(pictures()), "make it for their size"),
        (lambda: Inpaint(torch.ones(3, 1, 24, 24))(pictures()), "make it for their size"),
        (lambda: Downsample(8, "nearest"), "'area' or 'bicubic'"),
        (lambda: Downsample(0), "at least 1"),
        (lambda: Downsample(25)(pictures()), "images have 24"),
        (lambda: Blur(0), "above 0"),
        (lambda: Blur(float("nan")), "above 0"),
        (lambda: Blur(8)(pictures()), "needs more than 24 px"),
        (lambda: Noise(-1), "above 0"),
        (lambda: half_mask(8, "middle"), "'left', 'right'"),
        (lambda: half_mask(0), "at least 1 px"),
        (lambda: box_mask(8, 0.5, 0, 0.5, 1), "left < right"),
        (lambda: box_mask(8, 0.01, 0.01, 0.02, 0.02), "no pixel"),
        (lambda: circle_mask(8, (2, 2), 0.1), "no pixel"),
        (lambda: circle_mask(8, radius=0), "above 0"),
        (lambda: circle_mask(8, blur=-1), "not below"),
    ],
)
def test_settings_out_of_range(make, says):
    with pytest.raises(SettingsError, match=says):
        make()
