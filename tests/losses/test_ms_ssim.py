"""MS-SSIM against scikit-image at one size, against a package at five, and in its corners."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from terms import pictures

from i2s.errors import SettingsError
from i2s.losses import MSSSIM, Masked
from i2s.losses.ms_ssim import ms_ssim


def waves(side):
    """A pair of pictures that can be written down."""
    y, x = torch.meshgrid(*[torch.arange(side, dtype=torch.float64)] * 2, indexing="ij")
    a = torch.stack([torch.sin(x * f / 7 + y / (5 + f)) for f in (1.0, 2.0, 3.0)])[None] * 0.8
    return a, a * 0.7 + 0.2 * torch.cos(x * y / 97)


@pytest.mark.parametrize("side", [11, 16, 21])
def test_at_one_size_it_is_the_ssim_of_scikit_image(side):
    a, b = pictures(3, side, seed=1), pictures(3, side, seed=2)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = [
        structural_similarity(*(((x + 1) / 2).numpy() for x in pair), channel_axis=0, **settings) for pair in zip(a, b)
    ]
    np.testing.assert_allclose(ms_ssim(a, b), expected, rtol=1e-10)


@pytest.mark.parametrize("side, expected", [(192, 0.9162085), (256, 0.9216694)])
def test_at_five_sizes_it_is_the_ms_ssim_of_others(side, expected):
    """Of pytorch-msssim 1.0.0: ms_ssim((a + 1) / 2, (b + 1) / 2, data_range=1)."""
    a, b = waves(side)
    assert float(ms_ssim(a, b)) == pytest.approx(expected, abs=3e-7)


def test_sizes_that_a_picture_holds():
    """64, 32 and 16 px for one of 64: what is alike at the first size only differs less than what is alike at none."""
    a, _ = waves(64)
    grain = torch.tensor([0.2, -0.2]).repeat(64, 32).double()  # gone at half the size
    coarse = torch.nn.functional.interpolate(grain[None, None, :4, :4], 64, mode="nearest")
    assert float(ms_ssim(a, a + grain)) > float(ms_ssim(a, a + coarse))
    one = float(ms_ssim(a[..., :21, :21], (a + grain)[..., :21, :21]))  # plain SSIM sees nothing but the grain
    assert one < float(ms_ssim(a, a + grain)) - 0.2


def test_the_smallest_picture_of_two_sizes():
    """Half of 22 px just holds the window; the grain of one pixel is gone there."""
    a, grain = waves(22)[0], torch.tensor([0.2, -0.2]).repeat(22, 11).double()
    fine = ms_ssim(a[..., :21, :21], (a + grain)[..., :21, :21])
    assert float(ms_ssim(a, a + grain)) > float(fine) + 0.2


def test_negatives_have_a_finite_gradient():
    """A mean structure below 0 has no power of 0.0448; it must not make the gradient NaN."""
    a, _ = waves(64)
    images = (-a).requires_grad_()
    (found,) = MSSSIM()(images, a)["ms_ssim"]
    found.backward()
    assert 0.9 < found.item() <= 1 and images.grad.isfinite().all()


def test_a_mask_within_the_border_that_no_window_fits():
    """Nothing to look at is no difference, and not NaN."""
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    mask[..., :2] = 1
    masked = Masked(MSSSIM(), mask)
    assert float(masked(pictures(1, 16, 1), masked.prepare(pictures(1, 16, 2)))["ms_ssim"]) == 0


def test_too_small():
    with pytest.raises(SettingsError, match="11 px"):
        MSSSIM().prepare(pictures(1, 10))
