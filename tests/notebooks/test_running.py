"""Notebooks run: executed ones reproduce their outputs, cells run again, the learner's get past blank answers.

All solutions together take some minutes; each lesson has a process and a kernel of its own.
"""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from lessons import BLANK, LESSONS, NOTEBOOKS, STUB, cells, learner, solved
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL_TIMEOUT = 300  # s; a lesson's longest cell takes some 30 on two quiet cores
LESSON_TIMEOUT = 1800


def nbval(path) -> subprocess.CompletedProcess:
    """Strict nbval: each cell is run in order, each output compared, except those tagged as varying.

    Of an image only the size counts (`<image, 512 x 300 px>`), as nbval does by itself for outputs that are images.
    """
    arguments = ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}"]
    arguments += ["--nbval-sanitize-with", str(Path(__file__).with_name("sanitize.cfg"))]
    plain = [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:timeout",
        "-o",
        "addopts=",
        "-c",
        "/dev/null",
        "--rootdir",
        str(path.parent),
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", *arguments, *plain, str(path)]
    # the kernel starts where the notebook lies, as in JupyterLab
    return subprocess.run(command, capture_output=True, text=True, cwd=path.parent)


def counts(report: str) -> dict[str, int]:
    """{"passed": 26, ...} of pytest's last line."""
    last = report.strip().splitlines()[-1] if report.strip() else ""
    return {
        word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|xfailed|xpassed|skipped|error)", last)
    }


def never_run(path) -> list[str]:
    """Cells that were never run: nbval lets them pass, whatever they give, since there is nothing to compare."""
    return [cell.id for cell in cells(path, "code") if cell.execution_count is None]


@pytest.mark.timeout(LESSON_TIMEOUT)
@pytest.mark.parametrize("lesson", LESSONS)
def test_notebook_reproduces_its_outputs(lesson):
    """Every cell passes; after a timeout nbval reports the remaining cells as `xfailed`, which is not enough."""
    assert not never_run(solved(lesson))
    run = nbval(solved(lesson))
    found = counts(run.stdout)
    assert run.returncode == 0 and found == {"passed": len(cells(solved(lesson), "code"))}, (
        run.stdout[-6000:] + run.stderr
    )


def test_nbval_sees_a_changed_output_and_a_cell_never_run(tmp_path):
    """The comparison itself fails where it should."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source="1 + 1")])
    cell = notebook.cells[0]
    for text, execution_count, passes in (("2", 1, True), ("3", 1, False)):
        cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=execution_count)]
        cell.execution_count = execution_count
        nbformat.write(notebook, tmp_path / "x.ipynb")
        run = nbval(tmp_path / "x.ipynb")
        assert (run.returncode == 0) == passes, run.stdout
        assert counts(run.stdout) == {"passed" if passes else "failed": 1}
    assert not never_run(tmp_path / "x.ipynb")
    cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, tmp_path / "x.ipynb")
    assert never_run(tmp_path / "x.ipynb") == [cell.id]


def test_nbval_compares_the_size_of_images_only(tmp_path):
    code = """
from PIL import Image
from i2s.course.figures import NotebookImage
NotebookImage(Image.new("RGB", (24, 24), "red"), alt="a red square")"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source=code)])
    for size, passes in ((24, True), (48, False)):
        html = '<div style="overflow-x:auto"><img alt="another" src="data:,"></div>'
        data = {"text/html": html, "image/jpeg": "another", "text/plain": f"<image, {size} x 24 px>"}
        notebook.cells[0].outputs = [nbformat.v4.new_output("execute_result", data, execution_count=1)]
        notebook.cells[0].execution_count = 1
        nbformat.write(notebook, tmp_path / "x.ipynb")
        run = nbval(tmp_path / "x.ipynb")
        assert (run.returncode == 0) == passes, run.stdout


