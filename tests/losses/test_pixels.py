"""The pixel terms."""

import torch
from helpers import FakeFeatureNet
from terms import pictures

from i2s.losses import ImageLoss, PixelMSE


def test_pixel_mse_range():
    """[0, 1] by default; the same weight in [-1, 1] counts four times."""
    images, targets = pictures(seed=1), pictures(seed=2)
    default, wide = PixelMSE(), PixelMSE(pixel_range=(-1, 1))
    torch.testing.assert_close(4 * default(images, targets)["mse"], wide(images, targets)["mse"])
    torch.testing.assert_close(default(images, targets)["mse"], ((images - targets) / 2).square().flatten(1).mean(1))
    whole = ImageLoss(FakeFeatureNet(), tap_weights=(0,) * 4, pixel_range=(-1, 1))
    torch.testing.assert_close(sum(whole(images, whole.prepare(targets)).values()), wide(images, targets)["mse"])
