"""A search that was killed goes on as if it had not been, or says in one sentence why it cannot."""

import contextlib
import copy
import functools
import os
import signal
import subprocess
import sys
import time
import warnings

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from short_run import run

from i2s.embedding import NoiseSettings, TuningSettings
from i2s.embedding.checkpoint import Checkpoint, described, fingerprint
from i2s.embedding.degradations import Blur, Grey, Inpaint, half_mask
from i2s.errors import LatentError, OutputError, SettingsError
from i2s.files import write_safetensors
from i2s.generators.file import save_generator
from i2s.losses import PixelMSE, WeightedSum


class Killed(Exception):
    pass


def killer(last: int):
    """A callback that ends the run, as a kill would, when it has been called so often."""
    calls = 0

    def callback(step):
        nonlocal calls
        calls += 1
        if calls > last:
            raise Killed

    return callback


def check_same(ours, theirs):
    for name in ("w_plus", "image", "target", "snapshots", "frames"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert list(ours.history) == list(theirs.history)
    assert all(torch.equal(values, theirs.history[name]) for name, values in ours.history.items())
    assert all(torch.equal(a, b) for a, b in zip(ours.noise, theirs.noise))
    assert ours.photo_steps == theirs.photo_steps and ours.endings == theirs.endings
    assert ours.snapshot_steps == theirs.snapshot_steps and ours.settings == theirs.settings
    assert len(ours.tuned) == len(theirs.tuned)
    for own, its in zip(ours.tuned, theirs.tuned):
        assert own.keys() == its.keys() and all(torch.equal(own[name], its[name]) for name in own)


@hypothesis.settings(max_examples=8, deadline=None)
@hypothesis.given(
    space=st.sampled_from(["z", "w", "w+"]),
    init=st.sampled_from(["mean", "nearest"]),
    schedule=st.sampled_from(["constant", "ramp"]),
    optimizer=st.sampled_from(["adam", "lbfgs"]),
    noise=st.sampled_from([None, NoiseSettings("joint", 1, 0.05, 1.0), NoiseSettings("after", 8, 0.1)]),
    tuning=st.sampled_from([None, TuningSettings(5, 1e-3)]),
    patience=st.sampled_from([0, 3]),
    every=st.integers(1, 6),
    kills=st.lists(st.integers(1, 20), min_size=1, max_size=3),
)
def test_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path_factory, space, init, schedule, optimizer, noise, tuning, patience, every, kills
):
    if optimizer == "lbfgs" and noise is not None and noise.when == "joint":
        noise = None
    generator = small_generator()
    photos = targets(generator, 2)
    path = tmp_path_factory.mktemp("c") / "run.safetensors"
    changes = {
        "space": space,
        "init": init,
        "schedule": schedule,
        "optimizer": optimizer,
        "noise": noise,
        "tuning": tuning,
        "patience": patience,
        "min_improvement": 0.05,
        "candidates": 5,
        "w_noise": 0.0 if space == "z" or optimizer == "lbfgs" else 0.05,
        "learning_rate": 0.05,
    }
    resumed = {"checkpoint": path, "checkpoint_every": every, "resume": True}
    whole = run(generator, photos, **changes)
    for kill in kills:
        with contextlib.suppress(Killed):
            run(generator, photos, callback=killer(kill), **resumed, **changes)
    check_same(run(generator, photos, **resumed, **changes), whole)


@pytest.fixture
def checkpoint(tmp_path, generator):
    """A file of a run that was killed on its way."""
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        run(generator, targets(generator), checkpoint=path, checkpoint_every=4, callback=killer(9))
    return path


