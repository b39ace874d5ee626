"""Notebook files: built from their sources, clean, small, and without solutions in the learner's."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from lessons import BLANK, LESSONS, NOTEBOOKS, STUB, both, cells, is_stub, learner, solved
from nbconvert import ScriptExporter

LARGEST = 2_500_000  # bytes
TAGS = {"nbval-ignore-output", "raises-exception"}


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def solutions(build, lesson):
    """(before, solution, after) of each code cell that holds a solution, as the source has it."""
    for cell in build.read_source(NOTEBOOKS / "source" / f"{lesson}.py").cells:
        if cell.cell_type == "code" and "### BEGIN SOLUTION" in cell.source:
            before, _, rest = cell.source.partition("### BEGIN SOLUTION\n")
            solution, _, after = rest.partition("### END SOLUTION")
            yield cell, before, solution, after


def test_lessons_exist():
    assert "00_start_here" in LESSONS


def test_notebooks_follow_from_their_sources(build, capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().out


def test_notebook_has_a_source():
    """Copies in which a learner works, as README.md proposes, need none."""
    found = {path.stem for folder in (NOTEBOOKS, NOTEBOOKS / "solutions") for path in folder.glob("*.ipynb")}
    assert {name for name in found if not re.search(r"-(Copy\d+|mine)$", name)} == set(LESSONS)


def test_build_check_sees_a_changed_source(build, tmp_path, monkeypatch, capsys):
    lesson = LESSONS[0]
    for path in (NOTEBOOKS / "source" / f"{lesson}.py", *both(lesson)):
        copy = tmp_path / path.relative_to(NOTEBOOKS)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(build, "SOURCE", tmp_path / "source")
    monkeypatch.setattr(build, "SOLUTIONS", tmp_path / "solutions")
    assert build.main(["--check"]) == 0
    source = tmp_path / "source" / f"{lesson}.py"
    source.write_text(source.read_text(encoding="utf-8") + "\n# %%\nprint('new')\n")
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out.count("does not follow") == 2


LESSON = """# %% [markdown]
# # 7. Knots
#
# | | |
# |---|---|
# | **Time** | about 20 minutes; the cells take about 3 minutes |

# %%
1 + 1

# %% [markdown]
# ### Exercise 7.1 (fill, ...): [tie](GLOSSARY.md#knot) a **knot**
#
# <details><summary>Hint 1</summary>Over, under.</details>

