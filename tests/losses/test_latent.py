"""The regularisers of code and noise: P_N, the autocorrelation of noise."""

from dataclasses import replace

import pytest
import torch
from helpers import small_generator
from terms import codes, pictures, statistics

from i2s.errors import LatentError, SettingsError
from i2s.losses import NoiseRegularization, PixelMSE, PNorm, WeightedSum

COUNT = 5000


@pytest.fixture(scope="module")
def own_codes():
    """Codes of random z, a row for all layers: [200, 6, 12]."""
    generator = small_generator()
    return generator.mapping(generator.sample_z(200, seed=9))


def unwhiten(found, v):
    """The code w of v: the inverse of `whiten`."""
    return torch.nn.functional.leaky_relu((v * found.std) @ found.components + found.mean, 0.2)


def p_norm(found, w_plus, weight=1.0):
    return PNorm(found, weight).latent(w_plus, [])["p_norm"]


def test_p_norm_of_the_generators_own_codes_is_1(own_codes):
    """Whitened by singular values, sqrt(COUNT - 1) times as large, it is a few thousandths of that."""
    assert float(p_norm(statistics(), own_codes).mean()) == pytest.approx(1, abs=0.1)
    singular = replace(statistics(), std=statistics().std * (COUNT - 1) ** 0.5)
    assert float(p_norm(singular, own_codes).mean()) < 1e-3


def test_p_norm_grows_off_the_manifold_with_the_square(own_codes):
    found, mean = statistics(), unwhiten(statistics(), torch.zeros(12))
    assert float(p_norm(found, mean.expand(1, 6, 12))) == pytest.approx(0, abs=1e-6)
    v = found.whiten(own_codes)
    near, far = (p_norm(found, unwhiten(found, k * v)) for k in (1, 3))
    torch.testing.assert_close(far, 9 * near, rtol=1e-3, atol=1e-4)
    # the same step costs more where the codes spread less
    step = 0.1 * torch.eye(12)
    wide, narrow = (unwhiten(found, step[k] / found.std[k] * float(found.std[0])) for k in (0, 11))
    assert p_norm(found, narrow.expand(1, 1, 12)) > 5 * p_norm(found, wide.expand(1, 1, 12))


def test_p_norm_written_out(own_codes):
    """v = (x - mean) C^T / std, x = leaky ReLU of slope 5 (w); the mean of v^2 over rows and directions."""
    found = statistics()
    w_plus = own_codes[:2] + 0.3 * torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0))
    for n in range(2):
        x = torch.nn.functional.leaky_relu(w_plus[n], 5)
        v = torch.stack([(x - found.mean) @ c for c in found.components], dim=1) / found.std
        assert float(p_norm(found, w_plus, 0.5)[n]) == pytest.approx(0.5 * float((v**2).sum()) / 72, rel=1e-5)


def test_p_norm_keeps_an_embedding_near_the_generators_own_codes():
    """Whitened by singular values it does nothing."""
    generator, found = small_generator(), statistics()
    singular = replace(found, std=found.std * (COUNT - 1) ** 0.5)
    photo = pictures(1, 16, dtype=torch.float32)

    def search(*terms):
        loss = WeightedSum(PixelMSE(), *terms)
        prepared, code = loss.prepare(photo), generator.w_mean.expand(1, 6, 12).clone().requires_grad_()
        adam = torch.optim.Adam([code], lr=0.02)
        for _ in range(40):
            terms = loss(generator.synthesis(code), prepared) | loss.latent_terms(code, [])
            adam.zero_grad()
            sum(terms.values()).sum().backward()
            adam.step()
        return float(p_norm(found, code.detach()))

    free, kept, inert = search(), search(PNorm(found)), search(PNorm(singular))
    assert kept < free / 100 and inert > free / 2


# ---- noise ----------------------------------------------------------------------------------------------------------


def noise_term(*maps, count=1):
    return NoiseRegularization(1.0).latent(torch.zeros(count, 6, 12), list(maps))["noise"]


def test_noise_of_a_constant_map():
    """1 at 32 px, 2 at 16, 4 at 8: mean products 1, 4, 16, squared, in two directions."""
    assert float(noise_term(torch.ones(32, 32))) == 2 * (1 + 16 + 256)
    assert float(noise_term(torch.ones(8, 8))) == 2 and float(noise_term(torch.ones(4, 4))) == 2


def test_noise_of_stripes():
    """Stripes a pixel wide are opposite to their neighbours sideways, equal downwards, and gone at half the size."""
    stripes = torch.tensor([1.0, -1.0]).repeat(32, 16)
    assert float(noise_term(stripes)) == 2
    # two pixels wide: half of the neighbours sideways are equal, half opposite; at half the size as above, times 2
    wide = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(16, 4)
    assert float(noise_term(wide)) == (0 + 1) + (16 + 16)


def test_white_noise_keeps_its_variance_and_is_nearly_free():
    rng = torch.Generator().manual_seed(0)
    white = torch.randn(1, 1, 256, 256, generator=rng)
    smooth = torch.nn.functional.avg_pool2d(white, 5, 1, 2) * 5  # of the same variance
    assert float(noise_term(white)) < 0.1 < 1 < float(noise_term(smooth))
    # the smallest size has 64 samples, of variance 1 still: products of neighbours have a deviation of 1/8
    found = torch.stack([noise_term(torch.randn(1, 1, 64, 64, generator=rng)) for _ in range(200)])
    assert float(found.mean()) == pytest.approx(2 / 64 + 2 / 256 + 2 / 1024 + 2 / 4096, rel=0.25)


def test_maps_add_up_and_each_photo_has_its_own():
    rng = torch.Generator().manual_seed(0)
    maps = [torch.randn(3, 1, side, side, generator=rng) for side in (8, 16, 16)]
    total = noise_term(*maps, count=3)
    torch.testing.assert_close(total, sum(noise_term(x, count=3) for x in maps))
    torch.testing.assert_close(noise_term(maps[1][1:2])[0], noise_term(maps[1], count=3)[1])
    stored = maps[0][0, 0]
    torch.testing.assert_close(noise_term(stored, count=3), noise_term(stored[None, None]).expand(3))
    assert noise_term(count=2).tolist() == [0, 0]


def test_descent_makes_stripes_into_noise_again():
    rng = torch.Generator().manual_seed(0)
    x = torch.nn.functional.avg_pool2d(torch.randn(1, 1, 32, 32, generator=rng), 3, 1, 1).mul(3).requires_grad_()
    before = float(noise_term(x.detach()))
    adam = torch.optim.Adam([x], lr=0.02)
    for _ in range(200):
        adam.zero_grad()
        noise_term(x).sum().backward()
        adam.step()
        with torch.no_grad():
            x.sub_(x.mean()).div_(x.std())  # else it would just fade out
    assert float(noise_term(x.detach())) < before / 50


def test_codes_and_maps_that_do_not_fit():
    w_plus, noise = codes()
    with pytest.raises(LatentError, match="width 13"):
        PNorm(statistics()).latent(torch.zeros(2, 6, 13), noise)
    for bad in (torch.zeros(3, 1, 8, 8), torch.zeros(2, 2, 8, 8), torch.zeros(2, 8, 8), torch.zeros(8)):
        with pytest.raises(LatentError, match="noise map"):
            NoiseRegularization().latent(w_plus, [bad])


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_out_of_range(weight):
    for make in (
        lambda: PNorm(statistics(), weight),
        lambda: NoiseRegularization(weight),
    ):
        with pytest.raises(SettingsError, match="weight"):
            make()