def other_generator():
    generator = small_generator()
    generator.synthesis.const.data[0, 0, 0] += 1e-3
    return generator


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"photos": 7}, "other photos"),
        ({"steps": 7}, r"other settings \(steps is 12 there and 7 here\)"),
        ({"steps": None, "budget": 9}, "budget is None there and 9 here, steps is 12 there and None here"),
        ({"learning_rate": 0.02}, r"settings \(learning_rate is 0.01 there and 0.02 here\)"),
        ({"betas": (0.9, 0.99)}, r"betas is \[0.9, 0.999\] there and \[0.9, 0.99\] here"),
        ({"tuning": TuningSettings(3)}, r"tuning is None there and \{.*'steps': 3\} here"),
        ({"steps": 13, "seed": 1}, r"seed is 0 there and 1 here, steps is 12"),
        ({"generator": other_generator}, "other generator"),
        ({"start": torch.zeros(12)}, "other initial code or mask"),
        ({"mask": torch.ones(1, 1, 16, 16)}, "other initial code or mask"),
        ({"degradation": Blur(1.0)}, "other task"),
        ({"tap_weights": (1, 1, 1, 2)}, r"other settings and loss \(tap_weights is"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(generator, checkpoint, other, says):
    before = checkpoint.read_bytes()
    other = dict(other)
    one = other.pop("generator", lambda: generator)()
    photos = targets(generator, seed=other.pop("photos", 5))
    with pytest.raises(SettingsError, match=says):
        run(one, photos, checkpoint=checkpoint, resume=True, **other)
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"none", b"\x00" * 200])
def test_a_broken_checkpoint_is_one_sentence(generator, checkpoint, content):
    checkpoint.write_bytes(content)
    with pytest.raises(LatentError, match="run.safetensors.*without resume"):
        run(generator, targets(generator), checkpoint=checkpoint, resume=True)


