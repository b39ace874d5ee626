"""L-BFGS for many photos, and the metric that it starts from."""

import pytest
import torch
from helpers import TinyEye, targets, tiny_generator

from i2s.embedding import embed, initial_code, preset_settings
from i2s.embedding.degradations import half_mask
from i2s.embedding.lbfgs import LBFGS
from i2s.embedding.preconditioner import inverse_metric, sensitivity
from i2s.generators import load_generator
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.losses import ImageLoss, Masked, PixelMSE, Sum


def bowl(count: int = 3, width: int = 8, spread: float = 2.0):
    """Badly scaled quadratic functions in float64, one for each code: their Hessians and their minima."""
    rng = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(count, width, width, generator=rng, dtype=torch.float64))[0]
    curvature = 10 ** torch.linspace(-spread, spread, width, dtype=torch.float64)
    minimum = torch.randn(count, width, generator=rng, dtype=torch.float64)
    return turn * curvature @ turn.mT, minimum


def descend(hessian, minimum, steps, inverse=None, radius=100.0, **settings):
    """(code, losses of each step [steps, n])."""
    code = torch.zeros(len(minimum), 2, minimum.shape[1] // 2, dtype=torch.float64, requires_grad=True)
    search, losses = LBFGS(code, inverse, radius, **settings), []
    for _ in range(steps):
        x = code.flatten(1) - minimum
        loss = ((x[:, None] @ hessian) @ x[..., None]).flatten() / 2
        loss.sum().backward()
        losses.append(loss.detach())
        search.step(1.0, 1.0, loss)
    return code, torch.stack(losses)


def two_loops(gradient, steps, changes, inverse):
    """The recursion of Nocedal 1980 for one code, against which the compact form is held."""
    q, kept = gradient.clone(), []
    for s, y in reversed(list(zip(steps, changes))):
        a = s @ q / (s @ y)
        kept.append(a)
        q -= a * y
    s, y = steps[-1], changes[-1]
    q = inverse @ q * (s @ y) / (y @ inverse @ y)
    for (s, y), a in zip(zip(steps, changes), reversed(kept)):
        q += s * (a - y @ q / (s @ y))
    return q


def test_the_compact_form_is_the_two_loop_recursion():
    rng = torch.Generator().manual_seed(3)
    hessian, _ = bowl()
    inverse = torch.eye(4, dtype=torch.float64) * torch.tensor([1.0, 3.0])[:, None, None]
    search = LBFGS(torch.zeros(3, 2, 4, dtype=torch.float64), inverse, 1.0)
    search.steps = torch.randn(3, 5, 8, generator=rng, dtype=torch.float64)
    search.changes = search.steps @ hessian
    gradient = torch.randn(3, 8, generator=rng, dtype=torch.float64)
    ours = search._times_inverse_hessian(gradient)
    whole = torch.block_diag(*inverse)
    for k in range(3):
        theirs = two_loops(gradient[k], search.steps[k], search.changes[k], whole)
        torch.testing.assert_close(ours[k], theirs, rtol=1e-8, atol=1e-10)


def test_a_pair_without_upward_curvature_changes_nothing():
    hessian, _ = bowl()
    search = LBFGS(torch.zeros(3, 2, 4, dtype=torch.float64), None, 1.0)
    steps = torch.randn(3, 3, 8, dtype=torch.float64)
    for k in range(3):
        search._remember(steps[:, k], (steps[:, k : k + 1] @ hessian)[:, 0])
    gradient = torch.randn(3, 8, dtype=torch.float64)
    before = search._times_inverse_hessian(gradient)
    search._remember(steps[:, 0], -steps[:, 0])
    torch.testing.assert_close(search._times_inverse_hessian(gradient), before)


def test_finds_the_bottom_of_a_bowl_that_is_10000_times_steeper_one_way():
    hessian, minimum = bowl()
    code, losses = descend(hessian, minimum, 60)
    assert (losses[-1] < 1e-8 * losses[0]).all()
    torch.testing.assert_close(code.flatten(1), minimum, rtol=0, atol=1e-3)


def test_a_good_metric_is_worth_many_steps():
    hessian, minimum = bowl(count=1)
    hessian = torch.block_diag(hessian[0, :4, :4], hessian[0, 4:, 4:])[None]  # what blocks can hold
    inverse = torch.stack([hessian[0, :4, :4].inverse(), hessian[0, 4:, 4:].inverse()])
    with_it, without = (descend(hessian, minimum, 12, P)[1][-1].item() for P in (inverse, None))
    assert with_it < 1e-6 * without


def test_a_step_that_made_it_worse_is_taken_back():
    """A wall: the gradient says go on, and the loss jumps up."""
    code = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)
    search, seen = LBFGS(code, None, 1.0), []
    for _ in range(30):
        x = code[:, 0]
        loss = -x[:, 0] + torch.where(x[:, 0] > 0.7, 100.0, 0.0)
        loss.sum().backward()
        seen.append(loss.item())
        search.step(1.0, 1.0, loss)
    assert search.point[0, 0] <= 0.7 < search.point[0, 0] + 0.1
    assert min(seen) == search.loss.item()


