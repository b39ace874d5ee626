"""What the tests of notebooks share: where the lessons are, and how to read them."""

import re
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = sorted(p.stem for p in (NOTEBOOKS / "source").glob("*.py"))
STUB = "raise NotImplementedError()"
FORMATS = ("predict", "fill", "ablate", "diagnose", "explain")
HEADING = re.compile(
    r"^### Exercise (\d+)\.(\d+) \((" + "|".join(FORMATS) + r"), difficulty ([123]) of 3, (\d+) minutes\): \S.*$",
    re.MULTILINE,
)


def learner(lesson: str) -> Path:
    """The notebook that the learner opens."""
    return NOTEBOOKS / f"{lesson}.ipynb"


def solved(lesson: str) -> Path:
    """The executed one."""
    return NOTEBOOKS / "solutions" / f"{lesson}.ipynb"


def both(lesson: str) -> list[Path]:
    return [learner(lesson), solved(lesson)]


def cells(path: Path, kind: str | None = None) -> list[nbformat.NotebookNode]:
    """A notebook's cells, of one kind if asked."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if kind in (None, cell.cell_type)]


def anchors(markdown: str) -> set[str]:
    """The names by which a page's headings and `<a id>` can be linked to, as GitHub and JupyterLab make them."""
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", markdown, re.MULTILINE)
    plain = (re.sub(r"[`*_]|\$[^$]*\$|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}
    return made | set(re.findall(r"""<a +(?:id|name)=["']([^"']+)["']""", markdown))


def longest_quiet(source: str) -> int:
    """Lines of a code cell that a reader has to take in: without blank ones, comments and the marks of a solution."""
    lines = (line.strip() for line in source.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)