def test_a_checkpoint_cut_short_is_one_sentence(generator, checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    with pytest.raises(LatentError, match="broken"):
        run(generator, targets(generator), checkpoint=checkpoint, resume=True)


def test_a_result_is_no_checkpoint(tmp_path, generator):
    path = run(generator, targets(generator)).save(tmp_path / "result.safetensors")
    with pytest.raises(LatentError, match="not a checkpoint"):
        run(generator, targets(generator), checkpoint=path, resume=True)


def test_the_last_checkpoint_is_the_last_step(tmp_path, generator):
    """A common mistake: off by one, the code a step newer than its image, or the last step missing."""
    path, photos, seen = tmp_path / "c", targets(generator), []
    whole = run(generator, photos, checkpoint=path, checkpoint_every=12)
    again = run(generator, photos, checkpoint=path, resume=True, callback=lambda step: seen.append(step.step))
    assert seen == [12]  # the update was made: its image alone is drawn
    check_same(again, whole)


def tensors_in(state):
    nested = [tensors_in(value) if isinstance(value, dict) else [value] for value in state.values()]
    return [value for values in nested for value in values if isinstance(value, torch.Tensor)]


def test_numbers_begin_where_torch_lets_them_begin(checkpoint):
    """In a file they begin anywhere; a matrix product then rounds differently than in the run that was killed."""
    tensors = tensors_in(Checkpoint(checkpoint, 1, {}).read())
    assert len(tensors) > 5 and all(tensor.data_ptr() % 64 == 0 for tensor in tensors)


def test_without_resume_a_run_starts_again(generator, checkpoint):
    seen = []
    run(generator, targets(generator), checkpoint=checkpoint, callback=lambda step: seen.append(step.step))
    assert seen[0] == 0
    seen.clear()
    run(generator, targets(generator), checkpoint=checkpoint, checkpoint_every=100, callback=killer(99))
    run(generator, targets(generator), checkpoint=checkpoint, resume=True, callback=lambda step: seen.append(step.step))
    assert seen[0] == 8


def test_resume_without_a_file_starts(tmp_path, generator):
    assert run(generator, targets(generator), checkpoint=tmp_path / "new", resume=True).steps == 12


@pytest.mark.parametrize("every", [0, -1, 2.5, True])
def test_a_wrong_interval_is_refused(tmp_path, generator, every):
    with pytest.raises(SettingsError, match="checkpoint_every"):
        run(generator, targets(generator), checkpoint=tmp_path / "c", checkpoint_every=every)


def test_a_full_disk_leaves_the_checkpoint_before(generator, checkpoint, monkeypatch):
    before = checkpoint.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    whole = run(generator, targets(generator))
    monkeypatch.setattr("i2s.files.os.fsync", full)
    with pytest.warns(UserWarning, match="went on without it.*No space left"):
        result = run(generator, targets(generator), checkpoint=checkpoint, checkpoint_every=4, resume=True)
    assert checkpoint.read_bytes() == before and len(list(checkpoint.parent.iterdir())) == 1
    assert len(result.notices) == 1 and "No space left" in result.notices[0]
    check_same(result, whole)
    monkeypatch.undo()
    resumed = run(generator, targets(generator), checkpoint=checkpoint, resume=True)
    check_same(resumed, whole)


def test_a_disk_that_has_space_again_takes_the_next_checkpoint(tmp_path, generator, monkeypatch):
    fsync, calls, path = os.fsync, [], tmp_path / "c"

    def full_once(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr("i2s.files.os.fsync", full_once)
    with pytest.warns(UserWarning, match="No space left"):
        run(generator, targets(generator), checkpoint=path, checkpoint_every=4)
    assert len(calls) == 3 and Checkpoint(path, 4, {}).read()["updates"] == 12


def test_a_failing_checkpoint_does_not_end_a_run_that_makes_warnings_errors(tmp_path, generator, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("i2s.files.os.fsync", full)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(generator, targets(generator), checkpoint=tmp_path / "c", checkpoint_every=4).notices


@pytest.mark.parametrize("place", ["/proc/x/c", "file/c", "n" * 300, "a\0b"])
def test_the_place_of_a_checkpoint_is_tried_before_the_work(tmp_path, generator, place):
    (tmp_path / "file").write_text("a file, no folder")
    seen = []
    with pytest.raises(OutputError, match="cannot be written"):
        run(generator, targets(generator), checkpoint=tmp_path / place, callback=seen.append)
    assert not seen and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_checkpoint_in_the_home_folder(tmp_path, generator, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    run(generator, targets(generator), checkpoint="~/new/c", checkpoint_every=4)
    assert (tmp_path / "new" / "c").is_file()


@pytest.mark.parametrize("kind", ["result", "generator", "picture", "text"])
def test_a_checkpoint_replaces_no_other_file(tmp_path, generator, kind):
    path, photos, seen = tmp_path / "mine", targets(generator), []
    if kind == "result":
        run(generator, photos).save(path)
    elif kind == "generator":
        path = save_generator(generator, tmp_path / "g.safetensors", half=False)
    else:
        path.write_bytes(b"\x89PNG\r\n\x1a\n" if kind == "picture" else b"my notes")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="is no checkpoint and would be replaced"):
        run(generator, photos, checkpoint=path, checkpoint_every=1, callback=seen.append)
    assert path.read_bytes() == before and not seen


def test_a_checkpoint_replaces_none_of_another_run(generator, checkpoint):
    before = checkpoint.read_bytes()
    with pytest.raises(OutputError, match=r"other settings \(seed is 0 there and 1 here\)"):
        run(generator, targets(generator), checkpoint=checkpoint, checkpoint_every=1, seed=1)
    with pytest.raises(OutputError, match="other photos"):
        run(generator, targets(generator, seed=7), checkpoint=checkpoint, checkpoint_every=1)
    assert checkpoint.read_bytes() == before
    run(generator, targets(generator), checkpoint=checkpoint, checkpoint_every=1)
    assert checkpoint.read_bytes() != before


def test_a_file_that_comes_on_the_way_is_not_replaced(tmp_path, generator):
    """Two runs that are started at once with one file: the first one keeps it."""
    path = tmp_path / "c"

    def other(step):
        if step.step == 2:
            run(generator, targets(generator), seed=1, steps=4, checkpoint=path, checkpoint_every=4)

    with pytest.warns(UserWarning, match="seed is 1 there and 0 here"):
        result = run(generator, targets(generator), checkpoint=path, checkpoint_every=4, callback=other)
    assert result.steps == 12 and "seed" in result.notices[0]
    assert Checkpoint(path, 1, {}).read()["updates"] == 4


def test_an_empty_file_is_no_loss(tmp_path, generator):
    path = tmp_path / "c"
    path.touch()
    run(generator, targets(generator), checkpoint=path, checkpoint_every=4)
    assert path.stat().st_size


def same_but_for_snapshots(ours, theirs):
    for name in ("w_plus", "image", "loss"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    assert ours.photo_steps == theirs.photo_steps and ours.settings == theirs.settings


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"steps": 8}, {"steps": 20}),
        ({"steps": 8, "optimizer": "lbfgs"}, {"steps": 20, "optimizer": "lbfgs"}),
        ({"steps": 8, "space": "z"}, {"steps": 9, "space": "z"}),
        (
            {"noise": NoiseSettings("joint", 1, 0.05), "steps": 8},
            {"noise": NoiseSettings("joint", 1, 0.05), "steps": 14},
        ),
        ({"noise": NoiseSettings("after", 8)}, {"noise": NoiseSettings("after", 11)}),
        ({"tuning": TuningSettings(4)}, {"tuning": TuningSettings(7)}),
    ],
)
def test_a_finished_run_is_made_longer(tmp_path, generator, before, now):
    path, photos, seen = {"checkpoint": tmp_path / "c", "checkpoint_every": 4}, targets(generator, 1), []
    whole = run(generator, photos, **now)
    run(generator, photos, **before, **path)
    resumed = run(generator, photos, **now, **path, resume=True, callback=lambda step: seen.append(step.step))
    same_but_for_snapshots(resumed, whole)
    assert seen[0] >= 8 and seen[-1] == whole.steps
    same_but_for_snapshots(run(generator, photos, **now, **path, resume=True), whole)  # and again


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "ramp"},
        {"schedule": "cosine"},
        {"w_noise": 0.05},
        {"noise": NoiseSettings("after", 8)},
        {"tuning": TuningSettings(4)},
    ],
)
def test_a_run_whose_steps_would_have_been_others_is_not_made_longer(tmp_path, generator, changes):
    path = {"checkpoint": tmp_path / "c", "checkpoint_every": 4}
    run(generator, targets(generator, 1), steps=8, **changes, **path)
    with pytest.raises(SettingsError, match="steps is 8 there and 20 here"):
        run(generator, targets(generator, 1), steps=20, **changes, **path, resume=True)


