"""Every term of a loss: gradients, batches, signs, masks, precision."""

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from terms import IMAGE_TERMS, LATENT_TERMS, SIDE, codes, pictures
from torch.autograd import gradcheck

from i2s.embedding.degradations import box_mask, circle_mask
from i2s.losses import Masked, PixelMSE

image_terms = pytest.mark.parametrize("make", IMAGE_TERMS.values(), ids=IMAGE_TERMS)
latent_terms = pytest.mark.parametrize("make", LATENT_TERMS.values(), ids=LATENT_TERMS)
maskable = [(name, make) for name, make in IMAGE_TERMS.items() if name != "small"]  # its mask would be of 16 px
masked_terms = pytest.mark.parametrize("make", [make for _, make in maskable], ids=[name for name, _ in maskable])
seeds = st.integers(0, 10_000)


def value(term, images, target):
    return sum(term(images, term.prepare(target)).values())


@image_terms
def test_gradient_of_image_terms_against_finite_differences(make):
    """In float64, along random directions in two images at once."""
    check_gradient(make())


@masked_terms
def test_gradient_of_masked_terms_against_finite_differences(make):
    check_gradient(Masked(make(), circle_mask(SIDE, (0.4, 0.5), 0.3, 0.2).double()))


def check_gradient(term):
    prepared = term.prepare(pictures(seed=1))
    images = pictures(seed=2).requires_grad_()

    def loss(x):
        return sum(term(x, prepared).values())

    (gradient,) = torch.autograd.grad(loss(images).sum(), images)
    assert gradient.isfinite().all() and gradient.abs().amax(dim=(1, 2, 3)).min() > 0
    for seed in range(3):
        direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        with torch.no_grad():
            ahead, behind = (loss(images + h * direction).sum() for h in (1e-7, -1e-7))
        assert float((ahead - behind) / 2e-7) == pytest.approx(float((gradient * direction).sum()), rel=1e-4, abs=1e-7)


@latent_terms
def test_gradient_of_latent_terms_against_finite_differences(make):
    term = make()
    w_plus, noise = codes()
    inputs = (w_plus.requires_grad_(), *(x.requires_grad_() for x in noise))

    def loss(w, *maps):
        return next(iter(term.latent(w, list(maps)).values()))

    assert gradcheck(loss, inputs, eps=1e-6, atol=1e-6, fast_mode=True)
    loss(*inputs).sum().backward()
    assert max(float(x.grad.abs().max()) for x in inputs if x.grad is not None) > 0


@image_terms
@hypothesis.given(seed=seeds)
@hypothesis.settings(max_examples=5, deadline=None)
def test_image_terms_are_zero_for_equal_images_only_and_symmetric(make, seed):
    term, a, b = make(), pictures(seed=seed), pictures(seed=seed + 1)
    for found in term(a, term.prepare(a)).values():
        assert torch.equal(found, torch.zeros(2, dtype=torch.float64))
    for found in term(a, term.prepare(b)).values():
        assert found.shape == (2,) and (found > 0).all()
    torch.testing.assert_close(value(term, a, b), value(term, b, a))
    b[0] = a[0]
    assert value(term, a, b)[0] == 0 < value(term, a, b)[1]


@image_terms
def test_image_terms_do_not_depend_on_the_rest_of_the_batch(make):
    term, images, target = make(), pictures(3, seed=1), pictures(3, seed=2)
    together = images.clone().requires_grad_()
    values = value(term, together, target)
    values.sum().backward()
    for n in range(3):
        alone = images[n : n + 1].clone().requires_grad_()
        found = value(term, alone, target[n : n + 1])
        found.sum().backward()
        torch.testing.assert_close(found[0], values[n])
        torch.testing.assert_close(alone.grad[0], together.grad[n])


@latent_terms
@hypothesis.given(seed=seeds)
@hypothesis.settings(max_examples=5, deadline=None)
def test_latent_terms_do_not_depend_on_the_rest_of_the_batch(make, seed):
    term, (w_plus, noise) = make(), codes(3, seed)
    (values,) = term.latent(w_plus, noise).values()
    assert values.shape == (3,) and (values >= 0).all()
    for n in range(3):
        (found,) = term.latent(w_plus[n : n + 1], [x[n : n + 1] for x in noise]).values()
        torch.testing.assert_close(found[0], values[n])


