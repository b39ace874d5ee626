"""Pages of the lessons: complete exercises, valid links, alternative texts, short cells."""

import html
import importlib
import itertools
import re
import statistics

import pytest
from nbconvert import HTMLExporter

from tests.notebooks.lessons import LESSONS, NOTEBOOKS, both, cells, is_stub, learner, solved

FORMATS = ("predict", "fill", "ablate", "diagnose", "explain")
HEADING = re.compile(
    r"^### Exercise (\d+)\.(\d+) \((" + "|".join(FORMATS) + r"), difficulty ([123]) of 3, (\d+) minutes\): \S.*$",
    re.MULTILINE,
)
TEACHING = [lesson for lesson in LESSONS if not lesson.startswith("00")]  # lesson 0 has no exercises
PAGES = [path for lesson in LESSONS for path in both(lesson)]
NAMES = [f"{path.parent.name}-{path.stem}" for path in PAGES]


def anchors(markdown: str) -> set[str]:
    """Return the anchors of a page's headings and `<a id>`, as GitHub and JupyterLab make them."""
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", markdown, re.MULTILINE)
    plain = (re.sub(r"[`*_]|\$[^$]*\$|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}
    return made | set(re.findall(r"""<a +(?:id|name)=["']([^"']+)["']""", markdown))


def count_lines(source: str) -> int:
    """Count the lines of a code cell that a reader takes in: no blank lines, comments and marks of a solution."""
    lines = (line.strip() for line in source.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def prose(path) -> str:
    """The text cells of a notebook, one after the other."""
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def exercises(lesson):
    """[(heading's match, cells from the heading to the next)] of a lesson as the learner gets it."""
    found = []
    for cell in cells(learner(lesson)):
        heading = HEADING.search(cell.source) if cell.cell_type == "markdown" else None
        if heading:
            found.append((heading, [cell]))
        elif found:
            found[-1][1].append(cell)
    return found


# --- exercises ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", TEACHING)
def test_exercise_headings_have_one_form_and_count_up(lesson):
    announced = re.findall(r"^#+ *Exercise.*$", prose(learner(lesson)), re.MULTILINE)
    found = [heading for heading, _ in exercises(lesson)]
    assert announced == [heading[0] for heading in found], (
        "### Exercise N.M (format, difficulty k of 3, t minutes): title"
    )
    assert [(int(h[1]), int(h[2])) for h in found] == [(int(lesson[:2]), k + 1) for k in range(len(found))]
    assert len(found) >= 3


@pytest.mark.parametrize("lesson", TEACHING)
def test_exercise_is_complete(lesson):
    """Two folded hints, one stub beside predictions, and a cell after it that calls a check which exists."""
    for heading, part in exercises(lesson):
        text = "\n".join(cell.source for cell in part if cell.cell_type == "markdown")
        assert len(re.findall(r"<details>\s*<summary>Hint \d</summary>", text)) == 2, heading[0]
        code = [cell.source for cell in part if cell.cell_type == "code"]
        after = [*code[1:], ""]
        stubs = [k for k, source in enumerate(code) if is_stub(source) and "compare_guess(" not in after[k]]
        assert len(stubs) == 1, f"{heading[0]}: {len(stubs)} stubs"
        called = re.findall(r"checks\.(check_\w+)", "\n".join(code[stubs[0] + 1 : stubs[0] + 2]))
        assert called, f"{heading[0]}: the cell after the stub calls no check"
        lesson_module = importlib.import_module(f"i2s.course.lesson{lesson[:2]}")
        assert all(callable(getattr(lesson_module, name)) for name in called)


@pytest.mark.parametrize("lesson", LESSONS)
def test_stub_belongs_to_an_exercise(lesson):
    """Or to a prediction, whose measured value the next cell compares with it."""
    own = {cell.id for _, part in exercises(lesson) for cell in part}
    code = cells(learner(lesson), "code")
    for cell, after in itertools.pairwise(code):
        assert not is_stub(cell.source) or cell.id in own or "compare_guess(" in after.source, cell.id


@pytest.mark.parametrize("lesson", TEACHING)
def test_solution_is_short(lesson):
    for cell in cells(solved(lesson), "code"):
        for solution in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.DOTALL):
            assert count_lines(solution) <= 8, f"{cell.id}: {count_lines(solution)} lines"


@pytest.mark.parametrize("lesson", TEACHING)
def test_check_is_tested(lesson):
    """The tests of a lesson's checks speak of each of them; what they plant is theirs."""
    tests = (NOTEBOOKS.parent / "tests" / "course" / f"test_lesson{lesson[:2]}.py").read_text(encoding="utf-8")
    called = set(re.findall(r"checks\.check_(\w+)", "\n".join(c.source for c in cells(learner(lesson), "code"))))
    assert called and {name for name in called if name.rstrip("abcd") not in tests} == set()


def test_exercises_are_of_all_kinds():
    found = [heading for lesson in TEACHING for heading, _ in exercises(lesson)]
    assert len(found) >= 18
    assert {heading[3] for heading in found} == set(FORMATS)
    assert {heading[4] for heading in found} == set("123"), "no difficulty is left out"


# --- shape ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_has_goals_time_questions_and_a_next_step(lesson):
    first, text = cells(learner(lesson))[0].source, prose(learner(lesson))
    assert re.match(rf"# {int(lesson[:2])}\. \S", first)
    for word in ("**Goals**", "**Before**", "**Time**", "**You will see**"):
        assert word in first, word
    assert re.search(r"!\[[^\]]+\]\(images/\w+\.(svg|jpg|png)\)", first), "what the lesson is for, on top"
    assert re.search(r"!\[[^\]]+\]\(images/\w+\.svg\)", text), "a diagram"
    assert len(set(re.findall(r"\(GLOSSARY\.md#([\w-]+)\)", text))) >= 3, "words lead to the glossary"
    asked = text.partition("**Ask yourself**")[2]
    questions = re.findall(r"<details>\s*<summary>.+?</summary>\s*[^<\s]", asked, re.DOTALL)
    assert len(questions) >= 3, "three questions, answers folded"
    assert "## What you have seen" in text
    following = dict(itertools.pairwise(LESSONS)).get(lesson)
    assert following is None or f"]({following}.ipynb)" in text.partition("**Next:**")[2]


@pytest.mark.parametrize("lesson", LESSONS)
def test_code_cells_are_short(lesson):
    lengths = sorted(count_lines(cell.source) for cell in cells(solved(lesson), "code"))
    assert statistics.median(lengths) <= 5, lengths
    assert lengths[int(0.9 * (len(lengths) - 1))] <= 15, lengths


@pytest.mark.parametrize("lesson", LESSONS)
def test_enough_outputs_are_compared(lesson):
    """Cells that nbval does not compare are those whose results vary; a lesson of nothing else would test nothing."""
    code = cells(solved(lesson), "code")
    compared = [cell for cell in code if "nbval-ignore-output" not in cell.metadata.get("tags", ())]
    assert len(compared) >= len(code) / 3, f"{len(compared)} of {len(code)}"


def test_lessons_use_no_unsupported_widget():
    for lesson in LESSONS:
        code = "\n".join(cell.source for cell in cells(learner(lesson), "code"))
        for name in (
            "widgets.Output",
            "interact(",
            "interactive_output",
            "widgets.Accordion",
            "widgets.Tab",
            "!pip",
            "%pip",
        ):
            assert name not in code, f"{lesson}: {name}"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_explorer_has_a_snapshot_in_its_cell(path):
    """Where no widget runs, on GitHub and in print, the cell still shows what there is to explore."""
    for cell in cells(path, "code"):
        if re.search(r"course\.\w+Explorer\(", cell.source):
            assert re.search(r"\.snapshot\(\)\s*$", cell.source), cell.id
            shown = any("<img" in output.get("data", {}).get("text/html", "") for output in cell.outputs)
            assert shown or path == learner(path.stem), cell.id


# --- links and images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_links_lead_somewhere(path):
    """Each relative link to a file that is there, from where the notebook lies; each `#part` to a heading of it."""
    text = re.sub(r"```.*?```", "", prose(path), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"""(?:src|href)=["']([^"']+)["']""", text)
    broken = []
    for link in links:
        if link.startswith(("http:", "https:", "mailto:", "data:")):
            continue
        name, _, part = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.is_file():
            broken.append(link)
        elif part and target.suffix in (".md", ".ipynb"):
            page = prose(target) if target.suffix == ".ipynb" else target.read_text(encoding="utf-8")
            if part not in anchors(page):
                broken.append(link)
    assert not broken


def test_anchors_are_those_of_viewers():
    page = '# Mean latent\n<a id="w-plus"></a>\n## W+\ntext # no heading\n### The `Adam` *optimiser* #\n'
    assert anchors(page) == {"mean-latent", "w-plus", "w", "the-adam-optimiser"}


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_image_has_an_alternative_text(path):
    """For who cannot see it: in the text cells, and in what the cells show."""
    text = prose(path)
    for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text):
        assert len(alt.split()) >= 3, f"{target}: {alt!r}"
    for tag in re.findall(r"<img\b[^>]*>", text):
        assert re.search(r"""alt=["'][^"']{10,}""", tag), tag
    for cell, alt in images_of(path):
        assert alt is not None, f"{cell.id}: an image without HTML, which viewers show without a text"
        assert len(alt) >= 10 and not re.fullmatch(r"\d+ images?", alt), f"{cell.id}: {alt!r} says nothing"


def images_of(path):
    """Yield (cell, alternative text or None) of each image that the cells of a notebook show."""
    for cell in cells(path, "code"):
        for output in cell.outputs:
            data = output.get("data", {})
            alone = "text/html" not in data
            yield from ((cell, None) for kind in data if alone and kind.startswith("image/"))
            for tag in re.findall(r"<img\b[^>]*>", data.get("text/html", "")):
                yield cell, html.unescape((re.search(r'alt="([^"]*)"', tag) or ["", ""])[1])


@pytest.mark.parametrize("lesson", LESSONS)
def test_html_page_keeps_the_alternative_texts(lesson):
    """As nbconvert makes it (JupyterLab is tried in tests/browser): the same images, the same texts."""
    page, _ = HTMLExporter(template_name="lab").from_filename(str(solved(lesson)))
    body = page.partition("<body")[2]
    tags = re.findall(r"<img\b[^>]*>", body)
    texts = [html.unescape(found[1]) for tag in tags if (found := re.search(r'alt="([^"]*)"', tag)) and found[1]]
    assert len(texts) == len(tags)
    shown = {alt for _, alt in images_of(solved(lesson))}
    assert shown and shown <= set(texts)
