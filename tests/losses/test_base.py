"""The means that the terms share: masks, pieces, precision."""

import pytest
import torch

from i2s.losses.base import masked_mean, mean_square, mean_square_difference


def test_masked_mean_written_out():
    """Each place of a small map counts by the share of the mask that it covers."""
    x = torch.arange(8.0).view(1, 2, 2, 2)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :2], mask[..., 2, 2] = 1, 1  # the first place whole, the last a quarter
    assert float(masked_mean(x, mask)) == pytest.approx(((0 + 4) + 0.25 * (3 + 7)) / (2 * 1.25))
    assert float(masked_mean(x)) == 3.5 and float(masked_mean(x, torch.zeros(1, 1, 4, 4))) == 0


def test_mean_square_does_not_overflow_in_half_precision():
    """300^2 is beyond float16, and in bfloat16 the sum of many small numbers stops growing."""
    assert float(mean_square(torch.full((1, 4, 8, 8), 300.0).half())) == 90_000
    assert float(mean_square(torch.full((1, 64, 64, 64), 0.5).bfloat16())) == 0.25


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
def test_mean_square_difference_is_the_same_in_any_pieces(chunk, monkeypatch):
    monkeypatch.setattr("i2s.device.CHUNK", chunk)
    a, b = torch.randn(2, 2, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(mean_square_difference(a, b), mean_square(a - b), rtol=1e-13, atol=0)


def test_mean_square_difference_gradients_of_both_orders_against_finite_differences():
    a, b = torch.randn(2, 2, 3, 5, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(mean_square_difference, (a, b))
    assert torch.autograd.gradgradcheck(mean_square_difference, (a, b))


def test_mean_square_difference_sums_half_precision_in_float32():
    """The square of 300 is beyond float16."""
    a = torch.full((1, 3, 64, 64), 300.0, dtype=torch.float16, requires_grad=True)
    value = mean_square_difference(a, torch.zeros_like(a))
    assert value.dtype == torch.float32 and value.item() == 90000
    value.sum().backward()
    assert a.grad.dtype == torch.float16
    torch.testing.assert_close(a.grad.float(), torch.full((1, 3, 64, 64), 600 / 12288), rtol=1e-3, atol=0)


def test_mean_square_difference_leaves_its_arguments_alone():
    """The gradient is computed in place, in a tensor of its own."""
    a, b = torch.randn(1, 3, 4, 4, requires_grad=True), torch.randn(1, 3, 4, 4)
    before = a.detach().clone(), b.clone()
    mean_square_difference(a, b).sum().backward()
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])
