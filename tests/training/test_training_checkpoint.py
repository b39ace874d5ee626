"""Checkpoints: whole or not there, in pieces, the newest kept."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import save_file

from i2s.errors import OutputError, WeightFileError
from training import checkpoint
from training.checkpoint import load_checkpoint, save_checkpoint


def state_of(number, count=4):
    return {f"t{k}": torch.full([3], float(number)) for k in range(count)}


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, state_of(1), {"n": 1})
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 12)
    pieces = []

    def dies(piece, path):
        save_file(piece, path)
        pieces.append(path)
        if len(pieces) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", dies)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, state_of(2), {"n": 2})
    monkeypatch.setattr(checkpoint, "save_file", save_file)
    tensors, state = load_checkpoint(tmp_path)
    assert state == {"n": 1} and torch.equal(tensors["t3"], torch.full([3], 1.0))
    save_checkpoint(tmp_path, state_of(3, 2), {"n": 3})  # the leavings of the dead one are not in it
    tensors, state = load_checkpoint(tmp_path)
    assert state == {"n": 3} and tensors.keys() == {"t0", "t1"}


def test_a_real_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    program = """if True:
        import sys, torch
        from training import checkpoint
        checkpoint.PIECE_BYTES = 40_000
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


def test_pieces_are_of_15_mb_at_most_and_no_tensor_is_cut(tmp_path):
    sizes = (3_000_000, 700_000, 100, 3_600_000, 1_000_000)
    tensors = {f"t{k}": torch.arange(n, dtype=torch.float32) for k, n in enumerate(sizes)}
    folder = save_checkpoint(tmp_path, tensors, {})
    pieces = list(folder.glob("piece-*"))
    assert len(pieces) == 3 and all(p.stat().st_size <= 15_001_000 for p in pieces)
    loaded, _ = load_checkpoint(tmp_path)
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[k], t) for k, t in tensors.items())


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_newest_checkpoints_are_kept(tmp_path, keep):
    for number in range(1, 8):
        save_checkpoint(tmp_path, state_of(number), {"n": number}, keep=keep)
        kept = sorted(p.name for p in tmp_path.glob("checkpoint-*"))
        assert kept == [f"checkpoint-{k:06d}" for k in range(max(1, number - keep + 1), number + 1)]
    assert load_checkpoint(tmp_path)[1] == {"n": 7}


def test_other_folders_of_a_run_are_left_alone(tmp_path):
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-best" / "state.json").write_text("{}")
    save_checkpoint(tmp_path, state_of(1), {"n": 1})
    assert load_checkpoint(tmp_path)[1] == {"n": 1} and (tmp_path / "checkpoint-best").is_dir()
    assert load_checkpoint(tmp_path / "none") is None


def test_a_full_disk_keeps_the_one_before_and_says_so(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, state_of(1), {"n": 1})

    def full(piece, path):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(tmp_path, state_of(2), {"n": 2})
    assert load_checkpoint(tmp_path)[1] == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-000001"]  # nothing half-written keeps the disk full


@pytest.mark.parametrize("text", ["[]", "3", '{"pieces": 1, "state": []}', "{", ""])
def test_a_state_that_is_no_table_is_a_damaged_checkpoint(tmp_path, text):
    path = save_checkpoint(tmp_path, state_of(1), {"n": 1})
    (path / "state.json").write_text(text)
    with pytest.raises(WeightFileError, match="checkpoint-000001 is damaged"):
        load_checkpoint(tmp_path)


def test_a_checkpoint_is_on_the_disk_before_the_one_before_it_goes(tmp_path, monkeypatch):
    """A power cut after the rename may otherwise leave a new one of empty files, and no old one."""
    older = save_checkpoint(tmp_path, state_of(1), {"n": 1})
    synced, fsync = [], os.fsync

    def watch(handle):
        assert older.is_dir()
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watch)
    newer = save_checkpoint(tmp_path, state_of(2), {"n": 2})
    assert {file.stat().st_ino for file in newer.iterdir()} <= set(synced) and not older.exists()
