"""Step 4: Adam, L-BFGS, the classes of torch.optim, and schedules."""

import itertools

import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from short_run import run

from i2s.embedding import EmbedSettings, embed
from i2s.embedding.optim import (
    LBFGS,
    OPTIMIZERS,
    SCHEDULES,
    Adam,
    TorchOptimizer,
    backward,
    cosine,
    ramp,
    w_noise_factor,
)
from i2s.errors import SettingsError


def test_adam_is_torch_adam():
    """The same path as PyTorch's, with two groups and a gradient that changes its sign."""
    torch.manual_seed(0)
    starts = [torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)]
    both = []
    for make in (
        lambda groups: Adam(groups, (0.8, 0.99), 1e-6),
        lambda g: torch.optim.Adam(g, betas=(0.8, 0.99), eps=1e-6),
    ):
        a, b = (start.clone().requires_grad_() for start in starts)
        adam = make([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.02}])
        for _ in range(50):
            ((a.square() - 0.5).square().sum() + (b - a[:, :2]).square().sum()).backward()
            adam.step()
            a.grad = b.grad = None
        both.append((a, b))
    torch.testing.assert_close(both[0], both[1], rtol=1e-12, atol=1e-12)


def test_backward_divides_by_the_scale():
    ends = []
    for scale in (1.0, 256.0):
        x = torch.tensor([1.0, -2.0], requires_grad=True)
        adam = Adam([{"params": [x], "lr": 0.1}], (0.9, 0.999), 1e-3)
        for _ in range(5):
            adam.zero_grad()
            backward(x.square()[None], [x], scale)
            adam.step()
        ends.append(x.detach())
    assert torch.equal(*ends)


def bowl(count: int = 3, width: int = 8, spread: float = 2.0):
    """Badly scaled quadratic functions in float64, one for each code: their Hessians and their minima."""
    rng = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(count, width, width, generator=rng, dtype=torch.float64))[0]
    curvature = 10 ** torch.linspace(-spread, spread, width, dtype=torch.float64)
    minimum = torch.randn(count, width, generator=rng, dtype=torch.float64)
    return turn * curvature @ turn.mT, minimum


def minimise(hessian, minimum, steps, inverse=None, radius=100.0, **settings):
    """(code, losses of each step [steps, n])."""
    code = torch.zeros(len(minimum), 2, minimum.shape[1] // 2, dtype=torch.float64, requires_grad=True)
    optimizer, losses = LBFGS(code, inverse, radius, **settings), []
    for _ in range(steps):
        x = code.flatten(1) - minimum
        loss = ((x[:, None] @ hessian) @ x[..., None]).flatten() / 2
        optimizer.zero_grad()
        backward(loss, optimizer.variables)
        losses.append(loss.detach())
        optimizer.step(1.0, loss)
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
    optimizer = LBFGS(torch.zeros(3, 2, 4, dtype=torch.float64), inverse, 1.0)
    optimizer.steps = torch.randn(3, 5, 8, generator=rng, dtype=torch.float64)
    optimizer.changes = optimizer.steps @ hessian
    gradient = torch.randn(3, 8, generator=rng, dtype=torch.float64)
    ours = optimizer._times_inverse_hessian(gradient)
    whole = torch.block_diag(*inverse)
    for k in range(3):
        theirs = two_loops(gradient[k], optimizer.steps[k], optimizer.changes[k], whole)
        torch.testing.assert_close(ours[k], theirs, rtol=1e-8, atol=1e-10)


def test_a_pair_without_upward_curvature_changes_nothing():
    hessian, _ = bowl()
    optimizer = LBFGS(torch.zeros(3, 2, 4, dtype=torch.float64), None, 1.0)
    steps = torch.randn(3, 3, 8, dtype=torch.float64)
    for k in range(3):
        optimizer._remember(steps[:, k], (steps[:, k : k + 1] @ hessian)[:, 0])
    gradient = torch.randn(3, 8, dtype=torch.float64)
    before = optimizer._times_inverse_hessian(gradient)
    optimizer._remember(steps[:, 0], -steps[:, 0])
    torch.testing.assert_close(optimizer._times_inverse_hessian(gradient), before)


def test_finds_the_bottom_of_a_bowl_that_is_10000_times_steeper_one_way():
    hessian, minimum = bowl()
    code, losses = minimise(hessian, minimum, 60)
    assert (losses[-1] < 1e-8 * losses[0]).all()
    torch.testing.assert_close(code.flatten(1), minimum, rtol=0, atol=1e-3)


def test_a_good_preconditioner_is_worth_many_steps():
    hessian, minimum = bowl(count=1)
    hessian = torch.block_diag(hessian[0, :4, :4], hessian[0, 4:, 4:])[None]  # what blocks can hold
    inverse = torch.stack([hessian[0, :4, :4].inverse(), hessian[0, 4:, 4:].inverse()])
    with_it, without = (minimise(hessian, minimum, 12, P)[1][-1].item() for P in (inverse, None))
    assert with_it < 1e-6 * without


def test_a_step_that_made_it_worse_is_taken_back():
    """A wall: the gradient says go on, and the loss jumps up."""
    code = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)
    optimizer, seen = LBFGS(code, None, 1.0), []
    for _ in range(30):
        x = code[:, 0]
        loss = -x[:, 0] + torch.where(x[:, 0] > 0.7, 100.0, 0.0)
        optimizer.zero_grad()
        backward(loss, optimizer.variables)
        seen.append(loss.item())
        optimizer.step(1.0, loss)
    assert optimizer.point[0, 0] <= 0.7 < optimizer.point[0, 0] + 0.1
    assert min(seen) == optimizer.loss.item()


