"""What comes out of a run: the files that ship, and the report with its numbers and contact sheets."""

import json
import math

import numpy as np
import pytest
import torch
from helpers import small_generator
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_run import FakeFeatureNet, make_trainer, quiet, random_faces, squeezenet_weights, write_zip

from i2s.course.lesson01 import layer_groups
from i2s.encoder import Encoder, load_encoder, save_encoder
from i2s.errors import ImageError, OutputError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import read_metadata, save_generator
from i2s.images import dequantize
from i2s.latents import latent_statistics, to_p
from training import evaluate, export, sheets
from training.__main__ import main
from training.checkpoint import save_checkpoint
from training.metrics import sample_images
from training.warm_start import before_activation


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of ten steps."""
    run = make_trainer(tmp_path_factory.mktemp("run"))
    run.train(report=quiet)
    return run


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    text = ("--text", "licence=MIT", "--text", "data=blobs = pictures")
    files = ("--out", str(folder / "faces-16.safetensors"), "--encoder", str(folder / "encoder-16.safetensors"))
    assert main(["export", "--run", str(run.folder), *files, *text]) == 0
    return folder


# --- export -----------------------------------------------------------------------------------------------------


def test_export_writes_the_average_rounded_to_half(run, exported):
    generator = load_generator(exported / "faces-16.safetensors")
    for name, ours in generator.named_parameters():
        assert torch.equal(ours, run.g_ema.get_parameter(name).half().float()), name
    for ours, theirs in zip(generator.noise_maps(), run.g_ema.noise_maps()):
        assert torch.equal(ours, theirs)
    w = generator.mapping(generator.sample_z(4, 0))
    assert torch.allclose(generator.synthesis(w), run.g_ema.synthesis(w), atol=0.02)


def test_export_computes_mean_and_statistics_of_the_rounded_mapping_network(exported):
    generator = load_generator(exported / "faces-16.safetensors")
    w = generator.mapping(generator.sample_z(50_000, 7))[:, 0]
    assert torch.allclose(w.mean(0), generator.w_mean, atol=0.02 * w.std().item())
    same = generator.mapping(generator.sample_z(100_000, 0))[:, 0].mean(0)  # the codes it was made of
    assert torch.allclose(same, generator.w_mean, atol=1e-6)
    assert torch.allclose(to_p(w).mean(0), generator.latents.mean, atol=0.02 * to_p(w).std().item())
    own = latent_statistics(generator).std
    generator.latents = None
    assert torch.allclose(own, latent_statistics(generator, 50_000, seed=7).std, rtol=0.05)


def test_export_writes_metadata(exported):
    generator = read_metadata(exported / "faces-16.safetensors")
    encoder = read_metadata(exported / "encoder-16.safetensors")
    assert generator["format"] == "i2s-generator" and encoder["format"] == "i2s-encoder"
    for texts in (generator, encoder):
        assert texts["licence"] == "MIT" and texts["data"] == "blobs = pictures"
    assert generator["training"].startswith("0 thousand images adversarial, after 0 as an auto-encoder; Frechet")


def test_export_repeats(run, exported, tmp_path):
    again, first = tmp_path / "faces-16.safetensors", exported / "faces-16.safetensors"
    text = ("--text", "licence=MIT", "--text", "data=blobs = pictures")
    assert main(["export", "--run", str(run.folder), "--out", str(again), *text]) == 0
    assert read_metadata(again) == read_metadata(first)
    ours, theirs = load_file(again), load_file(first)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_training_text_counts_each_phase():
    state = {"phase": "adversarial", "images": 600_000, "total": 685_000, "metric": 612.3}
    expected = "600 thousand images adversarial, after 85 as an auto-encoder; Frechet distance 612"
    assert export.training_text(state) == expected
    plain = {"phase": "done", "images": 2_000_000, "total": 2_000_000, "metric": None}
    assert export.training_text(plain) == "2000 thousand images adversarial"
    assert export.training_text(state | {"phase": "autoencode"}).startswith("0 thousand images adversarial, after 685")


def test_export_without_a_run_is_one_sentence(tmp_path, capsys):
    assert main(["export", "--run", str(tmp_path), "--out", str(tmp_path / "g.safetensors")]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", "--run", str(tmp_path), "--out", "g.safetensors", "--text", "licence"])
    save_checkpoint(tmp_path, {"student.weight": torch.zeros(1)}, {"images": 32})  # as of a distillation
    assert main(["export", "--run", str(tmp_path), "--out", str(tmp_path / "g.safetensors")]) == 2
    assert "of another command" in capsys.readouterr().err and not (tmp_path / "g.safetensors").exists()
    for scale in ("0", "-1", "3", "nan"):
        with pytest.raises(SystemExit):
            main(["export", "--run", str(tmp_path), "--out", "g.safetensors", "--latent-std-scale", scale])


def test_export_scales_the_std_of_random_codes_and_nothing_else(run, exported, tmp_path):
    out = str(tmp_path / "g.safetensors")
    assert main(["export", "--run", str(run.folder), "--out", out, "--latent-std-scale", "1.5"]) == 0
    plain, wide = load_generator(exported / "faces-16.safetensors"), load_generator(tmp_path / "g.safetensors")
    z = plain.sample_z(4000, 1)
    x, y = (before_activation(generator.mapping(z)[:, 0]) for generator in (plain, wide))
    assert torch.allclose(y - y.mean(0), 1.5 * (x - x.mean(0)), atol=0.02 * float(x.std()))
    assert (y.mean(0) - x.mean(0)).norm() < 0.05 * x.std(0).norm()
    for name, ours in plain.synthesis.named_parameters():
        assert torch.equal(ours, wide.synthesis.get_parameter(name)), name


# --- encoder ----------------------------------------------------------------------------------------------------


def test_export_writes_the_runs_encoder(run, exported):
    encoder = load_encoder(exported / "encoder-16.safetensors")
    photos = dequantize(random_faces(6))
    assert torch.allclose(encoder(photos), run.encoder(photos), atol=0.02) and not encoder.training
    assert encoder.w_dim == 16 and encoder.resolution == 16


def test_encoder_says_which_photos_it_takes(exported):
    encoder = load_encoder(exported / "encoder-16.safetensors")
    with pytest.raises(ImageError, match="16"):
        encoder(torch.zeros(1, 3, 32, 32))


def test_encoder_in_full_precision_is_exact(tmp_path):
    torch.manual_seed(0)
    encoder = Encoder((8, 6), 5)
    again = load_encoder(save_encoder(encoder, tmp_path / "e.safetensors", half=False))
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, metadata: metadata.update(format="i2s-generator"),
        lambda tensors, metadata: metadata.update(version="2"),
        lambda tensors, metadata: metadata.update(config="{"),
        lambda tensors, metadata: metadata.update(
            config=json.dumps({"channels": [8, 6], "w_dim": 10**9, "resolution": 8})
        ),
        lambda tensors, metadata: metadata.update(
            config=json.dumps({"channels": [8, 6, 6], "w_dim": 5, "resolution": 8})
        ),
        lambda tensors, metadata: tensors.pop("out.bias"),
        lambda tensors, metadata: tensors.update({"out.bias": torch.zeros(7)}),
        lambda tensors, metadata: tensors.update({"out.bias": torch.full([5], math.inf)}),
    ],
)
def test_encoder_file_that_is_spoilt_is_refused(tmp_path, spoil):
    path = save_encoder(Encoder((8, 6), 5), tmp_path / "e.safetensors")
    tensors, metadata = load_file(path), read_metadata(path)
    spoil(tensors, metadata)
    save_file(tensors, path, metadata)
    with pytest.raises(WeightFileError, match="e.safetensors"):
        load_encoder(path)


def test_encoder_file_that_is_missing_or_truncated_is_refused(tmp_path):
    with pytest.raises(WeightFileError, match="no file"):
        load_encoder(tmp_path / "none.safetensors")
    path = save_encoder(Encoder((8, 6), 5), tmp_path / "e.safetensors")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightFileError, match="broken"):
        load_encoder(path)
    with pytest.raises(OutputError):
        save_encoder(Encoder((8, 6), 5), tmp_path)


# --- report -----------------------------------------------------------------------------------------------------


def test_progress_sheet_shows_samples_photos_and_reconstructions(run, tmp_path):
    photos = dequantize(random_faces(4))
    sheets.save_progress_sheet(run.g_ema, tmp_path / "s.png", photos, run.encoder(photos), columns=4, rows=2)
    sheet = torch.from_numpy(np.array(Image.open(tmp_path / "s.png"))).permute(2, 0, 1)
    assert sheet.shape == (3, 4 * 16, 4 * 16)
    assert torch.equal(sheet[:, 32:48, 16:32], random_faces()[1])  # the third row holds the photos


def test_sheets_have_the_sizes_of_their_content():
    generator = small_generator(32)
    small = sheets.samples_sheet(generator, 0.7, count=16)
    assert small.size[0] > 8 * 128
    mixing = sheets.mixing_sheet(generator, layer_groups(32), columns=3)
    assert mixing.size[1] > 7 * 128  # one row of B, two lines for each of three groups
    strip = sheets.interpolation_sheet(generator, lines=2, steps=5)
    assert strip.size[0] > 5 * 128


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The inputs of the command: faces, a SqueezeNet of random weights, a generator."""
    folder = tmp_path_factory.mktemp("inputs")
    write_zip(folder, random_faces(40, 32))
    save_file(squeezenet_weights(), folder / "squeezenet.safetensors")
    save_generator(small_generator(32), folder / "generator.safetensors")
    return folder


