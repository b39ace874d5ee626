"""What comes out of a run: the files that ship, the curves, the report with its numbers and sheets."""

import json
import math
import zipfile

import numpy as np
import pytest
import torch
from helpers import tiny_generator
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_run import Eye, pictures, quiet, squeezenet_weights, trainer

from i2s.encoder import load_encoder, save_encoder
from i2s.errors import ImageError, OutputError, SettingsError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import read_metadata
from i2s.latents import latent_statistics, to_p
from training import curves, evaluate, export, sheets
from training.checkpoint import save_checkpoint
from training.dataset import to_range
from training.discriminators import Encoder
from training.warm_start import before_activation


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of ten steps."""
    run = trainer(tmp_path_factory.mktemp("run"))
    run.train(60, report=quiet)
    return run


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    text = ("--text", "licence=MIT", "--text", "data=blobs = pictures")
    files = ("--out", str(folder / "faces-16.safetensors"), "--encoder", str(folder / "encoder-16.safetensors"))
    assert export.main(["--run", str(run.folder), *files, *text]) == 0
    return folder


# ---- export -----------------------------------------------------------------------------------------------------


def test_the_exported_generator_is_the_average_rounded_to_half(run, exported):
    generator = load_generator(exported / "faces-16.safetensors")
    for name, ours in generator.named_parameters():
        assert torch.equal(ours, run.average.get_parameter(name).half().float()), name
    for ours, theirs in zip(generator.noise_maps(), run.average.noise_maps()):
        assert torch.equal(ours, theirs)
    w = generator.mapping(generator.sample_z(4, 0))
    assert torch.allclose(generator.synthesis(w), run.average.synthesis(w), atol=0.02)


def test_the_exported_mean_and_statistics_are_those_of_the_rounded_mapping_network(exported):
    generator = load_generator(exported / "faces-16.safetensors")
    w = generator.mapping(generator.sample_z(50_000, 7))[:, 0]
    assert torch.allclose(w.mean(0), generator.w_mean, atol=0.02 * w.std().item())
    same = generator.mapping(generator.sample_z(100_000, 0))[:, 0].mean(0)  # the codes it was made of
    assert torch.allclose(same, generator.w_mean, atol=1e-6)
    assert torch.allclose(to_p(w).mean(0), generator.latents.mean, atol=0.02 * to_p(w).std().item())
    own = latent_statistics(generator).std
    generator.latents = None
    assert torch.allclose(own, latent_statistics(generator, 50_000, seed=7).std, rtol=0.05)


def test_the_exported_files_say_what_they_are(exported):
    generator = read_metadata(exported / "faces-16.safetensors")
    encoder = read_metadata(exported / "encoder-16.safetensors")
    assert generator["format"] == "i2s-generator" and encoder["format"] == "i2s-encoder"
    for texts in (generator, encoder):
        assert texts["licence"] == "MIT" and texts["data"] == "blobs = pictures"
    assert generator["training"].startswith("0 thousand images adversarial, after 0 as an auto-encoder; Frechet")


def test_an_export_repeats(run, exported, tmp_path):
    again, first = tmp_path / "faces-16.safetensors", exported / "faces-16.safetensors"
    text = ("--text", "licence=MIT", "--text", "data=blobs = pictures")
    assert export.main(["--run", str(run.folder), "--out", str(again), *text]) == 0
    assert read_metadata(again) == read_metadata(first)
    ours, theirs = load_file(again), load_file(first)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_text_counts_each_phase():
    state = {"phase": "adversarial", "images": 600_000, "total": 685_000, "metric": 612.3}
    expected = "600 thousand images adversarial, after 85 as an auto-encoder; Frechet distance 612"
    assert export.training_text(state) == expected
    plain = {"phase": "done", "images": 2_000_000, "total": 2_000_000, "metric": None}
    assert export.training_text(plain) == "2000 thousand images adversarial"
    assert export.training_text(state | {"phase": "autoencode"}).startswith("0 thousand images adversarial, after 685")


def test_an_export_without_a_run_is_one_sentence(tmp_path, capsys):
    assert export.main(["--run", str(tmp_path), "--out", str(tmp_path / "g.safetensors")]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        export.main(["--run", str(tmp_path), "--out", "g.safetensors", "--text", "licence"])
    save_checkpoint(tmp_path, {"s.weight": torch.zeros(1)}, {"images": 32})  # as a sibling's
    assert export.main(["--run", str(tmp_path), "--out", str(tmp_path / "g.safetensors")]) == 2
    assert "of another command" in capsys.readouterr().err and not (tmp_path / "g.safetensors").exists()
    for spread in ("0", "-1", "3", "nan"):
        with pytest.raises(SystemExit):
            export.main(["--run", str(tmp_path), "--out", "g.safetensors", "--spread", spread])


def test_a_spread_widens_random_codes_and_nothing_else(run, exported, tmp_path):
    assert export.main(["--run", str(run.folder), "--out", str(tmp_path / "g.safetensors"), "--spread", "1.5"]) == 0
    plain, wide = load_generator(exported / "faces-16.safetensors"), load_generator(tmp_path / "g.safetensors")
    z = plain.sample_z(4000, 1)
    x, y = (before_activation(generator.mapping(z)[:, 0]) for generator in (plain, wide))
    assert torch.allclose(y - y.mean(0), 1.5 * (x - x.mean(0)), atol=0.02 * float(x.std()))
    assert (y.mean(0) - x.mean(0)).norm() < 0.05 * x.std(0).norm()
    for name, ours in plain.synthesis.named_parameters():
        assert torch.equal(ours, wide.synthesis.get_parameter(name)), name


# ---- encoder ----------------------------------------------------------------------------------------------------


def test_the_exported_encoder_is_the_runs(run, exported):
    encoder = load_encoder(exported / "encoder-16.safetensors")
    photos = to_range(pictures(6))
    assert torch.allclose(encoder(photos), run.encoder(photos), atol=0.02) and not encoder.training
    assert encoder.w_dim == 16 and encoder.resolution == 16


def test_an_encoder_says_which_photos_it_takes(exported):
    encoder = load_encoder(exported / "encoder-16.safetensors")
    with pytest.raises(ImageError, match="16"):
        encoder(torch.zeros(1, 3, 32, 32))


def test_full_precision_is_exact(tmp_path):
    torch.manual_seed(0)
    encoder = Encoder((8, 6), 5)
    again = load_encoder(save_encoder(encoder, tmp_path / "e.safetensors", half=False))
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, texts: texts.update(format="i2s-generator"),
        lambda tensors, texts: texts.update(version="2"),
        lambda tensors, texts: texts.update(config="{"),
        lambda tensors, texts: texts.update(config=json.dumps({"channels": [8, 6], "w_dim": 10**9, "resolution": 8})),
        lambda tensors, texts: texts.update(config=json.dumps({"channels": [8, 6, 6], "w_dim": 5, "resolution": 8})),
        lambda tensors, texts: tensors.pop("out.bias"),
        lambda tensors, texts: tensors.update({"out.bias": torch.zeros(7)}),
        lambda tensors, texts: tensors.update({"out.bias": torch.full([5], math.inf)}),
    ],
)
def test_a_spoilt_encoder_is_refused(tmp_path, spoil):
    path = save_encoder(Encoder((8, 6), 5), tmp_path / "e.safetensors")
    tensors, texts = load_file(path), read_metadata(path)
    spoil(tensors, texts)
    save_file(tensors, path, texts)
    with pytest.raises(WeightFileError, match="e.safetensors"):
        load_encoder(path)


def test_no_encoder_and_half_an_encoder(tmp_path):
    with pytest.raises(WeightFileError, match="no file"):
        load_encoder(tmp_path / "none.safetensors")
    path = save_encoder(Encoder((8, 6), 5), tmp_path / "e.safetensors")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightFileError, match="broken"):
        load_encoder(path)
    with pytest.raises(OutputError):
        save_encoder(Encoder((8, 6), 5), tmp_path)


# ---- curves -----------------------------------------------------------------------------------------------------


def line(phase, total, **terms):
    return json.dumps({"phase": phase, "kimg": total, "total_kimg": total} | terms)


def test_a_log_forgets_what_was_done_again(tmp_path):
    texts = [
        line("autoencode", 4.0, reconstruction=2.0),
        line("adversarial", 8.0, g=1.0, d=1.0),
        line("metric", 8.0, frechet=500.0),
        line("adversarial", 12.0, g=2.0, d=1.0),
        '{"phase": "adversarial", "kimg": 1',  # killed
        line("adversarial", 8.0, g=3.0, d=1.0),
        line("metric", 8.0, frechet=400.0),
        line("adversarial", 10.0, g=4.0, d=1.0),
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(texts))
    found = curves.read_log(tmp_path / "log.jsonl")
    kept = [(k["phase"], k["total_kimg"], k.get("g", k.get("frechet"))) for k in found]
    assert kept == [("autoencode", 4, None), ("adversarial", 8, 3), ("metric", 8, 400), ("adversarial", 10, 4)]


def test_the_curves_of_a_run_are_drawn(run, tmp_path, capsys):
    out = tmp_path / "curves.png"
    assert curves.main(["--run", str(run.folder), "--out", str(out), "--halves", "3.5"]) == 0
    pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    assert pixels.shape[1] == 1200 and pixels.shape[0] > 900  # six panels
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)):
        assert (np.abs(pixels - colour).max(axis=2) < 8).sum() > 100, colour
    assert "Frechet distance" in capsys.readouterr().out


def test_no_log_is_one_sentence(tmp_path, capsys):
    assert curves.main(["--run", str(tmp_path), "--out", str(tmp_path / "c.png")]) == SettingsError.exit_code
    assert "log.jsonl" in capsys.readouterr().err
    (tmp_path / "log.jsonl").write_text("{\n")
    assert curves.main(["--run", str(tmp_path), "--out", str(tmp_path / "c.png")]) == SettingsError.exit_code


# ---- report -----------------------------------------------------------------------------------------------------


def test_a_training_sheet_shows_samples_photos_and_reconstructions(run, tmp_path):
    sheets.save_sheet(run, tmp_path / "s.png", columns=4, rows=2)
    sheet = torch.from_numpy(np.array(Image.open(tmp_path / "s.png"))).permute(2, 0, 1)
    assert sheet.shape == (3, 4 * 16, 4 * 16)
    assert torch.equal(sheet[:, 32:48, 16:32], pictures()[1])  # the third row holds the photos


def test_sheets_hold_what_their_titles_say():
    generator = tiny_generator(32)
    small = sheets.samples_sheet(generator, 0.7, count=16)
    assert small.size[0] > 8 * 128
    mixing = sheets.mixing_sheet(generator, columns=3)
    assert mixing.size[1] > 7 * 128  # one row of B, two lines for each of three groups
    strip = sheets.interpolation_sheet(generator, lines=2, steps=5)
    assert strip.size[0] > 5 * 128


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The inputs of the command: faces, a SqueezeNet of random weights, a generator."""
    from i2s.generators.file import save_generator

    folder = tmp_path_factory.mktemp("inputs")
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for k, picture in enumerate(pictures(40, 32)):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / "face.png")
            archive.write(folder / "face.png", f"{k:02d}.png")
    save_file(squeezenet_weights(), folder / "squeezenet.safetensors")
    save_generator(tiny_generator(32), folder / "generator.safetensors")
    return folder


