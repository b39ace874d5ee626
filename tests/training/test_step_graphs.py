"""Training steps as CUDA graphs: the same steps as without. All but one need a GPU."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from tiny_run import BATCH, MATCHED, make_trainer, quiet

from training.step_graphs import can_capture, capture

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
PHASES = ("autoencode", "adversarial")


def trainer(folder, capturing=True, **changes):
    run = make_trainer(folder, MATCHED, device="cuda", **changes)
    run.capturing = capturing and run.capturing
    run.make_optimizers(playing=run.state["phase"] == "adversarial")
    return run


def test_nothing_is_captured_on_the_cpu(tmp_path):
    assert not can_capture(torch.device("cpu"))
    assert not make_trainer(tmp_path, MATCHED).capturing


class FakeGraph:
    """Stand-in for torch.cuda.CUDAGraph on a machine without CUDA: what it captures is executed instead."""

    def register_generator_state(self, rng):
        self.rng = rng

    def replay(self):
        pass


def test_capture_leaves_the_state_as_it_was_with_a_stand_in_for_cuda(tmp_path, monkeypatch):
    for name, stand_in in {
        "Stream": lambda: SimpleNamespace(wait_stream=lambda other: None),
        "current_stream": lambda: None,
        "stream": lambda stream: nullcontext(),
        "synchronize": lambda: None,
        "CUDAGraph": FakeGraph,
        "graph": lambda graph, stream: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    run = make_trainer(tmp_path, MATCHED)
    before = {name: tensor.clone() for name, tensor in run.live_tensors().items()}
    rng_state = run.rng.get_state()
    run.capturing = True
    terms = run.run(run.autoencode_step, hold=False, noise=False)
    assert terms.keys() == {"reconstruction"} and run.captured.keys() == {
        ("autoencode_step", ("hold", False), ("noise", False))
    }
    after = run.live_tensors()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    fresh = after.keys() - before.keys()  # of Adam
    assert fresh and not any(bool(after[name].any()) for name in fresh)
    assert torch.equal(run.rng.get_state(), rng_state)
    assert all(weight.grad is None for weight in run.generator.parameters())
    run.run(run.autoencode_step, hold=True, noise=False)  # another variant takes its place
    assert len(run.captured) == 1
    run.make_optimizers(playing=True)
    assert not run.captured  # the graphs would update the old optimisers


def test_steps_wait_for_no_value(tmp_path, monkeypatch):
    """What a CUDA graph cannot hold: a number that Python reads from a tensor. On the CPU it can be caught."""
    run = make_trainer(tmp_path, MATCHED)
    run.train(report=lambda text: run.stop() if '"adversarial"' in text else None)

    def forbidden(self, *args):
        raise AssertionError("a step read a value")

    run._step = lambda optimizer, loss: loss.backward()  # Adam reads its step count, unless it is `capturable`
    for name in ("__bool__", "__float__", "__int__", "__index__", "item", "tolist", "nonzero"):
        monkeypatch.setattr(torch.Tensor, name, forbidden)
    for noise in (False, True):
        for flag in (False, True):
            run.autoencode_step(hold=flag, noise=False)
            terms = run.adversarial_step(lead=False, noise=noise, frozen=flag)
            run.augment.update(terms["sign"], BATCH)
    run.r1_step()
    run.match_step()


@needs_cuda
def test_capturing_leaves_the_state_as_it_was(tmp_path):
    run = trainer(tmp_path)
    before = {name: tensor.clone() for name, tensor in run.live_tensors().items()}
    rng_state = run.rng.get_state()
    replay = capture(
        lambda: run.autoencode_step(hold=False, noise=False),
        run.live_tensors,
        list(run.optimizers().values()),
        run.rng,
    )
    after = run.live_tensors()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any(bool(tensor.any()) for name, tensor in after.items() if name not in before)  # Adam's, fresh
    assert torch.equal(run.rng.get_state(), rng_state)
    replay()
    assert not all(torch.equal(run.live_tensors()[name], tensor) for name, tensor in before.items())


@needs_cuda
@pytest.mark.parametrize("phase", PHASES)
def test_captured_steps_are_the_eager_ones(tmp_path, phase):
    """Terms and weights after three steps with the same random numbers; sums are rounded in another order."""
    results = []
    for capturing in (True, False):
        run = trainer(tmp_path / str(capturing), capturing, learning_rate=1e-4)
        run.state["phase"] = phase
        run.make_optimizers(playing=run.state["phase"] == "adversarial")
        if phase == "adversarial":
            run.fit_mapping(quiet)  # fills the bank
        run.rng.manual_seed(5)
        for _ in range(3):
            run.set_rates(run._rate_factor())
            run._autoencode() if phase == "autoencode" else run._adversarial()
            run.state["images"] += BATCH
        terms = {name: float(total) / count for name, (total, count) in run.sums.items()}
        results.append((terms, {name: p.detach().clone() for name, p in run.generator.named_parameters()}))
    (terms, weights), (expected_terms, expected) = results
    assert terms == pytest.approx(expected_terms, rel=0.02, abs=0.02)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=5e-3)


@needs_cuda
def test_captured_run_goes_through_all_phases_and_resumes(tmp_path):
    run = trainer(tmp_path)
    run.train(report=lambda text: run.stop() if '"adversarial"' in text else None)
    assert run.state["phase"] == "adversarial"
    again = make_trainer(tmp_path, MATCHED, device="cuda")
    assert again.capturing and again.state["total"] == run.state["total"]
    again.train(report=quiet)
    assert again.state["phase"] == "done" and again.state["frozen"] and again.state["noise"]
    assert all(tensor.isfinite().all() for tensor in again.live_tensors().values())


@needs_cuda
def test_captured_graph_follows_the_learning_rate(tmp_path):
    run = trainer(tmp_path)
    run.set_rates(run._rate_factor())
    run._autoencode()
    for group in run.adam_g.param_groups:
        group["lr"].zero_()
    before = [p.detach().clone() for p in run.generator.parameters()]
    run._autoencode()
    assert all(torch.equal(p, q) for p, q in zip(run.generator.parameters(), before))
