"""The notebooks: up to date with their sources, clean, and still giving what they show."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = sorted(p.stem for p in (NOTEBOOKS / "source").glob("*.py"))


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def both(lesson):
    return [NOTEBOOKS / f"{lesson}.ipynb", NOTEBOOKS / "solutions" / f"{lesson}.ipynb"]


def test_there_are_lessons():
    assert "00_start_here" in LESSONS


def test_notebooks_follow_from_their_sources(build, capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().out


def test_the_check_sees_a_changed_notebook(build, tmp_path, monkeypatch, capsys):
    lesson = LESSONS[0]
    for path in (NOTEBOOKS / "source" / f"{lesson}.py", *both(lesson)):
        copy = tmp_path / path.relative_to(NOTEBOOKS)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text())
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(build, "SOURCE", tmp_path / "source")
    monkeypatch.setattr(build, "SOLUTIONS", tmp_path / "solutions")
    assert build.main(["--check"]) == 0
    source = tmp_path / "source" / f"{lesson}.py"
    source.write_text(source.read_text() + "\n# %%\nprint('new')\n")
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out.count("does not follow") == 2


def test_solutions_become_stubs(build, tmp_path):
    source = tmp_path / "x.py"
    source.write_text(
        "# %%\ndef blend(a, b):\n    ### BEGIN SOLUTION\n    return (a + b) / 2\n    ### END SOLUTION\n\n# %%\nblend(1, 2)\n"
    )
    cells = build.student(build.read_source(source)).cells
    assert cells[0].source == "def blend(a, b):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert [cell.id for cell in cells] == ["cell-000", "cell-001"]
    assert build.text(build.student(build.read_source(source))) == build.text(build.student(build.read_source(source)))


@pytest.mark.parametrize("lesson", LESSONS)
def test_files_are_clean(lesson):
    """Small, without widget state, without a trace of the machine that made them; the learner's without outputs."""
    for path in both(lesson):
        text = path.read_text()
        assert len(text) < 1_000_000, path
        assert "widget-state" not in text and "/root/" not in text and "/home/" not in text, path
        assert "SOLUTION" not in text or path.parent.name == "solutions", path
    learner = nbformat.read(both(lesson)[0], as_version=4)
    assert all(not c.get("outputs") and not c.get("execution_count") for c in learner.cells)
    solved = nbformat.read(both(lesson)[1], as_version=4)
    assert all(c.execution_count for c in solved.cells if c.cell_type == "code")


@pytest.mark.parametrize("lesson", LESSONS)
def test_links_to_files_lead_somewhere(lesson):
    for cell in nbformat.read(both(lesson)[0], as_version=4).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", cell.source):
                assert (NOTEBOOKS / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("lesson", LESSONS)
def test_running_gives_what_the_notebook_shows(lesson):
    """Strict nbval on the executed notebook: every cell runs, every text output is the same."""
    arguments = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=180", "-p", "no:cacheprovider", "-o", "addopts="]
    path = NOTEBOOKS / "solutions" / f"{lesson}.ipynb"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments, str(path)], capture_output=True, text=True, cwd=NOTEBOOKS
    )
    assert run.returncode == 0, run.stdout[-3000:]