def test_seconds_and_budget_go_on(tmp_path, generator):
    """What was spent before the kill counts."""
    path, changes = tmp_path / "c", {"steps": None, "budget": 2.0, "checkpoint": tmp_path / "c", "checkpoint_every": 1}

    def late(step):
        if step.seconds > 1.2:
            raise Killed

    with pytest.raises(Killed):
        run(generator, targets(generator), callback=late, **changes)
    assert path.exists()
    started = time.perf_counter()
    result = run(generator, targets(generator), resume=True, **changes)
    assert time.perf_counter() - started < 1.6 and result.seconds > 1.9


def test_patience_goes_on(tmp_path, generator):
    """A photo whose loss never falls ends after `patience` steps, those before the kill included."""
    photo = generator.synthesis(generator.w_mean.expand(1, generator.num_ws, -1))
    changes = {"patience": 10, "steps": 40, "checkpoint": tmp_path / "c", "checkpoint_every": 3}
    with pytest.raises(Killed):
        run(generator, photo, callback=killer(8), **changes)
    assert run(generator, photo, resume=True, **changes).photo_steps == [10]


def test_descriptions_hold_settings_and_no_addresses():
    text = described((Inpaint(half_mask(16)), Grey(), lambda x: x, FakeFeatureNet(), None))
    assert "0x" not in text and "Inpaint" in text and "lambda" in text
    assert described(Inpaint(half_mask(16))) != described(Inpaint(half_mask(16, "right")))


def scaled(factor):
    return lambda x: x * factor


SHIFT = 0.1


def shifted(x):
    return x + SHIFT


class Own:
    """A term of a user's own."""

    def __init__(self, weight=1.0):
        self.weight = weight

    def prepare(self, target):
        return target

    def __call__(self, images, target):
        return {"own": self.weight * (images - target).abs().mean(dim=(1, 2, 3))}


def other_own():
    class Own:
        def prepare(self, target):
            return target

        def __call__(self, images, target):
            return {"own": (images - target).square().mean(dim=(1, 2, 3))}

    Own.__qualname__ = "Own"
    return Own()


PAIRS = {
    "lambdas": (lambda x: x * 0.5, lambda x: x * 0.6),
    "closures": (scaled(0.5), scaled(0.6)),
    "partials": (functools.partial(torch.clamp, min=0), functools.partial(torch.clamp, min=0.1)),
    "operations": (lambda x: x.sin(), lambda x: x.cos()),
    "sets": (lambda x: x in {"a", "b"}, lambda x: x in {"a", "c"}),
    "masks": (Inpaint(half_mask(16)), Inpaint(half_mask(16, "right"))),
    "networks": (FakeFeatureNet(), FakeFeatureNet(seed=2)),
    "parameters": (torch.nn.Conv2d(1, 1, 1), torch.nn.Conv2d(1, 1, 1)),
    "settings": (torch.nn.Conv2d(1, 1, 1, stride=1), torch.nn.Conv2d(1, 1, 1, stride=2)),
    "terms": (Own(), Own(2.0)),
    "classes": (Own(), other_own()),
    "parts": (WeightedSum(PixelMSE()), WeightedSum(PixelMSE(), Own())),
}


