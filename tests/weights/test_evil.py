"""Hostile and broken files: refused in a word that names the cause, quickly, within memory, with nothing executed.

What is proven here: a worker process with 500 MB to spare reads each file under an audit hook, which sees every
import, compilation, process and opened file; the stand-ins of the reader are compared before and after; the file that
the payloads would create never appears.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import makers
import pytest
from evil_files import FILES, HARMLESS
from makers import call, name, program, text

from i2s.errors import WeightFileError
from i2s.weights.inspect import inspect_file
from i2s.weights.pickles import read_weights

pytest.importorskip("resource")  # limits need it; Windows has none

# Of ../shared/fixtures/evil: what a generator needs is for the converters to judge, so the tree of these is read.
TREE_READS_CONVERTER_REFUSES = {
    "bad-dtype-int64.pkl", "bad-extra-tensor.pkl", "bad-gema-is-discriminator.pkl", "bad-gema-none.pkl", "bad-inf.pkl",
    "bad-kwargs-bomb.pkl", "bad-kwargs-conditional.pkl", "bad-kwargs-resolution.pkl", "bad-kwargs-type.pkl",
    "bad-missing-tensor.pkl", "bad-missing-wavg.pkl", "bad-nan.pkl", "bad-no-gema.pkl", "bad-none-tensor.pkl",
    "bad-not-a-tensor.pkl", "bad-tf-missing-var.pkl", "bad-tf-not-3tuple.pkl", "bad-tf-version.pkl",
    "bad-unknown-class.pkl", "bad-wrong-shape-noise.pkl", "bad-wrong-shape.pkl", "good-handmade-zip.pt",
    "odd-ros-train-namespace.pt", "odd-tf-sg1-lod-half.pkl",
}  # fmt: skip
GENERATOR_LOADS = {
    "bad-billion-laughs.pkl", "evil-module-src.pkl", "evil-tf-build-module-src.pkl", "good-handmade-tensor.pkl",
    "good-micro-tf.pkl", "good-micro.pkl",
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_own_files_are_refused_by_name(tmp_path, case):
    content, message = FILES[case]
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    with pytest.raises(WeightFileError, match=message):
        read_weights(path)
    report = inspect_file(path)
    assert (report.problems or report.container == "safetensors") and str(report).isascii()
    assert not Path(makers.MARKER).exists()


class Worker:
    """The process of worker.py: give it jobs, get answers."""

    def __init__(self, folder: Path, actions: list[str], good: list[str]):
        command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
        environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[2]))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, **pipes)
        self.tell({"folder": str(folder), "actions": actions, "good": good})

    def tell(self, message) -> dict:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())  # fails when the process has died

    def read(self, path: Path, action="read") -> dict:
        answer = self.tell([path.name, str(path), action])
        assert answer["outcome"] != "broken", (path.name, answer)
        assert answer["seconds"] < 1, (path.name, answer)
        assert not answer["events"], (path.name, answer)
        return answer

    def close(self) -> None:
        """The process compares its tables before it ends, and fails if anything changed them."""
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()
        assert not Path(makers.MARKER).exists()


def test_the_watch_sees_code_that_runs_and_memory_that_fills(tmp_path):
    worker = Worker(tmp_path, ["read"], [])
    path = tmp_path / "file.pkl"
    path.write_bytes(program(call(name("builtins", "eval"), text("1 + 1"))))
    answer = worker.tell([0, str(path), "unpickle"])
    assert answer["message"] == "2" and any(event.startswith("exec") for event in answer["events"])
    answer = worker.tell([1, str(path), "fill memory"])
    assert answer["outcome"] == "broken" and "MemoryError" in answer["message"]
    worker.close()


def test_own_files_under_limits(tmp_path):
    worker = Worker(tmp_path, ["read", "inspect"], [])
    for case, content in [*((case, content) for case, (content, _) in FILES.items()), *HARMLESS.items()]:
        path = tmp_path / "file.pkl"
        path.write_bytes(content)
        answer = worker.read(path)
        assert answer["outcome"] == ("read" if case in HARMLESS else "refused"), case
        worker.read(path, "inspect")
    worker.close()


def test_reference_files_under_limits(shared, tmp_path):
    folder = shared / "fixtures/evil"
    worker = Worker(tmp_path, ["read", "inspect"], [])
    read = set()
    for path in sorted(folder.glob("*.p[kt]*")):
        if worker.read(path)["outcome"] == "read":
            read.add(path.name)
        worker.read(path, "inspect")
    worker.close()
    assert read == TREE_READS_CONVERTER_REFUSES | GENERATOR_LOADS


def test_reference_files_make_a_generator_or_a_clear_error(shared, tmp_path):
    folder = shared / "fixtures/evil"
    good = [str(folder / name) for name in ("good-micro.pkl", "good-micro-tf.pkl")]
    worker = Worker(tmp_path, ["load"], [*good, str(shared / "fixtures/dev/ros-32.pt")])
    loaded = {path.name for path in sorted(folder.glob("*.p[kt]*")) if worker.read(path, "load")["outcome"] == "read"}
    worker.close()
    assert loaded == GENERATOR_LOADS
