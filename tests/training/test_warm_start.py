"""Warm start: the mapping network fitted to codes; and the bank of codes of the adversarial phase."""

import pytest
import torch

from i2s.generators import layers
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from training.codes import SAMPLE, CodeBank
from training.warm_start import (
    before_activation,
    fit_mapping,
    scale_latent_std,
    set_linear,
    sliced_distance,
    whitening,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def mapping(size=16):
    torch.manual_seed(0)
    return StyleGAN2(StyleGAN2Config(16, size, size, channels=(8, 8, 8))).mapping


def test_before_activation_inverts_the_activation():
    x = torch.randn(100, 7, generator=rng())
    assert torch.allclose(before_activation(layers.leaky_relu(x)), x, atol=1e-6)
    w = torch.randn(100, 7, generator=rng(1))
    assert torch.allclose(layers.leaky_relu(before_activation(w)), w, atol=1e-6)


def test_set_linear_is_the_linear_map_it_says():
    net, root = mapping(), torch.randn(16, 16, generator=rng(2)) / 4
    mean = torch.randn(16, generator=rng(3))
    set_linear(net, mean, root, rng(4), shift=8.0)  # so large a shift that nothing is bent
    z = layers.normalize_2nd_moment(torch.randn(500, 16, generator=rng(5)))
    made = before_activation(net.to_w(z)) - mean
    correlation = torch.nn.functional.cosine_similarity(made - made.mean(0), z @ root, dim=1)
    assert correlation.mean() > 0.999
    assert torch.allclose(made.mean(0), (z @ root).mean(0), atol=0.02)


def test_fit_mapping_gives_the_codes_mean_and_std_in_every_direction():
    """In every one: a loss of distances between points matched 3 directions of 256 and left the others flat."""
    size = 16
    turn = torch.linalg.qr(torch.randn(size, size, generator=rng()))[0]
    spread = torch.logspace(0, -1.5, size)  # the widest direction is 30 times the narrowest
    plane = torch.randn(3000, size, generator=rng(1)) * spread @ turn + torch.linspace(-1, 1, size)
    net = mapping(size)
    fit_mapping(net, layers.leaky_relu(plane), 30, rng(2), report=lambda text: None)
    with torch.no_grad():
        made = before_activation(net.to_w(torch.randn(20_000, size, generator=rng(3))))
    directions = torch.cat([turn.T, torch.nn.functional.normalize(torch.randn(size, 50, generator=rng(4)), dim=0)], 1)
    ours, theirs = made @ directions, plane @ directions
    assert ((ours.mean(0) - theirs.mean(0)).abs() / theirs.std(0)).max() < 0.2
    ratio = ours.std(0) / theirs.std(0)
    assert 0.75 < ratio.min() and ratio.max() < 1.3


def test_fit_mapping_repeats_whatever_the_global_random_numbers_are():
    codes = torch.randn(600, 16, generator=rng())
    nets = [mapping(), mapping()]
    for k, net in enumerate(nets):
        torch.manual_seed(k)
        fit_mapping(net, codes, 3, rng(2), report=lambda text: None)
    assert all(torch.equal(p, q) for p, q in zip(*(net.parameters() for net in nets)))


def test_sliced_distance_is_zero_for_the_same_sample_and_the_shift_squared_for_a_shifted_one():
    a = torch.randn(400, 6, generator=rng())
    axes = torch.eye(6)
    assert sliced_distance(a, a[torch.randperm(400, generator=rng(1))], axes) == 0
    assert sliced_distance(a, a + 0.5, axes).item() == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.2])
def test_scale_latent_std_scales_codes_about_their_mean(factor):
    net = mapping()
    z = torch.randn(8000, 16, generator=rng(3))
    with torch.no_grad():
        before = before_activation(net.to_w(z))
        scale_latent_std(net, factor)
        after = before_activation(net.to_w(z))
    torch.testing.assert_close(after - after.mean(0), factor * (before - before.mean(0)), rtol=1e-3, atol=1e-4)
    assert (after.mean(0) - before.mean(0)).norm() < 0.03 * before.std(0).norm() + 1e-5


