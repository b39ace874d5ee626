"""Build the notebooks from their sources: `python notebooks/build.py`; `--check` compares them.

Each lesson is written once, as a py:percent file in `source/`, with the solutions inside, between
`### BEGIN SOLUTION` and `### END SOLUTION`. From it come

    NAME.ipynb             for the learner: solutions replaced by stubs, no outputs
    solutions/NAME.ipynb   executed from top to bottom, outputs kept

The diagrams are drawn by `diagrams/make.py`; `--check` compares those too. `README.md` gets a table of the lessons
between two marks; `solutions/seconds.json` holds how long each solution ran.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source"
SOLUTIONS = HERE / "solutions"
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION\n?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(((?:images/|GLOSSARY\.md|README\.md|\.\./)[^)]*)")
MARKS = ("<!-- table: made by build.py -->\n", "<!-- end of the table -->\n")
STUB = "{indent}# YOUR CODE HERE\n{indent}raise NotImplementedError()\n"
BLANK = "# YOUR ANSWER HERE\n"
PRINT_STYLE = "<style>pre {white-space: pre-wrap !important} figure, img, pre {break-inside: avoid}</style>"
METADATA = {
    # The kernel that every environment with ipykernel has, and Colab too
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


def read(path: Path) -> str:
    """Read a text file; its encoding does not depend on the system."""
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    """Write a text file; its bytes do not depend on the system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def read_source(path: Path) -> nbformat.NotebookNode:
    """Read a lesson as a notebook, with cell ids that stay with their cells and without metadata of tools."""
    notebook = jupytext.reads(read(path), fmt="py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell, name in zip(notebook.cells, cell_ids(notebook.cells)):
        cell.id = name
        keep_tags(cell)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def cell_ids(cells: list[nbformat.NotebookNode]) -> list[str]:
    """Name each cell by what it is, so that it keeps its name when others come, go or move, and when its end is edited.

    An exercise's cell is named by the next check, any other one by its first telling line.
    """
    check_of: dict[int, str] = {}
    check = ""
    for cell in reversed([cell for cell in cells if cell.cell_type == "code"]):
        if "### BEGIN SOLUTION" in cell.source:
            check_of[id(cell)], check = check, ""
        elif called := re.search(r"\bcheck_(\w+)\(", cell.source):
            check = called[1].replace("_", "-")
    names: list[str] = []
    for cell in cells:
        check = check_of.get(id(cell))
        name = f"answer-{check}" if check else slug(first_line(cell))
        count = sum(re.fullmatch(re.escape(name) + r"(-\d+)?", other) is not None for other in names)
        names.append(f"{name}-{count + 1}" if count else name)
    return names


def first_line(cell: nbformat.NotebookNode) -> str:
    """Return the title of a text cell without its number, or the first line of code that imports nothing."""
    lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
    if cell.cell_type == "markdown":
        return re.sub(r"^#+ *(Exercise )?[\d.]*( *\([^)]*\):)?|\]\([^)]*\)", " ", lines[0]) if lines else ""
    telling = [line for line in lines if not re.match(r"#|import |from |@|with ", line)]
    return (telling or lines or [""])[0]


def slug(line: str) -> str:
    """Make a cell id of the first words of a line: letters, digits and hyphens, at most 48."""
    words = re.findall(r"[a-z0-9]+", line.lower())
    return "-".join(words)[:48].strip("-") or "cell"


def keep_tags(cell: nbformat.NotebookNode) -> None:
    """Drop a cell's metadata but for the tags, such as `nbval-ignore-output` where outputs differ between machines."""
    tags = cell.metadata.get("tags")
    cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})