@masked_terms
@hypothesis.given(seed=seeds)
@hypothesis.settings(max_examples=4, deadline=None)
def test_masked_with_ones_changes_no_bit(make, seed):
    term, images, target = make(), pictures(seed=seed).float(), pictures(seed=seed + 1).float()
    to_float(term)
    whole = term(images, term.prepare(target))
    for count in (1, 2):
        masked = Masked(term, torch.ones(count, 1, SIDE, SIDE))
        found = masked(images, masked.prepare(target))
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[name], whole[name]) for name in whole)


@masked_terms
@hypothesis.given(seed=seeds, level=st.sampled_from([0.25, 0.5, 0.7]))
@hypothesis.settings(max_examples=4, deadline=None)
def test_masked_weights_are_relative(make, seed, level):
    """Half a mask is not half a loss: only where the weights differ do they matter."""
    term, images, target = make(), pictures(seed=seed), pictures(seed=seed + 1)
    mask = circle_mask(SIDE, radius=0.3, blur=0.2).double()
    full, part = Masked(term, mask), Masked(term, level * mask)
    for name, found in part(images, part.prepare(target)).items():
        torch.testing.assert_close(found, full(images, full.prepare(target))[name])


@masked_terms
def test_masked_gives_each_image_its_own_mask(make):
    term, images, target = make(), pictures(seed=1), pictures(seed=2)
    masks = torch.cat([circle_mask(SIDE, (x, 0.5), 0.2, 0.1) for x in (0.3, 0.7)]).double()
    both = Masked(term, masks)
    values = value(both, images, target)
    for n in range(2):
        one = Masked(term, masks[n : n + 1])
        torch.testing.assert_close(value(one, images[n : n + 1], target[n : n + 1])[0], values[n])
    assert not torch.allclose(value(Masked(term, masks.flip(0)), images, target), values)


@pytest.mark.parametrize("name", ["mse", "l1", "slim", "lpips", "paper", "grey"])
def test_masked_gives_hidden_pixels_no_gradient(name):
    """Pixels beyond the sight of what the mask shows (50 px with four taps) have no gradient, those within it do."""
    mask, make = box_mask(64, 0, 0, 0.1, 0.1).double(), IMAGE_TERMS[name]
    masked = Masked(make(), mask)
    images = pictures(1, 64, seed=1).requires_grad_()
    value(masked, images, pictures(1, 64, seed=2)).sum().backward()
    assert (images.grad[:, :, 60:, 60:] == 0).all()
    assert images.grad[:, :, :10, :10].abs().max() > 0


@image_terms
def test_image_terms_sum_half_precision_in_float32(make):
    term = make()
    to_float(term)
    exact = value(term, pictures(seed=1).float(), pictures(seed=2).float())
    to_float(term, torch.bfloat16)
    found = value(term, pictures(seed=1).bfloat16(), pictures(seed=2).bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.15, atol=0.01)


def to_float(term, dtype=torch.float32):
    """Move the networks of a term to another precision."""
    for part in getattr(term, "terms", [term]):
        part = getattr(part, "term", part)  # within Degraded
        for inner in getattr(part, "terms", [part]):
            for name in ("net", "model"):
                if hasattr(inner, name):
                    getattr(inner, name).to(dtype)


def test_degraded_takes_a_mask_of_the_degraded_size():
    term = IMAGE_TERMS["small"]()
    inner = type(term)(Masked(term.term, box_mask(16, 0, 0, 0.5, 1).double()), term.degradation)
    images, target = pictures(seed=1), pictures(seed=1)
    target[:, :, :, 30:] += 0.5  # the right quarter: blurred by 4.5 px it does not reach the left half
    assert value(term, images, target).min() > 0
    assert value(inner, images, target).abs().max() < 1e-12


def test_masked_divides_by_the_mask_and_not_by_all_pixels():
    """A difference of 0.2 within the mask only is 0.01 whatever the size of the mask."""
    target = torch.zeros(1, 3, SIDE, SIDE)
    for radius in (0.1, 0.3):
        mask = circle_mask(SIDE, radius=radius)
        masked = Masked(PixelMSE(), mask)
        found = masked(target + 0.2 * mask, masked.prepare(target))["mse"]
        assert float(found) == pytest.approx(0.01, rel=1e-5)
