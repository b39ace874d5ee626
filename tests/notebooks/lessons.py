"""Where the lessons are, and how to read them; for the tests of notebooks and for `notebooks/lint`."""

from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = sorted(p.stem for p in (NOTEBOOKS / "source").glob("*.py"))
STUB = "raise NotImplementedError()"
BLANK = "# YOUR ANSWER HERE"  # where a stub would stop "Run all" for an answer that nothing later needs


def is_stub(source: str) -> bool:
    """True for a cell in which the learner writes an answer."""
    return STUB in source or BLANK in source


def learner(lesson: str) -> Path:
    """Path of the notebook that the learner opens."""
    return NOTEBOOKS / f"{lesson}.ipynb"


def solved(lesson: str) -> Path:
    """Path of the executed notebook."""
    return NOTEBOOKS / "solutions" / f"{lesson}.ipynb"


def both(lesson: str) -> list[Path]:
    """Paths of both."""
    return [learner(lesson), solved(lesson)]


def cells(path: Path, kind: str | None = None) -> list[nbformat.NotebookNode]:
    """Read the cells of a notebook, of one kind or of all."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if kind in (None, cell.cell_type)]