def test_an_interrupt_ends_the_cell_and_those_that_wait_behind_it():
    """Also in a loop of embeddings; what the one that was interrupted had found can still be had."""
    setup = f"""
import sys, torch, i2s
sys.path.insert(0, {str(NOTEBOOKS.parent / "tests")!r})
from helpers import FakeFeatureNet, small_generator
photo = torch.zeros(1, 3, 16, 16)
def watch(step):
    if step.step == 5: print("five steps", flush=True)
"""
    embed = "i2s.embed(photo, small_generator(), steps=100_000, perceptual=FakeFeatureNet(), callback=watch)"
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute_interactive(setup, timeout=60)
        waiting = [client.execute(code) for code in (f"[{embed} for _ in range(4)]", "1 + 1", "2 + 2")]
        while client.get_iopub_msg(timeout=60)["content"].get("text") != "five steps\n":
            pass
        manager.interrupt_kernel()
        replies = {}
        while len(replies) < 3:
            message = client.get_shell_msg(timeout=60)
            replies[message["parent_header"]["msg_id"]] = message["content"]
        assert [replies[name]["status"] for name in waiting] == ["error", "aborted", "aborted"]
        assert replies[waiting[0]]["ename"] == "EmbedInterrupted"
        assert replies[waiting[0]]["evalue"].startswith("stopped after step ")
        found = client.execute_interactive("assert i2s.embedding.interrupted_result().steps >= 5", timeout=60)
        assert found["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.timeout(LESSON_TIMEOUT)
@pytest.mark.parametrize("lesson", LESSONS)
def test_cells_run_again_and_whatever_the_session_is_like(lesson):
    """As people work: see `again.py`. Long embeddings are cut short there."""
    command = [sys.executable, str(Path(__file__).with_name("again.py")), str(NOTEBOOKS / "source" / f"{lesson}.py")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=NOTEBOOKS)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]


def test_again_sees_what_goes_wrong(tmp_path):
    """A name with a second meaning, code and backward in two cells, and the sum of another library."""
    cells = {
        "first": "import torch\nw = torch.ones(2, requires_grad=True)\nlayer = 1",
        "used": "layer + 1",
        "again": "layer = 'another'",
        "loss": "loss = (w * w).sum()",
        "backward": "loss.backward()",
        "sum": "sum(dict(a=1, b=2).values()) + 1",
        "fine": "1 + 1",
    }
    source = tmp_path / "x.py"
    source.write_text("".join(f"# %%\n{cell}\n\n" for cell in cells.values()))
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("again.py")), str(source)], capture_output=True, text=True
    )
    assert run.returncode == 1
    found = [line.split(": ")[:2] for line in run.stdout.splitlines() if line.startswith("FAILED ")]
    assert found == [
        ["FAILED the first time", "sum(dict(a=1, b=2).values()) + 1"],
        ["FAILED the second time", "loss.backward()"],
        ["FAILED the second time", "layer + 1"],
    ], run.stdout


@pytest.mark.timeout(LESSON_TIMEOUT)
@pytest.mark.parametrize("lesson", [name for name in LESSONS if any(STUB in c.source for c in cells(learner(name)))])
def test_learner_notebook_stops_at_the_first_answer_that_is_needed(lesson):
    """ "Run all" gets past blank answers that nothing later needs; where it stops, one line says why."""
    notebook = nbformat.read(learner(lesson), as_version=4)
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    with contextlib.suppress(CellExecutionError):
        client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    stubs = [k for k, cell in enumerate(code) if STUB in cell.source]
    failed = [k for k, cell in enumerate(code) if any(o.output_type == "error" for o in cell.outputs)]
    said = "\n".join(o.get("text", "") for cell in code for o in cell.outputs if o.output_type == "stream")
    if failed:
        (error,) = (o for o in code[failed[0]].outputs if o.output_type == "error")
        assert failed[0] >= stubs[0], code[failed[0]].source
        assert error.ename in ("NoAnswer", "NotImplementedError"), f"{error.ename}: {error.evalue}"
        assert len(error.traceback) == 1 and error.traceback[0].startswith("Stopped here, no answer yet: ")
        assert "### BEGIN" not in error.traceback[0]
    blanks = [k for k, cell in enumerate(code[: failed[0] if failed else None]) if BLANK in cell.source]
    asked = [k for k in blanks if "compare_guess(" not in code[k + 1].source]
    assert said.count("no answer yet") >= len(asked)
