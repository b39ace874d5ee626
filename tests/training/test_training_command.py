"""The command that trains: it goes on, it stops when told to, and what is wrong is one sentence."""

import dataclasses
import os
import signal
import zipfile

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_run import BATCH, TINY, pictures, squeezenet_weights

from training import train as generator
from training.checkpoint import load_checkpoint
from training.configs import PRESETS
from training.trainer import Trainer


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A zip of 12 pictures, and a SqueezeNet of random weights."""
    folder = tmp_path_factory.mktemp("files")
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for k, picture in enumerate(pictures(12)):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / "face.png")
            archive.write(folder / "face.png", f"{k:02d}.png")
    save_file(squeezenet_weights(), folder / "squeezenet.safetensors")
    return folder


def command(files, run, *more, faces="faces.zip", features="squeezenet.safetensors", preset="tiny-32"):
    base = ["--preset", preset, "--faces", files / faces, "--features", files / features, "--run", run]
    return generator.main([str(a) for a in [*base, "--device", "cpu", *more]])


@pytest.fixture
def preset(monkeypatch):
    """SqueezeNet needs 32 px or more."""
    sizes = {"resolution": 32, "channels": (8,) * 4, "discriminator_channels": (8,) * 4}
    small = dataclasses.replace(TINY, metric_kimg=1.0, **sizes)
    monkeypatch.setitem(PRESETS, "tiny-32", small)


def test_the_command_trains_and_goes_on(files, tmp_path, preset, capsys):
    assert command(files, tmp_path / "run", "--minutes", "0") == 0
    assert "autoencode, 0 kimg" in capsys.readouterr().out
    assert command(files, tmp_path / "run") == 0
    assert load_checkpoint(tmp_path / "run")[1]["phase"] == "done"
    capsys.readouterr()
    assert command(files, tmp_path / "run") == 0  # nothing is left to do
    assert "done" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong, code, words",
    [
        ({"faces": "missing.zip"}, 3, "missing.zip"),
        ({"faces": "squeezenet.safetensors"}, 3, "not a zip"),
        ({"features": "missing.safetensors"}, 5, "missing.safetensors"),
        ({"features": "faces.zip"}, 5, "SqueezeNet"),
        ({"features": "other.safetensors"}, 5, "SqueezeNet"),
        ({"run": "faces.zip"}, 7, "faces.zip"),
        ({"more": ("--device", "gpu7")}, 8, "gpu7"),
        ({"more": ("--device", "cuda:99")}, 8, "cuda:99"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_an_exit_code(files, tmp_path, preset, capsys, wrong, code, words):
    save_file({"conv1_1.weight": torch.zeros(3)}, files / "other.safetensors")
    wrong = dict(wrong)
    run = files / wrong.pop("run") if "run" in wrong else tmp_path / "run"
    assert command(files, run, *wrong.pop("more", ()), **wrong) == code
    error = capsys.readouterr().err.strip()
    assert words in error and error.endswith(".") and "\n" not in error and "Traceback" not in error


def test_errors_are_told_with_a_torch_that_does_not_know_running_out_of_memory(files, tmp_path, preset, monkeypatch):
    """Before torch 2.5 the class was torch.cuda's alone; it is looked for when anything goes wrong."""
    monkeypatch.delattr(torch, "OutOfMemoryError", raising=False)
    assert command(files, tmp_path / "run", faces="missing.zip") == 3


def test_a_preset_that_does_not_exist_lists_those_that_do(files, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command(files, tmp_path, preset="cpu-65")
    assert stop.value.code == 2 and "cpu-64" in capsys.readouterr().err


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_and_saves(files, tmp_path, preset, monkeypatch, capsys, number, code):
    before = signal.getsignal(number)
    step = Trainer._adversarial
    monkeypatch.setattr(Trainer, "_adversarial", lambda self: os.kill(os.getpid(), number) or step(self))
    assert command(files, tmp_path / "run") == code
    state = load_checkpoint(tmp_path / "run")[1]
    assert state["phase"] == "adversarial" and state["images"] == BATCH  # the step under way is whole
    assert "same command goes on" in capsys.readouterr().out
    assert signal.getsignal(number) == before


def test_help_is_quick_to_read(capsys):
    with pytest.raises(SystemExit) as stop:
        generator.main(["--help"])
    assert stop.value.code == 0 and "--preset" in capsys.readouterr().out