# %%
2 + 2
"""


def test_build_counts_a_lesson(build, tmp_path):
    """Minutes of the header, cells, words without links, tags and marks, exercises, seconds."""
    source = tmp_path / "07_knots.py"
    source.write_text(LESSON)
    words = "7. Knots Time about 20 minutes; the cells take about 3 minutes "
    words += "Exercise 7.1 (fill, ...): tie a knot Hint 1 Over, under."
    assert build.counted(source, {"07_knots": 5}) == [20, 2, 2, len(words.split()), 1, 5]
    assert build.counted(source, {})[-1] is None


def test_build_writes_the_table_of_lessons(build, tmp_path, monkeypatch):
    page = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    assert all(mark in page for mark in build.MARKS), "README.md has no place for the table"
    assert build.with_table(page) == page, "run build.py"
    lines = [line.split("|") for line in build.table().splitlines()]
    assert len(lines) == len(LESSONS) + 3 and len({len(line) for line in lines}) == 1
    for name, number in (("SOURCE", "source"), ("SOLUTIONS", "solutions")):
        monkeypatch.setattr(build, name, tmp_path / number)
        (tmp_path / number).mkdir()
    monkeypatch.setattr(build, "HERE", tmp_path)
    (tmp_path / "source" / "07_knots.py").write_text(LESSON)
    (tmp_path / "README.md").write_text("Lessons\n" + "".join(build.MARKS) + "The end\n")
    assert build.check_table() == ["The table in README.md is out of date: run build.py."]
    build.remember("07_knots", 4.6)
    assert build.main(["--no-execute"]) == 0 and build.check_table() == []
    made = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert made.startswith("Lessons\n") and made.endswith("The end\n")
    assert "| [7](07_knots.ipynb) | 20 | 2 | 2 | 23 | 1 | 5 |" in made
    assert build.with_table("no marks") == "no marks"


def test_build_replaces_solutions_by_stubs(build, tmp_path):
    source = tmp_path / "x.py"
    source.write_text(
        "# %%\ndef blend(a, b):\n    ### BEGIN SOLUTION\n    return (a + b) / 2\n    ### END SOLUTION\n\n"
        "# %%\nblend(1, 2)\n"
    )
    made = build.student(build.read_source(source)).cells
    assert made[0].source == "def blend(a, b):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert [cell.id for cell in made] == ["def-blend-a-b", "blend-1-2"]
    assert build.text(build.student(build.read_source(source))) == build.text(build.student(build.read_source(source)))


@pytest.mark.parametrize(
    "before, solution, stub",
    [
        ("answer = None", "answer = 'B'", BLANK),
        ("a, b = None, None", "a = 1\nb = 2 * a", BLANK),
        ("", "answer = 'B'", STUB),  # nothing was there before it: later cells would not find the name
        ("runs = {}", "runs['x'] = 1", STUB),
        ("n = 0", "for k in range(3):\n    n = n + k", STUB),
        ("def f(x):", "    return x", STUB),
    ],
)
def test_build_lets_run_all_go_on_where_a_value_is_blank(build, tmp_path, before, solution, stub):
    source = tmp_path / "x.py"
    indent = " " * (len(solution) - len(solution.lstrip()))
    source.write_text(f"# %%\n{before}\n{indent}### BEGIN SOLUTION\n{solution}\n{indent}### END SOLUTION\n")
    (cell,) = build.student(build.read_source(source)).cells
    assert stub in cell.source and (STUB in cell.source) == (stub == STUB) and cell.source.startswith(before)
    if stub == BLANK:
        exec(cell.source, {})


@pytest.mark.parametrize("lesson", LESSONS)
def test_cell_ids_stay_with_their_cells(build, lesson):
    """When a cell comes or goes, anywhere, no other id changes: what a learner wrote merges with a new edition."""
    cells = build.jupytext.reads(build.read(NOTEBOOKS / "source" / f"{lesson}.py"), fmt="py:percent").cells
    before = build.cell_ids(cells)
    assert all(re.fullmatch("[a-z0-9-]{1,60}", name) for name in before) and len(set(before)) == len(cells)
    for place in range(0, len(cells), 5):
        new = nbformat.v4.new_code_cell("print('a new cell')")
        after = build.cell_ids([*cells[:place], new, *cells[place:]])
        assert after[:place] + after[place + 1 :] == before
        after = build.cell_ids(cells[:place] + cells[place + 1 :])
        changed = {*after} - {*before}
        assert len(changed) <= 1, changed  # cells that begin alike are counted


def test_cell_ids_stay_when_the_rest_of_a_cell_is_edited(build):
    def ids(*sources):
        return build.cell_ids([nbformat.v4.new_code_cell(source) for source in sources])

    solved = "def mse(a, b):\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"
    first = ids("import torch\n\nx = f(1)\ny = 2", solved, "checks.check_mse(mse)", "x = f(1)")
    assert first == ["x-f-1", "answer-mse", "checks-check-mse-mse", "x-f-1-2"]
    assert ids("x = f(1)\ny = 3", solved.replace("1", "2"), "checks.check_mse(mse)\nprint(1)", "x = f(1)") == first


def test_build_does_not_depend_on_the_encoding_of_the_system(tmp_path):
    """As on Windows: where the system's encoding is another one, the same bytes are written, and `--check` agrees."""
    folder = tmp_path / "notebooks"
    (folder / "source").mkdir(parents=True)
    (folder / "solutions").mkdir()
    (folder / "build.py").write_bytes((NOTEBOOKS / "build.py").read_bytes())
    (folder / "source" / "07_x.py").write_bytes("# %% [markdown]\n# # 7. \u03bb \u2192 \u00e4\n".encode())
    (folder / "README.md").write_bytes("\u00d7\n".encode())
    environment = os.environ | {
        "PYTHONUTF8": "0",
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }
    run = [sys.executable, "-X", "warn_default_encoding", "-W", "error::EncodingWarning:__main__", "build.py"]
    subprocess.run([*run, "--no-execute"], cwd=folder, env=environment, check=True)
    made = (folder / "07_x.ipynb").read_bytes()
    assert "\u03bb \u2192 \u00e4".encode() in made and b"\r" not in made
    assert json.loads(made)["cells"][0]["source"] == ["# 7. \u03bb \u2192 \u00e4"]
    assert (folder / "README.md").read_bytes() == "\u00d7\n".encode()