def test_each_photo_is_alone():
    hessian, minimum = bowl()
    together, _ = descend(hessian, minimum, 10)
    for k in range(3):
        alone, _ = descend(hessian[k : k + 1], minimum[k : k + 1], 10)
        torch.testing.assert_close(alone[0], together[k], rtol=1e-9, atol=1e-9)


def test_no_row_moves_by_more_than_the_radius():
    hessian, minimum = bowl()
    code = torch.zeros(3, 2, 4, dtype=torch.float64, requires_grad=True)
    search, before = LBFGS(code, None, 0.01), code.detach().clone()
    for _ in range(5):
        ((code.flatten(1) - minimum) ** 2).sum().backward()
        search.step(1.0, 1.0, ((code.flatten(1) - minimum) ** 2).sum(1))
        assert (code - before).norm(dim=2).max() <= 0.01 + 1e-12
        before = code.detach().clone()


def test_the_metric_is_what_finite_differences_say():
    """C is the mean square of the styles' gradients, brought to w: along a style's row of A the distance changes so."""
    generator, loss = tiny_generator().double(), Sum(PixelMSE())
    C = sensitivity(generator, loss, count=4, seed=0)
    assert C.shape == (generator.num_ws, 12, 12)
    assert torch.equal(C, sensitivity(generator, loss, count=4, seed=0))
    torch.testing.assert_close(C, C.mT)
    # the first row feeds the 4 px layer alone: remove its influence, and nothing is left
    first = generator.synthesis.blocks[0].conv1
    first.affine.weight.zero_()
    again = sensitivity(generator, loss, count=4, seed=0)
    assert again[0].abs().max() == 0 and again[1].abs().max() > 0


def test_the_metric_knows_which_layers_read_which_row():
    """Row 1 is read by the first toRGB and by the next block's first layer."""
    generator, loss = tiny_generator(), Sum(PixelMSE())
    for module in (generator.synthesis.blocks[0].to_rgb, generator.synthesis.blocks[1].conv0):
        assert sensitivity(generator, loss, 4, 0)[1].abs().max() > 0
        module.affine.weight.zero_()
    assert sensitivity(generator, loss, 4, 0)[1].abs().max() == 0


def test_the_metric_of_other_losses_and_generators():
    generator = tiny_generator()
    mask = torch.ones(7, 1, 16, 16)  # of seven photos, of which the metric must know nothing
    plain, masked = (inverse_metric(generator, Sum(term)) for term in (PixelMSE(), Masked(PixelMSE(), mask)))
    assert torch.equal(plain, masked)
    other = StyleGAN1(StyleGAN1Config(16, 12, 12, channels=(8, 8, 8))).eval().requires_grad_(False)
    inverse = inverse_metric(other, ImageLoss(TinyEye()))
    assert inverse.shape == (other.num_ws, 12, 12)
    assert (torch.linalg.eigvalsh(inverse) > 0).all()


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_fast_is_better_than_adam_in_as_many_steps(space):
    generator = tiny_generator()
    photos = targets(generator, 3)
    fast, adam = (
        embed(photos, generator, preset=name, space=space, steps=40, perceptual=TinyEye(), progress=False)
        for name in ("fast", "image2stylegan")
    )
    assert (fast.loss[-1] < 0.9 * adam.loss[-1]).all()
    assert fast.settings.optimizer == "lbfgs"


def test_auto_starts_at_the_mean_where_the_encoder_is_not_the_generators():
    generator = tiny_generator()
    code = initial_code(generator, preset_settings("fast"), 2)
    assert torch.equal(code, generator.w_mean.expand_as(code))


def test_the_metric_of_one_term_with_two_masks():
    """Without their masks both report one name."""
    left, right = (Masked(PixelMSE(), half_mask(16, side), f"{side} ") for side in ("left", "right"))
    generator = tiny_generator()
    both, twice = (inverse_metric(generator, loss) for loss in (Sum(left, right), Sum(PixelMSE(2.0))))
    torch.testing.assert_close(both, twice)
    result = embed(targets(generator), generator, preset="fast", steps=2, loss=Sum(left, right), progress=False)
    assert set(result.history) == {"left mse", "right mse"}


def test_the_metric_in_half_precision():
    """float16 has three more bits than bfloat16: it is the better one, where its small numbers do not vanish."""
    generator = load_generator()
    loss = Sum(PixelMSE((64 / 1024) ** 4))  # the gradients of its root are as small as at 1024 px
    exact, errors = sensitivity(generator, loss, 4, 0), {}
    for dtype in (torch.float16, torch.bfloat16):
        generator.synthesis.dtype = dtype
        difference = sensitivity(generator, loss, 4, 0) - exact
        errors[dtype] = difference.flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)  # of each row
    assert (errors[torch.float16] < errors[torch.bfloat16]).all()
