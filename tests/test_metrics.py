"""Metrics against their definitions."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from i2s.errors import SettingsError
from i2s.metrics import psnr, ssim


def pictures(count=2, side=32, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_psnr_of_a_known_error():
    """0.2 in [-1, 1] is 0.1 in [0, 1]: 20 dB; and as scikit-image has it."""
    targets = torch.zeros(1, 3, 16, 16)
    assert float(psnr(targets + 0.2, targets)) == pytest.approx(20, abs=1e-5)
    a, b = pictures(seed=1), pictures(seed=2)
    expected = [peak_signal_noise_ratio((y.numpy() + 1) / 2, (x.numpy() + 1) / 2, data_range=1) for x, y in zip(a, b)]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-5)


def test_equal_images():
    images = pictures()
    assert torch.isinf(psnr(images, images)).all()
    torch.testing.assert_close(ssim(images, images), torch.ones(2, dtype=torch.float64))


def test_each_image_has_its_own_value():
    targets = pictures(3)
    images = targets + torch.tensor([0.02, 0.1, 0.4])[:, None, None, None] * torch.randn(targets.shape)
    for measure in (psnr, ssim):
        values = measure(images, targets)
        assert values.shape == (3,) and (values.diff() < 0).all()
        torch.testing.assert_close(measure(images[1:2], targets[1:2]), values[1:2])


def test_ssim_of_flat_images():
    """Two flat pictures differ in luminance alone: (2ab + c) / (a^2 + b^2 + c), c = 0.01^2."""
    a, b = torch.full((1, 3, 16, 16), -0.4), torch.full((1, 3, 16, 16), 0.2)  # 0.3 and 0.6 in [0, 1]
    assert float(ssim(a, b)) == pytest.approx((2 * 0.18 + 1e-4) / (0.09 + 0.36 + 1e-4), abs=1e-6)


def test_images_are_clamped_first():
    targets = torch.ones(1, 3, 16, 16)
    assert torch.isinf(psnr(targets + 5, targets)) and float(ssim(targets + 5, targets)) == pytest.approx(1)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_shapes_that_do_not_fit(measure):
    with pytest.raises(SettingsError):
        measure(pictures(2), pictures(1))
    with pytest.raises(SettingsError):
        ssim(pictures(1, 8), pictures(1, 8))
