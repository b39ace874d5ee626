"""Checkpoints: complete or not there, replaced as a whole."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from i2s.errors import OutputError, WeightFileError
from training.checkpoint import FILE, FORMAT, adam_tensors, load_checkpoint, restore_adam, save_checkpoint


def tensors_of(number, count=4):
    return {f"t{k}": torch.full([3], float(number)) for k in range(count)}


def test_a_checkpoint_replaces_the_one_before(tmp_path):
    for number, count in ((1, 4), (2, 2)):
        assert save_checkpoint(tmp_path, tensors_of(number, count), {"n": number}) == tmp_path / FILE
    tensors, state = load_checkpoint(tmp_path)
    assert state == {"n": 2} and tensors.keys() == {"t0", "t1"}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_folder_without_a_checkpoint_has_none(tmp_path):
    assert load_checkpoint(tmp_path) is None and load_checkpoint(tmp_path / "none") is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_write_that_fails_leaves_the_one_before_and_nothing_else(tmp_path, monkeypatch, error):
    save_checkpoint(tmp_path, tensors_of(1), {"n": 1})
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(error))
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if isinstance(error, OSError) else None):
        save_checkpoint(tmp_path, tensors_of(2), {"n": 2})
    monkeypatch.setattr(os, "replace", replace)
    tensors, state = load_checkpoint(tmp_path)
    assert state == {"n": 1} and torch.equal(tensors["t3"], torch.full([3], 1.0))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_kill_at_any_moment_leaves_a_complete_checkpoint(tmp_path):
    program = """if True:
        import sys, torch
        from training import checkpoint
        number = 0
        while True:
            number += 1
            tensors = {f"t{k}": torch.full([10_000], float(number)) for k in range(20)}
            checkpoint.save_checkpoint(sys.argv[1], tensors, {"number": number})
            print(number, flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        for wait in (0.0, 0.003, 0.007):
            child.stdout.readline()
            time.sleep(wait)
            os.kill(child.pid, signal.SIGSTOP)  # all that a kill would leave
            tensors, state = load_checkpoint(tmp_path)
            assert len(tensors) == 20
            assert all(bool((t == state["number"]).all()) for t in tensors.values())
            os.kill(child.pid, signal.SIGCONT)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_other_files_of_a_run_are_left_alone(tmp_path):
    (tmp_path / "best").mkdir()
    save_checkpoint(tmp_path / "best", tensors_of(5), {"n": 5})
    save_checkpoint(tmp_path, tensors_of(1), {"n": 1})
    assert load_checkpoint(tmp_path)[1] == {"n": 1} and load_checkpoint(tmp_path / "best")[1] == {"n": 5}


def test_a_checkpoint_is_on_the_disk_before_the_one_before_it_goes(tmp_path, monkeypatch):
    """A power cut after the replacement may otherwise leave an empty file."""
    save_checkpoint(tmp_path, tensors_of(1), {"n": 1})
    synced = []
    fsync = os.fsync

    def watch(handle):
        assert load_checkpoint(tmp_path)[1] == {"n": 1}
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watch)
    assert save_checkpoint(tmp_path, tensors_of(2), {"n": 2}).stat().st_ino in synced


@pytest.mark.parametrize("text", ["[]", "3", "{", "", None])
def test_a_state_that_is_no_table_is_a_damaged_checkpoint(tmp_path, text):
    metadata = {"format": FORMAT, "version": "1"} | ({} if text is None else {"state": text})
    save_file(tensors_of(1), tmp_path / FILE, metadata)
    with pytest.raises(WeightFileError, match=f"{FILE} is damaged: remove it, or start a new run"):
        load_checkpoint(tmp_path)


def test_a_truncated_and_a_foreign_file_are_no_checkpoint(tmp_path):
    path = save_checkpoint(tmp_path, tensors_of(1), {"n": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightFileError, match=f"{FILE} is broken"):
        load_checkpoint(tmp_path)
    save_file(tensors_of(1), path)
    with pytest.raises(WeightFileError, match="is not a training checkpoint: remove it, or start a new run"):
        load_checkpoint(tmp_path)


def test_adam_goes_on_from_its_tensors(tmp_path):
    def update(optimizer, weight):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()

    weights = [torch.nn.Parameter(torch.arange(3.0)) for _ in range(2)]
    first, second = (torch.optim.Adam([w], lr=0.1) for w in weights)
    update(first, weights[0])
    save_checkpoint(tmp_path, adam_tensors(first) | {"w": weights[0].detach()}, {})
    tensors = load_file(tmp_path / FILE)
    weights[1].data.copy_(tensors.pop("w"))
    restore_adam(second, tensors)
    for optimizer, weight in zip((first, second), weights):
        update(optimizer, weight)
    assert torch.equal(*weights)