def student(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Replace every solution by a stub, in place."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = SOLUTION.sub(stub, cell.source + "\n").rstrip("\n")
    return notebook


def stub(solution: re.Match) -> str:
    """Return what stands in place of a solution.

    Where it only gives values to names that were blank before it (words, a letter, a number), nothing that runs: the
    check says "no answer yet", and "Run all" goes on.
    """
    before = {node.id for node in names_set(solution.string[: solution.start()])}
    lines = textwrap.dedent(solution[0]).splitlines()
    statements = ast.parse("\n".join(line for line in lines if not line.startswith("###"))).body
    values = all(isinstance(node, ast.Assign) for node in statements) and not solution[1]
    targets = [target for node in statements if values for target in node.targets]
    if values and all(isinstance(target, ast.Name) and target.id in before for target in targets):
        return BLANK
    return STUB.format(indent=solution[1])


def names_set(code: str) -> list[ast.Name]:
    """Return the names to which the lines of a cell above a solution give a value."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # the head of a function, say
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def one_folder_down(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Make links to images and pages relative to `solutions/`, in place; links to other lessons stay."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(r"](../\1", cell.source)
    return notebook


def execute(notebook: nbformat.NotebookNode, timeout: int = 600) -> nbformat.NotebookNode:
    """Run all cells in the current environment; drop what differs from run to run."""
    from nbclient import NotebookClient

    here = {"metadata": {"path": str(HERE)}}
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=here).execute()
    notebook.metadata = nbformat.from_dict(METADATA)  # drops widget state, which viewers cannot use
    for cell in notebook.cells:
        keep_tags(cell)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not (is_widget(output) or is_progress_bar(output))]
    return notebook


def is_widget(output: nbformat.NotebookNode) -> bool:
    """True for a widget's view: dead in a file, where viewers show an error. `snapshot()` cells stand in for it."""
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def is_progress_bar(output: nbformat.NotebookNode) -> bool:
    """True for tqdm's bars, which are of no use when they are complete."""
    lines = re.split(r"[\r\n]+", output.get("text", "")) if output.get("name") == "stderr" else []
    return bool(lines) and all(re.search(r"\d+%\|", line) or not line.strip() for line in lines)


def text(notebook: nbformat.NotebookNode) -> str:
    """Serialise a valid notebook."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4) + "\n"


def sources(path: Path) -> list[tuple[str, str]]:
    """Return (type, source) of each cell of a notebook file."""
    return [(cell.cell_type, cell.source) for cell in nbformat.read(path, as_version=4).cells]


def check(path: Path) -> list[str]:
    """Return a sentence for each notebook of a lesson that is out of date."""
    wrong = []
    for_student, solved = HERE / f"{path.stem}.ipynb", SOLUTIONS / f"{path.stem}.ipynb"
    if not for_student.is_file() or read(for_student) != text(student(read_source(path))):
        wrong.append(f"{for_student.name} does not follow from its source.")
    wanted = [(c.cell_type, c.source) for c in one_folder_down(read_source(path)).cells]
    if not solved.is_file() or sources(solved) != wanted:
        wrong.append(f"solutions/{solved.name} does not follow from its source.")
    elif any(c.cell_type == "code" and c.execution_count is None for c in nbformat.read(solved, as_version=4).cells):
        wrong.append(f"solutions/{solved.name} has a cell that was never run.")
    return wrong


def check_diagrams() -> list[str]:
    """Return a sentence for each diagram that does not follow from its script."""
    script = HERE / "diagrams" / "make.py"
    if not script.is_file():
        return []
    run = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, encoding="utf-8")
    return (run.stdout + run.stderr).splitlines() if run.returncode else []


def counted(path: Path, seconds: dict[str, int]) -> list[int | None]:
    """Count a lesson: minutes for the learner, code cells, text cells, words, exercises, seconds of the last run."""
    cells = read_source(path).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    minutes = re.search(r"\*\*Time\*\*.*?(\d+) minutes", text)
    words = re.sub(r"<[^>]+>|\]\([^)]*\)|[|#*`>-]+", " ", text).split()
    code = sum(cell.cell_type == "code" for cell in cells)
    exercises = len(re.findall(r"^### Exercise", text, re.MULTILINE))
    minutes = int(minutes[1]) if minutes else None
    return [minutes, code, len(cells) - code, len(words), exercises, seconds.get(path.stem)]


def table() -> str:
    """Build the table of the lessons in Markdown, with a dash where a number is unknown."""
    paths = sorted(SOURCE.glob("*.py"))
    seconds = seconds_so_far()
    rows = [counted(path, seconds) for path in paths]
    totals = [sum(column) if None not in column else None for column in zip(*rows)]
    names = [f"[{int(path.stem[:2])}]({path.stem}.ipynb)" for path in paths]
    head = ["lesson", "minutes for you", "code cells", "text cells", "words", "exercises", "seconds to run"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    lines += [[name, *row] for name, row in zip([*names, "all"], [*rows, totals])]
    return "".join("| " + " | ".join("-" if x is None else str(x) for x in line) + " |\n" for line in lines)


def seconds_so_far() -> dict[str, int]:
    """Read how many seconds each solution ran when it was last executed."""
    file = SOLUTIONS / "seconds.json"
    return json.loads(read(file)) if file.is_file() else {}


def remember(name: str, seconds: float) -> None:
    """Record how long a solution ran."""
    text = json.dumps(seconds_so_far() | {name: round(seconds)}, indent=1, sort_keys=True)
    write(SOLUTIONS / "seconds.json", text + "\n")


def with_table(page: str) -> str:
    """Return the page with the current table between its marks; a page without marks stays as it is."""
    before, begin, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    return before + begin + "\n" + table() + "\n" + end + after if begin and end else page


def check_table() -> list[str]:
    """Return a sentence if the table in README.md is out of date."""
    page = HERE / "README.md"
    if not page.is_file() or read(page) == with_table(read(page)):
        return []
    return ["The table in README.md is out of date: run build.py."]


def print_page(path: Path, folder: Path) -> Path:
    """Write a solved lesson as a page for print: what is folded is unfolded, long lines are wrapped."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter(template_name="lab").from_filename(str(SOLUTIONS / f"{path.stem}.ipynb"))
    page = page.replace("<details", "<details open").replace("</head>", f"{PRINT_STYLE}</head>", 1)
    base = f'<base href="{(SOLUTIONS / "x").resolve().as_uri()}">'
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{path.stem}.html", page.replace("<head>", f"<head>{base}", 1))
    return folder / f"{path.stem}.html"


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="lessons, such as 00_start_here (default: all)")
    parser.add_argument("--check", action="store_true", help="compare, write nothing; exit 1 where something differs")
    parser.add_argument("--no-execute", action="store_true", help="write the learners' notebooks only")
    parser.add_argument("--print", type=Path, metavar="FOLDER", help="write pages of the solved lessons for print")
    options = parser.parse_args(arguments)

    paths = [p for p in sorted(SOURCE.glob("*.py")) if not options.names or p.stem in options.names]
    if options.print:
        print("\n".join(str(print_page(path, options.print)) for path in paths))
        return 0
    if options.check:
        wrong = [sentence for path in paths for sentence in check(path)]
        wrong += [] if options.names else check_diagrams() + check_table()
        print("\n".join(wrong) or f"{len(paths)} lessons are up to date.")
        return 1 if wrong else 0
    SOLUTIONS.mkdir(exist_ok=True)
    for path in paths:
        write(HERE / f"{path.stem}.ipynb", text(student(read_source(path))))
        if not options.no_execute:
            start = time.perf_counter()
            write(SOLUTIONS / f"{path.stem}.ipynb", text(execute(one_folder_down(read_source(path)))))
            remember(path.stem, time.perf_counter() - start)
        print(path.stem)
    if (page := HERE / "README.md").is_file():
        write(page, with_table(read(page)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
