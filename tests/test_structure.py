"""The layering of the package, read from its import statements, those inside of functions included."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Lowest first: a file or folder of i2s imports from the layers below its own.
LAYERS = (
    ("errors",),
    ("files", "device", "console"),
    ("latents", "images", "inputs"),
    ("figures", "metrics", "generators"),
    ("weights", "losses", "encoder"),
    ("embedding",),
    ("edits", "alignment"),
    ("course", "cli"),
    ("checks", "__main__"),  # checks: the earlier name of course.checks
)
OUTSIDE = {"training", "benchmarks", "tests", "helpers", "notebooks"}
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "i2s").rglob("*.py"))}


def imported(module: str) -> set[str]:
    """Modules that a module imports, wherever in its file: those of i2s in full, others by their first name."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inner]
        else:
            continue
        found |= {name if name in MODULES else name.partition(".")[0] for name in names}
    return found


def unit(module: str) -> str:
    """File or folder directly in i2s."""
    return module.split(".")[1] if "." in module else module


def ours(module: str) -> set[str]:
    """Modules of other units of i2s that a module imports; the version in `i2s/__init__.py` is for everyone."""
    return {name for name in GRAPH[module] if name.startswith("i2s.") and unit(name) != unit(module)}


GRAPH = {module: imported(module) for module in MODULES}


def test_structure_knows_every_unit():
    assert {unit(module) for module in MODULES} - {"i2s"} <= LEVEL.keys()


@pytest.mark.parametrize("module", MODULES)
def test_structure_imports_nothing_from_outside_the_package(module):
    assert not GRAPH[module] & OUTSIDE


@pytest.mark.parametrize("module", MODULES)
def test_structure_imports_downwards(module):
    own = unit(module)
    if own == "i2s":  # `import i2s` imports nothing of its own
        assert not ours(module)
        return
    against = [name for name in ours(module) if LEVEL[unit(name)] >= LEVEL[own]]
    assert not against, f"{module} imports {against}"


def test_structure_has_weights_beside_the_chain():
    """Generators know their readers by name; only what downloads or inspects files imports weights."""
    importers = {unit(module) for module, names in GRAPH.items() for name in names if unit(name) == "weights"}
    assert importers <= {"weights", "alignment", "course", "cli"}
    below = {"generators", "latents", "files", "device", "errors"}
    assert {unit(name) for module in MODULES if unit(module) == "weights" for name in ours(module)} <= below


def test_structure_has_no_cycle():
    """Neither of folders, nor of files."""
    units: dict[str, set[str]] = {}
    for module in MODULES:
        units.setdefault(unit(module), set()).update(map(unit, ours(module)))
    assert not cycle(units)
    assert not cycle({module: names.intersection(MODULES) - {module} for module, names in GRAPH.items()})


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """A cycle of a directed graph, or an empty list."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for neighbour in sorted(graph.get(node, ())):
            if found := visit(neighbour, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def test_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert not cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
