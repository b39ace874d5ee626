"""`python -m training`: it goes on, it stops when told to, and what is wrong is one sentence."""

import dataclasses
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from tiny_run import BATCH, MATCHED, TINY, random_faces, squeezenet_weights, write_zip

from i2s.generators.file import save_generator
from training.__main__ import COMMANDS, main
from training.checkpoint import load_checkpoint
from training.configs import CONFIGS
from training.export import read_run
from training.trainer import Trainer


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A zip of 12 images, and a SqueezeNet of random weights."""
    folder = tmp_path_factory.mktemp("files")
    write_zip(folder, random_faces(12))
    save_file(squeezenet_weights(), folder / "squeezenet.safetensors")
    return folder


def train(files, run, *more, faces="faces.zip", features="squeezenet.safetensors", config="tiny-32"):
    base = [config, "--faces", files / faces, "--features", files / features, "--run", run]
    return main(["train", *(str(a) for a in [*base, "--device", "cpu", *more])])


@pytest.fixture
def config(monkeypatch):
    """SqueezeNet needs 32 px or more."""
    channels = dict.fromkeys(("channels", "discriminator_channels", "encoder_channels"), (8,) * 4)
    small = dataclasses.replace(TINY, resolution=32, metric_kimg=1.0, **channels)
    monkeypatch.setitem(CONFIGS, "tiny-32", small)
    return small


def test_train_starts_and_goes_on(files, tmp_path, config, capsys):
    assert train(files, tmp_path / "run", "--minutes", "0") == 0
    assert "autoencode, 0 kimg" in capsys.readouterr().out
    assert train(files, tmp_path / "run") == 0
    assert load_checkpoint(tmp_path / "run")[1]["phase"] == "done"
    capsys.readouterr()
    assert train(files, tmp_path / "run") == 0  # nothing is left to do
    assert "done" in capsys.readouterr().out


def test_train_goes_through_a_matched_run(files, tmp_path, config, monkeypatch):
    """The recipe of faces-128, by the command, with a SqueezeNet."""
    sizes = {name: getattr(config, name) for name in ("resolution", "channels")}
    sizes |= {"discriminator_channels": config.channels, "encoder_channels": config.channels}
    monkeypatch.setitem(CONFIGS, "tiny-32", dataclasses.replace(MATCHED, **sizes))
    assert train(files, tmp_path / "run") == 0
    generator, encoder, state = read_run(tmp_path / "run")
    assert state["phase"] == "done" and state["frozen"] and generator.resolution == encoder.resolution == 32


def test_train_starts_from_a_generator(files, tmp_path, config, capsys):
    assert train(files, tmp_path / "first") == 0
    generator, _, _ = read_run(tmp_path / "first")
    start = save_generator(generator, tmp_path / "start.safetensors")
    assert train(files, tmp_path / "run", "--start", start, "--minutes", "0", "--seed", "5") == 0
    again, _, state = read_run(tmp_path / "run")
    assert state["hold"] and torch.allclose(again.synthesis.const, generator.synthesis.const, atol=1e-3)
    assert train(files, tmp_path / "other", "--start", files / "faces.zip") == 5
    assert "faces.zip" in capsys.readouterr().err


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
def test_train_answers_a_wrong_argument_by_one_sentence_and_an_exit_code(
    files, tmp_path, config, capsys, wrong, code, words
):
    save_file({"conv1_1.weight": torch.zeros(3)}, files / "other.safetensors")
    wrong = dict(wrong)
    run = files / wrong.pop("run") if "run" in wrong else tmp_path / "run"
    assert train(files, run, *wrong.pop("more", ()), **wrong) == code
    error = capsys.readouterr().err.strip()
    assert words in error and error.endswith(".") and "\n" not in error and "Traceback" not in error


def test_projected_config_asks_for_the_weights_of_vgg(files, tmp_path, capsys):
    assert train(files, tmp_path / "run", config="cpu-64") == 2
    assert "--vgg" in capsys.readouterr().err


def test_errors_are_told_by_a_torch_without_its_new_out_of_memory_class(files, tmp_path, config, monkeypatch):
    """Before torch 2.5 the class was torch.cuda's alone; it is looked for when anything goes wrong."""
    monkeypatch.delattr(torch, "OutOfMemoryError", raising=False)
    assert train(files, tmp_path / "run", faces="missing.zip") == 3


def test_too_little_memory_is_one_sentence(files, tmp_path, config, monkeypatch, capsys):
    def full(self, *_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "train", full)
    assert train(files, tmp_path / "run") == 8
    assert "too little memory for train: free some of it." in capsys.readouterr().err


def test_unknown_config_lists_the_known_ones(files, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        train(files, tmp_path, config="cpu-65")
    assert stop.value.code == 2 and "cpu-64" in capsys.readouterr().err


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_the_step_and_saves(files, tmp_path, config, monkeypatch, capsys, number, code):
    before = signal.getsignal(number)
    step = Trainer._adversarial
    monkeypatch.setattr(Trainer, "_adversarial", lambda self, *a: os.kill(os.getpid(), number) or step(self, *a))
    assert train(files, tmp_path / "run") == code
    state = load_checkpoint(tmp_path / "run")[1]
    assert state["phase"] == "adversarial" and state["images"] == BATCH  # the current step is complete
    assert "same command goes on" in capsys.readouterr().out
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and f"python -m training {command}" in text and "--" in text


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and all(name in text for name in COMMANDS)


def test_train_imports_neither_the_course_nor_its_widgets():
    """A GPU machine need not have them."""
    program = "import sys, training.train; print([n for n in sys.modules if n in ('i2s.course', 'ipywidgets')])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
