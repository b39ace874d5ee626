"""Benchmarks: the straightforward implementation computes what the library does; statistics and tables are right."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from helpers import small_generator, targets

from i2s.losses import ImageLoss
from i2s.losses.slim import load_slim
from i2s.losses.vgg16 import VGG16

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import batches, embed_quality, gpu, peers, profile_step, report, step_time, structure, time_to_quality
from benchmarks.straightforward import Straightforward


@pytest.mark.parametrize("net", ["slim", "vgg16"])
def test_straightforward_loss_is_ours(net):
    torch.manual_seed(0)
    generator = small_generator(32)
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


def test_reached_needs_both_targets():
    target = time_to_quality.targets(curves(4.0, 1.0, 2.0), 0)
    assert target == (1.0, 0.1)  # the lowest, wherever it was
    fast = curves(5.0, 0.9, 0.8)
    assert time_to_quality.reached(fast, 0, target) == 1
    fast["perceptual"][1] = [0.2]
    assert time_to_quality.reached(fast, 0, target) == 2
    assert time_to_quality.reached(curves(5.0, 4.0), 0, target) is None


def test_times_and_speed_ups():
    paper = time_to_quality.times(1000, [0.5 + step for step in range(1001)], (0.5, 0.25), 0)
    assert paper == {"evaluations": 1001, "seconds": 1000.5, "alone": 250.5}
    fast = time_to_quality.times(77, [2.0 + step for step in range(151)], (1.0, 0.25), 22)
    assert fast == {"evaluations": 100, "seconds": 79.0, "alone": 20.25}
    never = time_to_quality.times(None, [], (1.0, 0.25), 22)
    row = time_to_quality.summary([fast, never, fast], [paper] * 3)
    assert (row["arrived"], row["photos"]) == (2, 3)
    assert row["evaluations"] == [100, 100, None]  # of three, the last quarter never arrives
    assert row["evaluations, times sooner"] == [0.0, 0.0, 10.01, 10.01, 10.01]


def test_pace_of_single_photos():
    runs = [{"seconds": [1.0, 2.0, 4.0]}, {"seconds": [3.0, 4.0, 5.0]}, {"seconds": [2.0, 3.0, 4.0]}]
    assert time_to_quality.pace(runs) == (2.0, 1.0)


def test_quartiles():
    assert report.quartiles([3, 1, 2, 5, 4]) == (2, 3, 4)
    assert report.quartiles([math.inf, 1.0]) == (1.0, math.inf, math.inf)


def test_markdown_table():
    assert report.markdown([{"a": 1, "b": "x"}]) == "| a | b |\n|---|---|\n| 1 | x |"


def test_interleaved_ignores_the_first_turn(monkeypatch):
    order, clock = [], iter([0, 100, 0, 100] + [0, 1, 0, 2] * 3)
    monkeypatch.setattr(report, "clock", lambda device: next(clock))
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    assert step_time.interleaved(calls, 3, 60, "cpu") == {"a": 1, "b": 2}
    assert "".join(order) == "abababab"


def test_operations_count_convolutions():
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


def test_peers_make_steps_in_turns(tmp_path):
    few = ["--resolution", "16", "--steps", "1", "--repeats", "2", "--out", str(tmp_path)]
    table = peers.main([str(tmp_path), "--programs", "i2s", "i2s, vgg16", *few])
    (row,) = table["rows"]
    assert row["resolution"] == 16 and list(row["seconds"]) == ["i2s", "i2s, vgg16"]
    assert all(len(values) == 2 and min(values) > 0 for values in row["seconds"].values())
    assert "| 16 | " in (tmp_path / "peers.md").read_text()


def test_a_peer_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="^ada does not run"):
        peers.compare(["ada"], 16, tmp_path, 1, 1)


def test_batches_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "memory_elsewhere", batches.memory)
    few = ["--generator", "faces-64", "--batch", "1", "2", "--repeat", "1", "--device", "cpu", "--out", str(tmp_path)]
    rows = batches.main(few)["rows"]
    assert [row["photos at once"] for row in rows] == [1, 2] and rows[0]["times as fast as the first"] == "1.00"
    assert float(rows[1]["ms a photo"]) > 0 and "| faces-64 | 2 |" in (tmp_path / "batches.md").read_text()


def test_profile_names_what_takes_the_time():
    table = profile_step.main(["--generator", "16", "--steps", "1"])["generators"]["16"]
    assert "transforms" in table["with"] and "transforms" not in table["without"]  # both ways were taken
    for way in ("with", "without"):
        total = sum(int(share[:-2]) for name, share in table[way].items() if name != "ms")
        assert table[way]["convolutions"] != "0 %" and 95 <= total <= 105  # each is rounded
    assert profile_step.kind("aten::bmm", "[[36, 64, 512], [36, 512, 512]]") == "convolutions"
    assert profile_step.kind("aten::mkldnn_convolution", "[[1, 32, 65, 65], [32, 1, 4, 4]]") == "filters"


def test_gpu_page_says_what_ran_and_what_did_not(tmp_path, monkeypatch):
    monkeypatch.setattr(step_time, "memory_elsewhere", step_time.peak_memory)
    sizes = "--device cpu --resolution 16 --batch 1 --batch-resolution 16 --width 64 --repeat 1 --networks slim"

    def run(command, seconds, **options):
        if "step_time" in command[1]:
            step_time.main([*sizes.split(), "--out", command[-1]])
            return "", ""
        if "pytest" in command:
            return "ended with 1", "FAILED tests/test_a.py::test_b\n1 failed, 2 passed in 3 s"
        return "", "device      CPU, 1 thread\nUserWarning: slow"

    monkeypatch.setattr(gpu, "run", run)
    page = gpu.main(["--trial", "--out", str(tmp_path)])
    assert page == (tmp_path / "gpu.md").read_text()
    assert "ended with 1\nFAILED tests/test_a.py::test_b\n1 failed, 2 passed" in page
    assert "| 16 | 1 | ours | " in page and "| 16 | 1 | straightforward | " in page
    assert "| 00_start_here | whole | CPU, 1 thread | 0 | 1 |" in page


def test_gpu_stops_what_takes_too_long():
    ended, _ = gpu.run([sys.executable, "-c", "import time; time.sleep(60)"], 1)
    assert ended == "stopped after 1 s"


def test_time_to_quality_continues_from_its_cache(tmp_path, monkeypatch):
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
        assert table["w+"]["3"]["psnr"] > table["w+"]["1"]["psnr"] and next(iter(table["w"])) == "2"
    assert {"both.json", "six_embeddings.jpg", "morph_strip.jpg"} == {f.name for f in (tmp_path / "results").iterdir()}
    embed_quality.main([*few, "--generator", "faces-64"])  # of one alone, no table of tables
    assert json.loads((tmp_path / "results" / "embed_quality.json").read_text())["photos"] == 2


PACKAGE = {
    "__init__.py": "",
    "low.py": '''
# a comment
TEXT = """
# not a comment
"""

def shown(a: int, *rest, b=1) -> int:  # not a line of its own
    "Docstring."
    return a

def _helper(x):
    return x
''',
    "high/__init__.py": "from .one import One\nif TYPE_CHECKING:\n    import package.top\n",
    "high/one.py": "from package import low\n\nclass One:\n    def __init__(self): ...\n",
    "high/two.py": "def late():\n    from ..top import name\n" + "    pass\n" * 60,
    "top.py": "import package.low\nfrom package.high.two import late\nname = 1\n",
}


def test_structure_counts_a_package(tmp_path, capsys):
    for name, text in PACKAGE.items():
        (tmp_path / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / name).write_text(text)
    assert structure.main([str(tmp_path / "package")]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert dict(rows) == {
        "files": "6",
        "lines": str(sum(len(text.splitlines()) for text in PACKAGE.values())),
        "functions": "4",
        "functions over 50 lines": "1",
        "private helpers": "1",
        "annotated arguments": "1 of 3 (33 %)",
        "annotated returns": "1 of 4 (25 %)",
        "docstrings": "1 of 5 (20 %)",
        "full-line comments": "1",
        "units": "4",
        "import arrows": "4 of 6",  # high -> low, high -> top, top -> high, top -> low
        "cycles": "2 files",  # high/two.py and top.py
    }


def test_structure_refuses_a_missing_folder(tmp_path, capsys):
    assert structure.main([str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
