"""What the benchmarks compare with computes the same as the library."""

import sys
from pathlib import Path

import pytest
import torch
from helpers import targets, tiny_generator

from i2s.losses import ImageLoss
from i2s.perceptual.slim import load_slim
from i2s.perceptual.vgg16 import VGG16

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.straightforward import Straightforward  # noqa: E402


@pytest.mark.parametrize("net", ["slim", "vgg16"])
def test_the_straightforward_loss_is_ours(net):
    torch.manual_seed(0)
    generator = tiny_generator(32)
    net = (load_slim() if net == "slim" else VGG16()).requires_grad_(False)
    photos = targets(generator, 2)
    plain = Straightforward(generator, net, photos)
    with torch.no_grad():
        plain.code += torch.randn(plain.code.shape) * 0.3
    code = plain.code.detach().clone().requires_grad_()
    loss = ImageLoss(net)
    ours = sum(loss(generator.synthesis(code), loss.prepare(photos)).values())
    theirs = plain.loss(plain.code)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    gradients = [torch.autograd.grad(total.sum(), x)[0] for total, x in ((ours, code), (theirs, plain.code))]
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[1].norm()
    assert plain.step().shape == (2,)
