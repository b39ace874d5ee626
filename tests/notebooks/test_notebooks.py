"""Notebook files: built from their sources, clean, small, and without solutions in the learner's."""

import ast
import importlib.util
import json

import nbformat
import pytest
from lessons import LESSONS, NOTEBOOKS, STUB, both, cells, learner, solved

MEGABYTE = 1_000_000
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
    found = {path.stem for folder in (NOTEBOOKS, NOTEBOOKS / "solutions") for path in folder.glob("*.ipynb")}
    assert found == set(LESSONS)


def test_build_check_sees_a_changed_source(build, tmp_path, monkeypatch, capsys):
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
    page = (NOTEBOOKS / "README.md").read_text()
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
    made = (tmp_path / "README.md").read_text()
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
    assert [cell.id for cell in made] == ["cell-000", "cell-001"]
    assert build.text(build.student(build.read_source(source))) == build.text(build.student(build.read_source(source)))


@pytest.mark.parametrize("lesson", LESSONS)
def test_learner_notebook_has_a_stub_for_each_solution(build, lesson):
    """One for one, and the cell around it is Python that stops there: the stub is the last thing that runs."""
    stubs = {cell.id: cell.source for cell in cells(learner(lesson), "code") if STUB in cell.source}
    marked = {cell.id: before for cell, before, _, _ in solutions(build, lesson)}
    assert stubs.keys() == marked.keys()
    for name, source in stubs.items():
        assert source.count(STUB) == 1, f"{name}: one stub a cell, or nobody can say which one stopped"
        assert source.startswith(marked[name]), name
        assert any(isinstance(node, ast.Raise) for node in ast.walk(ast.parse(source))), name


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
    text = path.read_text()
    assert len(text) < MEGABYTE
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