def command(files, out, *more, generator="generator.safetensors", faces="faces.zip"):
    base = ["--generator", files / generator, "--faces", files / faces, "--features", files / "squeezenet.safetensors"]
    return main(["evaluate", *(str(a) for a in [*base, "--out", out, "--samples", "64", *more])])


def test_evaluate_writes_a_complete_report(files, tmp_path):
    assert command(files, tmp_path / "report") == 0
    names = {path.name for path in (tmp_path / "report").iterdir()}
    expected = {"samples-psi-1.png", "samples-psi-0.7.png", "style-mixing.png", "interpolation.png", "neighbours.png"}
    assert names == expected | {"metrics.json", "metrics.md"}
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert found["SqueezeNet"]["psi 1"].keys() == {"frechet", "precision", "recall"}
    scale = found["SqueezeNet"]["scale"]
    assert set(scale) == {"two halves of the real faces", "real faces blurred, 0.5 px", "real faces blurred, 1 px"}
    assert found["path length"]["w"] > 0 and len(found["nearest"]["samples"]) == 16
    assert found["layers"].keys() == {"coarse", "middle", "fine"}
    table = (tmp_path / "report" / "metrics.md").read_text()
    assert "| samples, psi 0.7 |" in table and "| coarse |" in table and "in W" in table


