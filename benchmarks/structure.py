"""Size and structure of a Python package: `python benchmarks/structure.py [FOLDER ...]` (default i2s).

Prints one column for each folder:

    files, lines            of *.py
    functions               with methods and nested functions, without lambdas
    private helpers         functions whose name begins with one underscore
    annotated arguments     without self and cls, *args and **kwargs
    docstrings              of functions and classes
    full-line comments      lines that hold nothing but a comment
    units                   folders and files at the top of the package
    import arrows           pairs of units of which one imports the other, of all that a layering could have
    cycles                  strongly connected groups of files, by all imports but those for type checkers
"""

import argparse
import ast
import io
import sys
import tokenize
from collections.abc import Iterable
from pathlib import Path

LONG = 50  # lines, from the `def` to the end
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def measure(folder: Path) -> dict[str, str]:
    """Measure the package in a folder, whose name is the package's.

    Raises:
        SyntaxError: A file cannot be parsed.
    """
    files = sorted(folder.rglob("*.py"))
    sources = {file: file.read_text("utf-8") for file in files}
    trees = {file: ast.parse(source, str(file)) for file, source in sources.items()}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, FUNCTIONS)]
    documented = [node for node in nodes if isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    arguments = [argument for node in functions for argument in arguments_of(node)]
    imports = import_graph(folder, trees)
    units = {unit_of(folder, file) for file in files}
    arrows = {(unit_of(folder, a), unit_of(folder, b)) for a, targets in imports.items() for b in targets}
    arrows = {(a, b) for a, b in arrows if a != b}
    cycles = find_cycles(imports)
    return {
        "files": f"{len(files):,}",
        "lines": f"{sum(len(source.splitlines()) for source in sources.values()):,}",
        "functions": f"{len(functions):,}",
        f"functions over {LONG} lines": f"{sum(node.end_lineno - node.lineno + 1 > LONG for node in functions)}",
        "private helpers": f"{sum(is_private(node.name) for node in functions)}",
        "annotated arguments": share(argument.annotation is not None for argument in arguments),
        "annotated returns": share(node.returns is not None for node in functions),
        "docstrings": share(ast.get_docstring(node) is not None for node in documented),
        "full-line comments": f"{sum(count_comments(source) for source in sources.values())}",
        "units": f"{len(units)}",
        "import arrows": f"{len(arrows)} of {len(units) * (len(units) - 1) // 2}",
        "cycles": ", ".join(f"{len(cycle)} files" for cycle in cycles) or "none",
    }


def is_private(name: str) -> bool:
    """True for _name, not for __init__."""
    return name.startswith("_") and not name.endswith("__")


def arguments_of(node: ast.FunctionDef) -> list[ast.arg]:
    """List the arguments of a function without self and cls, *args and **kwargs."""
    found = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [argument for argument in found if argument.arg not in ("self", "cls")]


def share(flags: Iterable[bool]) -> str:
    """Format how many of the flags are set."""
    flags = list(flags)
    return f"{sum(flags):,} of {len(flags):,} ({100 * sum(flags) / max(len(flags), 1):.0f} %)"


def count_comments(source: str) -> int:
    """Count the lines that hold nothing but a comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return sum(token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip() for token in tokens)


def unit_of(folder: Path, file: Path) -> str:
    """Name the folder or file at the top of the package that a file belongs to."""
    return file.relative_to(folder).parts[0].removesuffix(".py")


def import_graph(folder: Path, trees: dict[Path, ast.Module]) -> dict[Path, set[Path]]:
    """Find the files of the package that each file imports, also within functions."""
    modules = {module_name(folder, file): file for file in trees}
    graph: dict[Path, set[Path]] = {}
    for file, tree in trees.items():
        names = imported_names(tree, module_name(folder, file), file.name == "__init__.py")
        # `from i2s.losses import base` is a module, `from i2s.losses import ImageLoss` a name of i2s.losses
        found = {modules.get(name) or modules.get(name.rpartition(".")[0]) for name in names}
        graph[file] = found - {None, file}
    return graph


def module_name(folder: Path, file: Path) -> str:
    """Return the dotted name of a file's module."""
    parts = [folder.name, *file.relative_to(folder).with_suffix("").parts]
    return ".".join(parts).removesuffix(".__init__")


def imported_names(tree: ast.Module, module: str, is_package: bool) -> set[str]:
    """Collect the dotted names that a module imports, outside of `if TYPE_CHECKING`."""
    names: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, base]).rstrip(".")
            names |= {f"{base}.{alias.name}" for alias in node.names}
        pending += ast.iter_child_nodes(node)
    return names


def find_cycles(graph: dict[Path, set[Path]]) -> list[set[Path]]:
    """Find the groups of nodes that reach each other, largest first."""
    reach = {node: reachable(graph, node) for node in graph}
    cycles: list[set[Path]] = []
    for node in graph:
        if node in reach[node] and not any(node in cycle for cycle in cycles):
            cycles.append({other for other in reach[node] if node in reach[other]})
    return sorted(cycles, key=len, reverse=True)


def reachable(graph: dict[Path, set[Path]], start: Path) -> set[Path]:
    """Find the nodes to which a path of at least one edge leads."""
    found: set[Path] = set()
    pending = [start]
    while pending:
        new = graph[pending.pop()] - found
        found |= new
        pending += new
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", default=[Path("i2s")])
    folders = parser.parse_args(arguments).folders
    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        print(f"There is no folder {', '.join(missing)}.", file=sys.stderr)
        return 2
    tables = [measure(folder.resolve()) for folder in folders]
    lines = [["", *map(str, folders)], ["---"] * (len(folders) + 1)]
    lines += [[name, *(table[name] for table in tables)] for name in tables[0]]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