@pytest.mark.parametrize("lesson", LESSONS)
def test_learner_notebook_has_a_stub_for_each_solution(build, lesson):
    """One for one; a cell of code stops there: the stub is the last thing that runs."""
    stubs = {cell.id: cell.source for cell in cells(learner(lesson), "code") if is_stub(cell.source)}
    marked = {cell.id: before for cell, before, _, _ in solutions(build, lesson)}
    assert stubs.keys() == marked.keys()
    for name, source in stubs.items():
        assert source.count(STUB) + source.count(BLANK) == 1, (
            f"{name}: one stub a cell, or nobody can say which stopped"
        )
        assert source.startswith(marked[name]), name
        raises = any(isinstance(node, ast.Raise) for node in ast.walk(ast.parse(source)))
        assert raises == (STUB in source), name


@pytest.mark.parametrize("lesson", LESSONS)
def test_learner_notebook_becomes_a_script(lesson):
    """Its language is described in full, so that nbconvert knows the ending."""
    body, resources = ScriptExporter().from_filename(str(learner(lesson)))
    assert resources["output_extension"] == ".py" and "import i2s" in body


@pytest.mark.parametrize("lesson", LESSONS)
def test_learner_notebook_has_no_line_of_a_solution(build, lesson):
    given = {line.strip() for path in [learner(lesson)] for cell in cells(path) for line in cell.source.splitlines()}
    for cell, _, solution, _ in solutions(build, lesson):
        lines = {line.strip() for line in solution.splitlines()}
        telling = {line for line in lines if len(line) > 20 and not line.startswith("for ")}
        assert not telling & given, f"{cell.id}: {telling & given}"


@pytest.mark.parametrize(
    "path", [p for lesson in LESSONS for p in both(lesson)], ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_notebook_file_is_clean(path):
    """Small, valid, without widget state, without a trace of the machine or of a person who made them."""
    text = path.read_text(encoding="utf-8")
    assert len(text) < LARGEST
    for trace in ("widget-state", "widget-view", "/root/", "/home/", "/Users/", "/tmp/"):
        assert trace not in text, trace
    assert "SOLUTION" not in text or path.parent.name == "solutions"
    notebook = nbformat.from_dict(json.loads(text))
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"} and set(cell.metadata.get("tags", ())) <= TAGS, cell.id
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("lesson", LESSONS)
def test_learner_notebook_was_never_run(lesson):
    assert all(not cell.outputs and cell.execution_count is None for cell in cells(learner(lesson), "code"))


@pytest.mark.parametrize("lesson", LESSONS)
def test_solution_notebook_ran_from_top_to_bottom(lesson):
    """Every cell in order, in one go, without an error and without a warning that the reader would have to explain."""
    code = cells(solved(lesson), "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error", f"{cell.id}: {output.get('evalue')}"
            assert output.get("name") != "stderr", f"{cell.id}: {output.text}"


def test_printed_page_has_everything_unfolded_and_wrapped(build, tmp_path):
    assert build.main(["00_start_here", "--print", str(tmp_path / "pages")]) == 0
    page = (tmp_path / "pages" / "00_start_here.html").read_text(encoding="utf-8")
    body = page.partition("<body")[2]
    assert body.count("<details open>") == body.count("<details") > 0
    assert "pre-wrap" in page.partition("</head>")[0]
    base = re.search(r'<base href="file://([^"]+)/x">', page)[1]
    for image in re.findall(r'src="(\.\./images/[^"]+)"', body):
        assert (Path(base) / image).is_file()