def command(files, out, *more, generator="generator.safetensors", faces="faces.zip"):
    base = ["--generator", files / generator, "--faces", files / faces, "--features", files / "squeezenet.safetensors"]
    return evaluate.main([str(a) for a in [*base, "--out", out, "--samples", "64", *more]])


def test_the_report_is_whole(files, tmp_path):
    assert command(files, tmp_path / "report") == 0
    names = {path.name for path in (tmp_path / "report").iterdir()}
    pictures_ = {"samples-psi-1.png", "samples-psi-0.7.png", "style-mixing.png", "interpolation.png", "neighbours.png"}
    assert names == pictures_ | {"metrics.json", "metrics.md"}
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert found["SqueezeNet"]["psi 1"].keys() == {"frechet", "precision", "recall"}
    scale = found["SqueezeNet"]["scale"]
    assert set(scale) == {"two halves of the real faces", "real faces blurred, 0.5 px", "real faces blurred, 1 px"}
    assert found["path length"]["w"] > 0 and len(found["nearest"]["samples"]) == 16
    assert found["layers"].keys() == {"coarse", "middle", "fine"}
    table = (tmp_path / "report" / "metrics.md").read_text()
    assert "| samples, psi 0.7 |" in table and "| coarse |" in table and "in W" in table


def test_samples_that_are_training_faces_are_found_out(tmp_path):
    """A generator that memorised: its samples are much nearer to training faces than those are to each other."""
    generator, eye = tiny_generator(32), Eye()
    from training.metrics import sample_images

    own = torch.cat([sample_images(generator, 64, seed=0), pictures(64, 32)])
    found = evaluate.evaluate(generator, own, eye, tmp_path, {"eye": eye}, samples=64, report=quiet)
    assert found["nearest"]["samples, median"] < 0.01 < found["nearest"]["real faces, median"]


@pytest.mark.parametrize(
    "wrong, code",
    [
        ({"generator": "faces.zip"}, 5),
        ({"generator": "none.safetensors"}, 5),
        ({"faces": "generator.safetensors"}, 3),
        ({"more": ("--judge", "none.safetensors")}, 5),
        ({"out": "faces.zip"}, 7),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_an_exit_code(files, tmp_path, capsys, wrong, code):
    wrong = dict(wrong)
    out = files / wrong.pop("out") if "out" in wrong else tmp_path
    assert command(files, out, *wrong.pop("more", ()), **wrong) == code
    error = capsys.readouterr().err.strip()
    assert error and "\n" not in error and "Traceback" not in error


def test_a_folder_that_cannot_be_made_is_told_before_the_work(files, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "evaluate", lambda *_: pytest.fail("measured for minutes, and then lost it"))
    assert command(files, files / "faces.zip") == 7
    assert "cannot be the folder of results" in capsys.readouterr().err
