"""When an optimisation ends: steps, seconds, patience, losses that are no numbers."""

from types import SimpleNamespace

import pytest
import torch

from i2s.embedding import EmbedSettings, StopReason
from i2s.embedding import stopping as module
from i2s.embedding.stopping import Stopper


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def stopper(count=3, **settings):
    return Stopper(EmbedSettings(**settings), count, torch.device("cpu"))


def check(stopper, *losses, rows=None, reached=False):
    rows = torch.arange(len(losses)) if rows is None else torch.tensor(rows)
    active = stopper.check(rows, torch.tensor(losses), torch.full([len(losses)], reached))
    stopper.step += 1
    return active.tolist()


def test_progress_is_by_steps_or_seconds_whichever_is_further(clock):
    one = stopper(steps=10, budget=8.0)
    clock.now = 2.0
    one.begin(10, 0, parts=3)
    assert one.seconds == 2.0 and one.progress() == 0  # a third of what is left
    one.step = 3
    assert one.progress() == 0.3
    clock.now = 3.0
    assert one.progress() == 0.5
    clock.now = 9.0
    assert one.progress() == 1.0


def test_patience_ends_a_photo_whose_loss_does_not_fall():
    one = stopper(count=2, patience=2, min_improvement=0.1)
    one.begin(10, 0, 1)
    assert check(one, 1.0, 1.0) == [True, True]
    assert check(one, 0.95, 0.8) == [True, True]
    assert check(one, 0.95, 0.7) == [False, True]
    assert check(one, 0.7, rows=[1]) == [True]
    assert one.reasons == [StopReason.SETTLED, StopReason.NONE] and one.endings() == ["settled", ""]
    assert one.stopped() == ""


def test_a_loss_that_is_no_number_ends_its_photo_and_says_when():
    one = stopper(count=3)
    one.begin(10, 20, 1)
    check(one, 1.0, 1.0, 1.0)
    assert check(one, 1.0, float("nan"), float("inf")) == [True, False, False]
    assert one.reasons[1] is one.reasons[2] is StopReason.NOT_FINITE
    assert "finite" in one.endings()[1] and one.endings()[1].endswith("step 21") and one.stopped() == one.endings()[1]
    one.interrupted = True
    assert one.stopped() == "interrupted"


def test_what_is_reached_is_settled():
    one = stopper(count=1)
    one.begin(10, 0, 1)
    assert check(one, 1.0, reached=True) == [False]
    assert one.reasons == [StopReason.SETTLED]


def test_state_goes_on(clock):
    one = stopper(count=2, patience=3, budget=10.0)
    clock.now = 1.0
    one.begin(None, 5, 1)
    check(one, 1.0, float("nan"))
    clock.now = 4.0
    state = one.state_dict()
    clock.now = 100.0
    other = stopper(count=2, patience=3, budget=10.0)
    other.load_state_dict(state)
    assert other.elapsed() == 4.0 and other.progress() == 3 / 9
    assert other.reasons == one.reasons and other.endings() == one.endings() and other.total_step == 6
    assert torch.equal(other.best, one.best) and torch.equal(other.best_step, one.best_step)
