"""GAN losses and regularisers against formulas; StyleGAN2's discriminator and the encoder."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import FakeFeatureNet, random_faces

from i2s.encoder import Encoder
from i2s.images import dequantize
from training import losses
from training.discriminators import Discriminator, minibatch_std


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.floats(-8, 8), st.floats(0.1, 5))
def test_logistic_losses_of_generator_and_discriminator_are_opposed(score, more):
    low, high = torch.tensor([score]), torch.tensor([score + more])
    assert losses.logistic_generator_loss(high) < losses.logistic_generator_loss(low)
    assert losses.logistic_discriminator_loss(low, high) > losses.logistic_discriminator_loss(low, low)
    assert losses.logistic_discriminator_loss(high, low) < losses.logistic_discriminator_loss(low, low)


def test_logistic_losses_of_zero_logits_are_log_2_each():
    zero = torch.zeros(4)
    assert losses.logistic_generator_loss(zero).item() == pytest.approx(math.log(2))
    assert losses.logistic_discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))


def test_hinge_losses_at_known_logits():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert float(losses.hinge_discriminator_loss(real, fake)) == pytest.approx(0.25 + 0.5)  # 0 beyond the margin
    assert float(losses.hinge_generator_loss(fake)) == pytest.approx(1.5)


def test_r1_is_the_mean_squared_gradient():
    direction = torch.randn(3, 4, 4, generator=rng())
    images = torch.randn(5, 3, 4, 4, generator=rng(1)).requires_grad_()
    linear = (images * direction).sum(dim=(1, 2, 3))
    assert losses.r1_penalty(images, linear).item() == pytest.approx(direction.square().sum().item(), rel=1e-5)
    square = images.square().sum(dim=(1, 2, 3))  # gradient 2x
    expected = 4 * images.square().sum(dim=(1, 2, 3)).mean()
    assert losses.r1_penalty(images, square).item() == pytest.approx(expected.item(), rel=1e-5)


def test_r1_is_differentiable():
    net = Discriminator((8, 8))
    images = torch.rand(4, 3, 8, 8, generator=rng()).requires_grad_()
    penalty = losses.r1_penalty(images, net(images))
    gradients = torch.autograd.grad(penalty, [net.backbone.from_rgb.weight, net.out.weight])
    assert penalty > 0 and all(g.abs().sum() > 0 for g in gradients)


def test_reconstruction_loss_of_the_same_image_is_zero():
    net = FakeFeatureNet()
    image = dequantize(random_faces(4))
    assert losses.reconstruction_loss(image, image, net(image), net).item() == pytest.approx(0, abs=1e-6)
    shifted = losses.reconstruction_loss(image + 0.1, image, net(image + 0.1), net).item()
    assert shifted == pytest.approx(0.4, rel=1e-4)  # 0.1 at each of the four levels


# --- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [(8,), (8, 6), (12, 10, 8, 6)])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_discriminator_and_encoder_give_one_result_per_image(channels, dtype):
    size = 4 * 2 ** (len(channels) - 1)
    images = torch.rand(6, 3, size, size, generator=rng())
    logits, codes = Discriminator(channels)(images, dtype), Encoder(channels, 16)(images, dtype)
    assert logits.shape == (6,) and codes.shape == (6, 16)
    assert logits.dtype == codes.dtype == torch.float32


def test_discriminator_sees_its_images_together_and_the_encoder_one_by_one():
    torch.manual_seed(0)
    discriminator, encoder = Discriminator((8, 8)), Encoder((8, 8), 16)
    images = torch.rand(8, 3, 8, 8, generator=rng())
    alone = torch.cat([encoder(x[None]) for x in images])
    assert torch.allclose(alone, encoder(images), atol=1e-5)
    same = images[:1].expand(8, -1, -1, -1)
    assert (discriminator(images)[0] - discriminator(same)[0]).abs() > 1e-4


def test_backbone_keeps_the_scale_of_activations():
    torch.manual_seed(0)
    x = Discriminator((32,) * 5).backbone(torch.randn(16, 3, 64, 64, generator=rng()))
    assert x.shape == (16, 32, 4, 4) and 0.2 < x.square().mean() < 5


def test_minibatch_std_tells_sameness_from_variety():
    x = torch.randn(8, 5, 4, 4, generator=rng())
    y = minibatch_std(x)
    assert y.shape == (8, 6, 4, 4) and torch.equal(y[:, :5], x)
    # images k and k + 2, k + 4, k + 6 are a group of four
    expected = torch.stack([x[k::2].std(dim=0, unbiased=False).mean() for k in (0, 1)] * 4)
    assert torch.allclose(y[:, 5], expected.view(8, 1, 1).expand(8, 4, 4), atol=1e-4)
    same = minibatch_std(x[:1].expand(8, -1, -1, -1))
    assert same[:, 5].abs().max() < 1e-3
    assert minibatch_std(x[:3]).shape == (3, 6, 4, 4)  # a batch that four does not divide
