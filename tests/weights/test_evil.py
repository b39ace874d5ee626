"""Hostile and broken files: refused in a word that names the cause, quickly, within memory, with nothing executed.

What is proven here: a worker process with 500 MB to spare reads each file under an audit hook, which sees every
import, compilation, process and opened file; the stand-ins of the reader are compared before and after; the file that
the payloads would create never appears.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import makers
import pytest
import test_read_latents
from evil_files import FILES, HARMLESS
from makers import call, name, program, text

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


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    fixtures = Path(__file__).resolve().parents[3] / "shared/fixtures"
    good = ["evil/good-micro.pkl", "evil/good-micro-tf.pkl", "dev/ros-32.pt"] if fixtures.is_dir() else []
    actions = ["read", "load", "inspect", "latents"] if good else ["read", "inspect", "latents"]
    worker = Worker(tmp_path_factory.mktemp("worker"), actions, [str(fixtures / name) for name in good])
    yield worker
    worker.close()


def test_the_watch_sees_code_that_runs_and_memory_that_fills(worker, tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(program(call(name("builtins", "eval"), text("1 + 1"))))
    answer = worker.tell([0, str(path), "unpickle"])
    assert answer["message"] == "2" and any(event.startswith("exec") for event in answer["events"])
    answer = worker.tell([1, str(path), "fill memory"])
    assert answer["outcome"] == "broken" and "MemoryError" in answer["message"]


def test_worker_sees_nothing_when_the_first_file_is_refused(tmp_path):
    """Python imports codecs when they are first used, which must not count as an event."""
    worker = Worker(tmp_path, ["read"], [])
    (tmp_path / "file.pkl").write_bytes(FILES["eval"][0])
    assert worker.read(tmp_path / "file.pkl")["outcome"] == "refused"
    worker.close()


@pytest.mark.parametrize("case", FILES)
def test_own_files_are_refused_by_name(worker, tmp_path, case):
    content, message = FILES[case]
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    answer = worker.read(path)
    assert answer["outcome"] == "refused" and re.search(message, answer["message"])
    assert answer["message"].startswith(f"{path} cannot be used: ") and answer["message"].endswith(".")
    assert worker.read(path, "inspect")["outcome"] == "refused"
    assert worker.read(path, "latents")["outcome"] == "refused"
    assert not Path(makers.MARKER).exists()


@pytest.mark.parametrize("case", test_read_latents.REFUSED)
def test_files_of_no_code_are_refused(worker, tmp_path, case):
    path = tmp_path / "code.npz"
    path.write_bytes(test_read_latents.REFUSED[case][0])
    assert worker.read(path, "latents")["outcome"] == "refused"
    worker.read(path)
    worker.read(path, "inspect")
    assert not Path(makers.MARKER).exists()


@pytest.mark.parametrize("case", HARMLESS)
def test_odd_files_are_read_quickly(worker, tmp_path, case):
    path = tmp_path / "file.pkl"
    path.write_bytes(HARMLESS[case])
    assert worker.read(path)["outcome"] == "read"
    assert worker.read(path, "inspect")["outcome"] == "read"


def test_reference_files(worker, shared):
    read = set()
    for path in sorted((shared / "fixtures/evil").glob("*.p[kt]*")):
        if worker.read(path)["outcome"] == "read":
            read.add(path.name)
        worker.read(path, "inspect")
    assert read == TREE_READS_CONVERTER_REFUSES | GENERATOR_LOADS
    assert not Path(makers.MARKER).exists()


def test_reference_files_make_a_generator_or_a_clear_error(worker, shared):
    paths = sorted((shared / "fixtures/evil").glob("*.p[kt]*"))
    assert {path.name for path in paths if worker.read(path, "load")["outcome"] == "read"} == GENERATOR_LOADS
    assert not Path(makers.MARKER).exists()