# --- bank of codes --------------------------------------------------------------------------------------------------


def correlated_codes(count, size=6, seed=0):
    """Codes w [2 count, size] with a mean and a full covariance in P space."""
    mix = torch.randn(size, size, generator=rng(seed))
    return layers.leaky_relu(torch.randn(2 * count, size, generator=rng(seed + 1)) @ mix + torch.linspace(-1, 1, size))


def filled_bank(count=2000, size=6, seed=0):
    bank = CodeBank(count, size)
    bank.replace(correlated_codes(count, size, seed))
    return bank


def test_whitening_makes_unit_variance_but_where_there_is_none():
    x = torch.randn(5000, 4, generator=rng()) * torch.tensor([3.0, 1.0, 0.5, 0.0]) + 7
    mean, matrix = whitening(x)
    variances = ((x - mean) @ matrix).var(0).sort().values
    assert variances[0] < 1e-6 and variances[1:] == pytest.approx([1, 1, 1], abs=0.15)


def test_bank_stores_the_codes_of_a_batch():
    bank = CodeBank(3, 4)
    w = torch.randn(2, 4, generator=rng())
    bank.store(torch.tensor([5, 0]), w)
    assert torch.equal(bank.codes[[5, 0]], w) and not bank.codes[1:5].any()
    assert bank.std == pytest.approx(0.98 * 0.3 + 0.02 * float(w.std(0, unbiased=False).mean()))


def test_blends_have_the_mean_and_the_covariance_of_the_bank():
    bank = filled_bank()
    x = before_activation(bank.blend(200_000, rng(5)))
    codes = before_activation(bank.codes)
    torch.testing.assert_close(x.mean(0), codes.mean(0), rtol=0, atol=0.03 * float(codes.std()))
    expected = torch.cov(codes.T)
    torch.testing.assert_close(torch.cov(x.T), expected, rtol=0, atol=0.02 * float(expected.diagonal().max()))


def test_blends_lie_between_two_codes_of_the_bank():
    """From a, at an angle of 0, half way round to b, at 45 degrees."""
    bank = filled_bank(2)
    x = before_activation(bank.blend(500, rng(5))) - bank.mean
    codes = before_activation(bank.codes) - bank.mean
    best = torch.full([500], 1e9)
    for a in codes:
        for b in codes:
            for angle in torch.linspace(0, torch.pi / 4, 200):
                best = torch.minimum(best, (x - a * angle.cos() - b * angle.sin()).norm(dim=1))
    assert best.max() < 0.02 * codes.norm(dim=1).max()


def test_bank_distance_is_small_for_its_own_codes_and_large_for_others():
    bank = filled_bank()
    own = bank.codes[torch.randperm(len(bank.codes), generator=rng())[:SAMPLE]]
    wide = layers.leaky_relu(bank.mean + 1.5 * (before_activation(own) - bank.mean))
    near, far = (float(bank.distance(w, rng(2))) for w in (own, wide))
    assert near < 0.02 and far == pytest.approx(0.25, abs=0.08)  # whitened: half a standard deviation, squared


def test_perturbed_codes_are_off_by_a_share_of_the_std():
    bank = filled_bank()
    w = torch.zeros(4000, 6)
    assert bank.perturb(w, 0.1, rng()).std() == pytest.approx(0.1 * float(bank.std), rel=0.02)
    assert torch.equal(bank.perturb(w, 0.0, rng()), w)


def test_bank_goes_on_from_its_state_dict():
    bank = filled_bank()
    again = CodeBank(2000, 6)
    again.load_state_dict(bank.state_dict())
    assert torch.equal(again.blend(8, rng(1)), bank.blend(8, rng(1)))