def test_evaluate_finds_samples_that_are_training_faces(tmp_path):
    """A generator that memorised: its samples are much nearer to training faces than those are to each other."""
    generator, net = small_generator(32), FakeFeatureNet()
    own = torch.cat([sample_images(generator, 64, seed=0), random_faces(64, 32)])
    found = evaluate.evaluate(generator, own, net, tmp_path, {"fake": net}, samples=64, report=quiet)
    assert found["nearest"]["samples, median"] < 0.01 < found["nearest"]["real faces, median"]


@pytest.mark.parametrize(
    "wrong, code",
    [
        ({"generator": "faces.zip"}, 5),
        ({"generator": "none.safetensors"}, 5),
        ({"faces": "generator.safetensors"}, 3),
        ({"more": ("--vgg", "none.safetensors")}, 5),
        ({"out": "faces.zip"}, 7),
    ],
)
def test_evaluate_answers_a_wrong_argument_by_one_sentence_and_an_exit_code(files, tmp_path, capsys, wrong, code):
    wrong = dict(wrong)
    out = files / wrong.pop("out") if "out" in wrong else tmp_path
    assert command(files, out, *wrong.pop("more", ()), **wrong) == code
    error = capsys.readouterr().err.strip()
    assert error and "\n" not in error and "Traceback" not in error


def test_evaluate_refuses_an_impossible_folder_before_the_work(files, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: pytest.fail("measured for minutes, and then lost it"))
    assert command(files, files / "faces.zip") == 7
    assert "cannot be the folder of results" in capsys.readouterr().err
