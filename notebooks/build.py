"""Make the notebooks from their sources: `python notebooks/build.py`, or with `--check` compare them.

Each lesson is written once, as a py:percent file in `source/`, with the solutions inside, between
`### BEGIN SOLUTION` and `### END SOLUTION`. From it come

    NAME.ipynb             for the learner: solutions replaced by stubs, no outputs
    solutions/NAME.ipynb   executed from top to bottom, outputs kept

The diagrams they show are made by `diagrams/make.py`; `--check` compares those too.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).resolve().parent
SOURCE, SOLUTIONS = HERE / "source", HERE / "solutions"
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION\n?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(((?:images/|GLOSSARY\.md|README\.md|\.\./)[^)]*)")
STUB = "# YOUR CODE HERE\n{indent}raise NotImplementedError()\n"
METADATA = {
    "kernelspec": {"display_name": "i2s", "language": "python", "name": "i2s"},
    "language_info": {"name": "python"},
}


def read_source(path: Path) -> nbformat.NotebookNode:
    """The lesson as a notebook: ids that depend on the place alone, no metadata that a tool left."""
    notebook = jupytext.read(path)
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        keep_tags(cell)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def keep_tags(cell: nbformat.NotebookNode) -> None:
    """Of a cell's metadata only the tags are ours: `nbval-ignore-output` where outputs differ between machines."""
    tags = cell.metadata.get("tags")
    cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})


def student(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same with every solution replaced by a stub."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = SOLUTION.sub(lambda m: m[1] + STUB.format(indent=m[1]), cell.source + "\n").rstrip("\n")
    return notebook


def one_folder_down(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Links of text cells as they are from within `solutions/`: to pictures and pages, not to the other lessons."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(r"](../\1", cell.source)
    return notebook


def execute(notebook: nbformat.NotebookNode, timeout: int = 600) -> nbformat.NotebookNode:
    """Run all cells in the current environment; what differs from run to run is taken out."""
    from nbclient import NotebookClient

    here = {"metadata": {"path": str(HERE)}}
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=here).execute()
    notebook.metadata = nbformat.from_dict(METADATA)  # drops widget state, which viewers cannot use
    for cell in notebook.cells:
        keep_tags(cell)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_widget(output)]
    return notebook


def is_widget(output: nbformat.NotebookNode) -> bool:
    """A widget's view: dead in a file, where viewers show an error in its place. `snapshot()` cells stand in for it."""
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def text(notebook: nbformat.NotebookNode) -> str:
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4) + "\n"


def sources(path: Path) -> list[tuple[str, str]]:
    """What a notebook says, without its outputs."""
    return [(cell.cell_type, cell.source) for cell in nbformat.read(path, as_version=4).cells]


def check(path: Path) -> list[str]:
    """What is out of date for one lesson: a list of sentences, empty when all is well."""
    wrong = []
    for_student, solved = HERE / f"{path.stem}.ipynb", SOLUTIONS / f"{path.stem}.ipynb"
    if not for_student.is_file() or for_student.read_text() != text(student(read_source(path))):
        wrong.append(f"{for_student.name} does not follow from its source.")
    wanted = [(c.cell_type, c.source) for c in one_folder_down(read_source(path)).cells]
    if not solved.is_file() or sources(solved) != wanted:
        wrong.append(f"solutions/{solved.name} does not follow from its source.")
    elif any(
        c.cell_type == "code" and c.execution_count is None for c in nbformat.read(solved, as_version=4).cells
    ):
        wrong.append(f"solutions/{solved.name} has a cell that was never run.")
    return wrong


def check_diagrams() -> list[str]:
    """Which diagrams do not follow from their scripts."""
    script = HERE / "diagrams" / "make.py"
    if not script.is_file():
        return []
    run = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    return (run.stdout + run.stderr).splitlines() if run.returncode else []


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="lessons, such as 00_start_here (default: all)")
    parser.add_argument("--check", action="store_true", help="compare, write nothing; exit 1 where something differs")
    parser.add_argument("--no-execute", action="store_true", help="write the learners' notebooks only")
    options = parser.parse_args(arguments)
    paths = [p for p in sorted(SOURCE.glob("*.py")) if not options.names or p.stem in options.names]
    if options.check:
        wrong = [sentence for path in paths for sentence in check(path)]
        wrong += [] if options.names else check_diagrams()
        print("\n".join(wrong) or f"{len(paths)} lessons are up to date.")
        return 1 if wrong else 0
    SOLUTIONS.mkdir(exist_ok=True)
    for path in paths:
        (HERE / f"{path.stem}.ipynb").write_text(text(student(read_source(path))))
        if not options.no_execute:
            (SOLUTIONS / f"{path.stem}.ipynb").write_text(text(execute(one_folder_down(read_source(path)))))
        print(path.stem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
