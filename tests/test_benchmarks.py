"""What the benchmarks compare with computes the same as the library, and their sums are right."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from helpers import targets, tiny_generator

from i2s.losses import ImageLoss
from i2s.losses.slim import load_slim
from i2s.losses.vgg16 import VGG16

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import embed_quality, report, step_time, time_to_quality  # noqa: E402
from benchmarks.straightforward import Straightforward  # noqa: E402


@pytest.mark.parametrize("net", ["slim", "vgg16"])
def test_the_straightforward_loss_is_ours(net):
    torch.manual_seed(0)
    generator = tiny_generator(32)
    net = (load_slim() if net == "slim" else VGG16()).requires_grad_(False)
    photos = targets(generator, 2)
    plain = Straightforward(generator, net, photos)
    with torch.no_grad():
        plain.code += torch.randn(plain.code.shape) * 0.3
    code = plain.code.detach().clone().requires_grad_()
    loss = ImageLoss(net)
    ours = sum(loss(generator.synthesis(code), loss.prepare(photos)).values())
    theirs = plain.loss(plain.code)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    gradients = [torch.autograd.grad(total.sum(), x)[0] for total, x in ((ours, code), (theirs, plain.code))]
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[1].norm()
    assert plain.step().shape == (2,)


def curves(*losses):
    """Of one photo; its perceptual distance is a tenth of the loss."""
    return {
        "loss": [[x] for x in losses],
        "perceptual": [[x / 10] for x in losses],
        "seconds": list(range(len(losses))),
    }


def test_a_photo_arrives_when_both_marks_are_reached():
    mark = time_to_quality.marks(curves(4.0, 1.0, 2.0), 0)
    assert mark == (1.0, 0.1)  # the lowest, wherever it was
    fast = curves(5.0, 0.9, 0.8)
    assert time_to_quality.reached(fast, 0, mark) == 1
    fast["perceptual"][1] = [0.2]
    assert time_to_quality.reached(fast, 0, mark) == 2
    assert time_to_quality.reached(curves(5.0, 4.0), 0, mark) is None


def test_times_and_their_ratios():
    paper = time_to_quality.times(1000, [0.5 + step for step in range(1001)], (0.5, 0.25), 0)
    assert paper == {"evaluations": 1001, "seconds": 1000.5, "alone": 250.5}
    fast = time_to_quality.times(77, [2.0 + step for step in range(151)], (1.0, 0.25), 22)
    assert fast == {"evaluations": 100, "seconds": 79.0, "alone": 20.25}
    never = time_to_quality.times(None, [], (1.0, 0.25), 22)
    row = time_to_quality.summary([fast, never, fast], [paper] * 3)
    assert (row["arrived"], row["photos"]) == (2, 3)
    assert row["evaluations"] == [100, 100, None]  # of three, the last quarter never arrives
    assert row["evaluations, times sooner"] == [0.0, 0.0, 10.01, 10.01, 10.01]


def test_the_pace_of_photos_alone():
    runs = [{"seconds": [1.0, 2.0, 4.0]}, {"seconds": [3.0, 4.0, 5.0]}, {"seconds": [2.0, 3.0, 4.0]}]
    assert time_to_quality.pace(runs) == (2.0, 1.0)


def test_quartiles():
    assert report.quartiles([3, 1, 2, 5, 4]) == (2, 3, 4)
    assert report.quartiles([math.inf, 1.0]) == (1.0, math.inf, math.inf)


def test_a_table_in_markdown():
    assert report.markdown([{"a": 1, "b": "x"}]) == "| a | b |\n|---|---|\n| 1 | x |"


def test_medians_of_turns_leave_the_first_out(monkeypatch):
    order, clock = [], iter([0, 100, 0, 100] + [0, 1, 0, 2] * 3)
    monkeypatch.setattr(report, "clock", lambda device: next(clock))
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    assert step_time.interleaved(calls, 3, 60, "cpu") == {"a": 1, "b": 2}
    assert "".join(order) == "abababab"


def test_operations_of_a_step_are_those_of_its_convolutions():
    generator = step_time.generator_of(16, 64, "cpu")
    net = load_slim()
    run = step_time.Ours(generator, net, step_time.photos_of(1, 16, "cpu"))
    forward = 2 * sum(
        p.shape[0] * p.shape[1] * 9 * side * side
        for name, p in net.named_parameters()
        if p.ndim == 4 and "taps" not in name
        for side in [16 // 2 ** (int(name[4]) - 1)]
    )
    assert 1.9 < step_time.operations(run) / (forward / 1e9) < 2.6  # there and back, and a small generator


def test_step_time_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(step_time, "memory_elsewhere", step_time.peak_memory)  # a process takes seconds to start
    tiny = [
        "--resolution",
        "16",
        "--networks",
        "slim",
        "--batch",
        "1",
        "2",
        "--batch-resolution",
        "16",
        "--width",
        "64",
    ]
    table = step_time.main([*tiny, "--repeat", "2", "--device", "cpu", "--out", str(tmp_path)])
    assert [row["batch"] for row in table["rows"]] == [1, 2]
    for row in table["rows"]:
        assert row["loss difference"] < 1e-5 and row["peak GB"]["ours"] >= 0 and 0 < row["floor"] < 1
    assert json.loads((tmp_path / "step_time.json").read_text()) == table
    assert (tmp_path / "step_time.png").exists() and "straightforward / ours" in (tmp_path / "step_time.md").read_text()


def test_time_to_quality_goes_on_and_ends(tmp_path, monkeypatch):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for k in range(2):
        Image.effect_noise((64, 64), 20 + 30 * k).convert("RGB").save(tmp_path / "photos" / f"{k}.png")
    arguments = [str(tmp_path / "photos"), "--out", str(tmp_path), "--cache", str(tmp_path / "cache")]
    few = [
        "--steps",
        "6",
        "--fast-steps",
        "6",
        "--adam-steps",
        "6",
        "--batch",
        "1",
        "--alone",
        "1",
        "--alone-steps",
        "3",
    ]
    table = time_to_quality.main(arguments + few)
    assert table["methods"]["paper"]["evaluations, times sooner"] == [1.0] * 5
    assert table["methods"]["fast"]["photos"] == 2 and len(table["each photo"]["fast"]) == 2
    monkeypatch.setattr(time_to_quality, "run", None)  # all of it is kept
    assert time_to_quality.main(arguments + few) == table
    assert {"time_to_quality.png", "time_to_quality.md"} <= {file.name for file in tmp_path.iterdir()}


def test_embed_quality_of_several_generators(tmp_path):
    from PIL import Image

    for k in range(2):
        Image.effect_noise((64, 64), 20 + 30 * k).convert("RGB").save(tmp_path / f"{k}.png")
    few = [str(tmp_path), "--limit", "2", "--at", "1", "3", "--at-w", "2", "--out", str(tmp_path / "results")]
    embed_quality.main([*few, "--generator", "faces-64", "faces-64-adain", "--name", "both"])
    tables = json.loads((tmp_path / "results" / "both.json").read_text())
    assert list(tables) == ["faces-64", "faces-64-adain"]
    for name, table in tables.items():
        assert table["generator"].startswith(f"{name} (") and table["photos"] == 2
        assert table["machine"] == report.machine() and table["commit"] == report.commit()
        assert table["w+"]["3"]["psnr"] > table["w+"]["1"]["psnr"] and list(table["w"])[0] == "2"
    assert {"both.json", "six_embeddings.jpg", "morph_strip.jpg"} == {f.name for f in (tmp_path / "results").iterdir()}
    embed_quality.main([*few, "--generator", "faces-64"])  # of one alone, no table of tables
    assert json.loads((tmp_path / "results" / "embed_quality.json").read_text())["photos"] == 2