@pytest.mark.parametrize("name", PAIRS)
def test_fingerprint_tells_apart_what_has_one_name(name):
    torch.manual_seed(0)
    first, second = PAIRS[name]
    if name == "settings":
        second.load_state_dict(first.state_dict())
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(first) == fingerprint(copy.deepcopy(first))


def test_fingerprint_sees_the_globals_of_a_function(monkeypatch):
    before = fingerprint(shifted)
    monkeypatch.setattr(sys.modules[__name__], "SHIFT", 0.2)
    assert fingerprint(shifted) != before


def test_fingerprint_ends_on_objects_that_hold_themselves():
    part = Own()
    part.parent = [part]
    assert fingerprint(part) == fingerprint(part) != fingerprint(Own())


def fingerprints():
    fixed = PAIRS.keys() - {"parameters", "settings"}  # the others' numbers are random
    return [fingerprint(part) for name in sorted(fixed) for part in PAIRS[name]]


def test_fingerprint_is_the_same_in_another_process():
    code = "import test_checkpoint; print(*test_checkpoint.fingerprints())"
    paths = os.pathsep.join([os.getcwd(), "tests", "tests/embedding"])
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split() == fingerprints()


def test_a_checkpoint_with_another_lambda_is_refused(tmp_path, generator):
    path = tmp_path / "c"
    half = [lambda x: x * 0.5 for _ in range(2)]
    written = {"checkpoint": path, "checkpoint_every": 4}
    with pytest.raises(Killed):
        run(generator, targets(generator), degradation=half[0], callback=killer(9), **written)
    with pytest.raises(SettingsError, match="other task"):
        run(generator, targets(generator), degradation=lambda x: x * 0.6, checkpoint=path, resume=True)
    seen = []
    with pytest.raises(SettingsError, match="other task"):  # also of another name
        run(generator, targets(generator), degradation=scaled(0.5), checkpoint=path, resume=True)
    run(generator, targets(generator), degradation=half[1], checkpoint=path, resume=True, callback=seen.append)
    assert seen[0].step == 8


def test_resume_without_a_checkpoint_is_refused(generator):
    with pytest.raises(SettingsError, match="checkpoint=FILE"):
        run(generator, targets(generator), resume=True)


def test_a_checkpoint_of_an_older_version_is_one_sentence(tmp_path, generator):
    path = write_safetensors(tmp_path / "c", {}, "i2s-checkpoint", 1, {"identity": "{}", "notes": "{}"})
    with pytest.raises(LatentError, match="older i2s"):
        run(generator, targets(generator), checkpoint=path, resume=True)


SCRIPT = """
import sys, time, torch
from helpers import FakeFeatureNet, small_generator, targets
from i2s.embedding import embed
torch.set_num_threads(1)
generator = small_generator()
slow = lambda step: time.sleep(0.1)
changes = {"steps": 60, "learning_rate": 0.05, "patience": 8, "checkpoint": sys.argv[1], "checkpoint_every": 3}
embed(targets(generator), generator, perceptual=FakeFeatureNet(), progress=False, callback=slow, **changes)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_real_kill(tmp_path, generator):
    """SIGKILL in the middle of another process; this one goes on, and ends where an uninterrupted one does."""
    path = tmp_path / "run.safetensors"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([os.getcwd(), "tests"])}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], env=environment)
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    changes, seen = {"steps": 60, "learning_rate": 0.05, "patience": 8}, []
    resumed = run(
        generator, targets(generator), checkpoint=path, resume=True, callback=lambda s: seen.append(s.step), **changes
    )
    assert seen[0] >= 3
    check_same(resumed, run(generator, targets(generator), **changes))


def test_a_folder_is_no_checkpoint_and_is_said_before_the_search(tmp_path, generator):
    seen = []
    with pytest.raises(OutputError, match="folder"):
        run(generator, targets(generator), checkpoint=tmp_path, checkpoint_every=4, callback=seen.append)
    assert not seen
