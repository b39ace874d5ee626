"""The mean square of a difference: in pieces, and without keeping it."""

import pytest
import torch

from i2s.losses.base import mean_square, mean_square_difference


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
def test_is_the_mean_square_in_whatever_pieces(chunk, monkeypatch):
    monkeypatch.setattr("i2s.losses.base.CHUNK", chunk)
    a, b = torch.randn(2, 2, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(mean_square_difference(a, b), mean_square(a - b), rtol=1e-13, atol=0)


def test_gradients_of_both_orders_against_finite_differences():
    a, b = torch.randn(2, 2, 3, 5, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(mean_square_difference, (a, b))
    assert torch.autograd.gradgradcheck(mean_square_difference, (a, b))


def test_half_precision_is_added_up_in_full():
    """The square of 300 is beyond float16."""
    a = torch.full((1, 3, 64, 64), 300.0, dtype=torch.float16, requires_grad=True)
    value = mean_square_difference(a, torch.zeros_like(a))
    assert value.dtype == torch.float32 and value.item() == 90000
    value.sum().backward()
    assert a.grad.dtype == torch.float16
    torch.testing.assert_close(a.grad.float(), torch.full((1, 3, 64, 64), 600 / 12288), rtol=1e-3, atol=0)


def test_what_it_is_given_stays_as_it_is():
    """The gradient is written over a tensor of its own."""
    a, b = torch.randn(1, 3, 4, 4, requires_grad=True), torch.randn(1, 3, 4, 4)
    before = a.detach().clone(), b.clone()
    mean_square_difference(a, b).sum().backward()
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])
