"""Notebooks run: executed ones reproduce their outputs, the learner's stop at the first stub and nowhere else.

All solutions together take some minutes; each lesson has a process and a kernel of its own.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from lessons import LESSONS, NOTEBOOKS, STUB, cells, learner, solved
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
        data = {"text/html": '<img alt="another" src="data:,">', "text/plain": f"<image, {size} x 24 px>"}
        notebook.cells[0].outputs = [nbformat.v4.new_output("execute_result", data, execution_count=1)]
        notebook.cells[0].execution_count = 1
        nbformat.write(notebook, tmp_path / "x.ipynb")
        run = nbval(tmp_path / "x.ipynb")
        assert (run.returncode == 0) == passes, run.stdout


@pytest.mark.timeout(LESSON_TIMEOUT)
@pytest.mark.parametrize("lesson", [name for name in LESSONS if any(STUB in c.source for c in cells(learner(name)))])
def test_learner_notebook_stops_at_the_first_stub(lesson):
    """All before the first exercise runs; the stub, or the check that calls it, says NotImplementedError."""
    notebook = nbformat.read(learner(lesson), as_version=4)
    code = [k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    stub = next(k for k in code if STUB in notebook.cells[k].source)
    check = code[code.index(stub) + 1]
    del notebook.cells[check + 1 :]
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    with pytest.raises(CellExecutionError) as stopped:
        client.execute()
    assert stopped.value.ename == "NotImplementedError", f"{stopped.value.ename}: {stopped.value.evalue}"
    failed = [k for k in code if k <= check and any(o.output_type == "error" for o in notebook.cells[k].outputs)]
    assert failed in ([stub], [check])