def test_each_photo_is_alone():
    hessian, minimum = bowl()
    together, _ = minimise(hessian, minimum, 10)
    for k in range(3):
        alone, _ = minimise(hessian[k : k + 1], minimum[k : k + 1], 10)
        torch.testing.assert_close(alone[0], together[k], rtol=1e-9, atol=1e-9)


def test_no_row_moves_by_more_than_the_radius():
    _, minimum = bowl()
    code = torch.zeros(3, 2, 4, dtype=torch.float64, requires_grad=True)
    optimizer, before = LBFGS(code, None, 0.01), code.detach().clone()
    for _ in range(5):
        losses = ((code.flatten(1) - minimum) ** 2).sum(1)
        optimizer.zero_grad()
        backward(losses, optimizer.variables)
        optimizer.step(1.0, losses)
        assert (code - before).norm(dim=2).max() <= 0.01 + 1e-12
        before = code.detach().clone()


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_fast_is_better_than_adam_in_as_many_steps(space):
    generator = small_generator()
    photos = targets(generator, 3)
    fast, adam = (
        embed(photos, generator, preset=name, space=space, steps=40, perceptual=FakeFeatureNet(), progress=False)
        for name in ("fast", "image2stylegan")
    )
    assert (fast.loss[-1] < 0.9 * adam.loss[-1]).all()
    assert fast.settings.optimizer == "lbfgs"


def test_schedules_at_their_corners():
    assert ramp(0) == 0 and ramp(0.025) == pytest.approx(0.5) and ramp(0.05) == ramp(0.75) == 1
    assert ramp(0.875) == pytest.approx(0.5) and ramp(1) == 0
    assert cosine(0) == 1 and cosine(0.5) == pytest.approx(0.5) and cosine(1) == pytest.approx(0)
    assert w_noise_factor(0) == 1 and w_noise_factor(0.375) == 0.25 and w_noise_factor(0.75) == w_noise_factor(1) == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_stay_within_the_rate(name):
    assert all(0 <= SCHEDULES[name](t / 100) <= 1 for t in range(101))


def test_the_schedule_is_what_adam_takes():
    """The first step of a ramp has a rate of 0; the code stays where it is, and moves at the second."""
    generator = small_generator()
    seen = []
    embed(
        targets(generator),
        generator,
        steps=10,
        schedule="ramp",
        perceptual=FakeFeatureNet(),
        progress=False,
        callback=seen.append,
    )
    moved = [(b.w_plus - a.w_plus).abs().max().item() for a, b in itertools.pairwise(seen)]
    assert moved[0] == 0 and moved[1] == pytest.approx(0.01, rel=0.05) and moved[-1] < 0.005


def rmsprop(groups, betas, epsilon, curvature):
    return TorchOptimizer(torch.optim.RMSprop, groups, alpha=0.9, momentum=0.5)


def torch_adam(groups, betas, epsilon, curvature):
    return TorchOptimizer(torch.optim.Adam, groups, betas=betas, eps=epsilon)


def test_torch_optimizer_is_the_class_it_adapts():
    """A photo leaves the batch on the way; the other one's moments go on."""
    start = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))

    def losses(x, rows):
        return (x - torch.tensor([[1.0], [2.0]])[rows]).square().sum(1)

    def alone(row):
        x = start[row].clone().requires_grad_()
        reference = torch.optim.RMSprop([x], lr=0.1, alpha=0.9, momentum=0.5)
        for _ in range(6):
            reference.zero_grad()
            losses(x, row).sum().backward()
            reference.step()
        return x

    x = start.clone().requires_grad_()
    optimizer = rmsprop([{"params": [x], "lr": 0.1}], None, None, None)
    rows = torch.tensor([0, 1])
    for step in range(6):
        if step == 3:
            rows = torch.tensor([1])
            x = x.detach()[rows].clone().requires_grad_()
            optimizer = optimizer.select(rows, [{"params": [x], "lr": 0.1}])
        optimizer.zero_grad()
        backward(losses(x, rows), optimizer.variables)
        optimizer.step()
    torch.testing.assert_close(x, alone(torch.tensor([1])))


def test_an_entry_of_optimizers_is_a_setting(monkeypatch):
    with pytest.raises(SettingsError, match="'adam' or 'lbfgs'"):
        EmbedSettings(optimizer="RMSprop")
    monkeypatch.setitem(OPTIMIZERS, "torch adam", torch_adam)
    generator = small_generator()
    changes = {"patience": 4, "min_improvement": 0.1, "schedule": "ramp", "steps": 30, "learning_rate": 0.05}
    ours = run(generator, targets(generator, 3), **changes)
    theirs = run(generator, targets(generator, 3), optimizer="torch adam", **changes)
    assert len(set(ours.photo_steps)) > 1 and theirs.photo_steps == ours.photo_steps
    torch.testing.assert_close(theirs.w_plus, ours.w_plus, rtol=1e-3, atol=1e-4)


def test_a_torch_optimizer_is_resumed_bit_for_bit(monkeypatch, tmp_path):
    monkeypatch.setitem(OPTIMIZERS, "rmsprop", rmsprop)
    generator = small_generator()
    changes = {"optimizer": "rmsprop", "checkpoint": tmp_path / "c", "checkpoint_every": 5}

    def kill(step):
        if step.step == 8:
            raise InterruptedError

    complete = run(generator, targets(generator), optimizer="rmsprop")
    with pytest.raises(InterruptedError):
        run(generator, targets(generator), callback=kill, **changes)
    seen = []
    resumed = run(generator, targets(generator), resume=True, callback=seen.append, **changes)
    assert seen[0].step == 5 and torch.equal(resumed.w_plus, complete.w_plus)
