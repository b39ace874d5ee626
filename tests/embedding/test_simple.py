"""The paper's five steps in one function, against the library's own loop."""

import numpy as np
import pytest
import torch
from helpers import FakeFeatureNet, targets
from short_run import run

from i2s.embedding import embed_simple
from i2s.losses import ImageLoss


def test_embed_simple_finds_what_embed_finds(generator):
    photos = targets(generator, 2)
    w_plus, losses = embed_simple(photos, generator, ImageLoss(FakeFeatureNet()), steps=12)
    result = run(generator, photos)
    assert losses.shape == (13, 2) and not w_plus.requires_grad
    torch.testing.assert_close(losses, result.loss, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(w_plus, result.w_plus, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_embed_simple_switches_gradients_on(generator, mode):
    photos, loss = targets(generator, 2), ImageLoss(FakeFeatureNet())
    expected, _ = embed_simple(photos, generator, loss, steps=2)
    with mode():
        w_plus, _ = embed_simple(photos, generator, loss, steps=np.int64(2))
    assert torch.equal(w_plus, expected)


def test_embed_simple_takes_a_code_and_leaves_it(generator):
    code = torch.randn(1, generator.num_ws, generator.w_dim)
    before = code.clone()
    loss = ImageLoss(FakeFeatureNet())
    options = {"steps": 5, "lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-6}
    w_plus, losses = embed_simple(targets(generator, 1), generator, loss, code=code, **options)
    assert torch.equal(code, before)
    changes = {"steps": 5, "learning_rate": 0.05, "betas": (0.8, 0.99), "epsilon": 1e-6}
    result = run(generator, targets(generator, 1), start=code, **changes)
    torch.testing.assert_close(losses, result.loss, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(w_plus, result.w_plus, rtol=1e-3, atol=1e-4)


def test_embed_simple_shows_each_code_with_its_image_and_loss(generator):
    photos = targets(generator, 1)
    loss = ImageLoss(FakeFeatureNet())
    seen = []

    def look(step, code, images, losses):
        with torch.no_grad():
            assert torch.equal(images, generator.synthesis(code))
        seen.append((step, losses.item()))

    losses = embed_simple(photos, generator, loss, steps=3, callback=look)[1]
    assert seen == list(enumerate(losses[:, 0].tolist()))
