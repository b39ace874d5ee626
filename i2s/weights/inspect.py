"""What is in a weight file, told without trusting it: `i2s inspect FILE`.

The restricted reader does the reading, with one difference: a global that it would refuse becomes a note and
an inert placeholder, so that the report names all of them and not only the first.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from i2s.errors import WeightFileError
from i2s.weights.file_type import open_bytes, sniff
from i2s.weights.limits import printable, suspicious
from i2s.weights.object_graph import PersistentObject, TFNetwork, check_tree
from i2s.weights.pickles import Reader
from i2s.weights.unpickler import Global, Unfinished

MAX_GLOBALS = 200  # in a report
# Levels that only sort a module's contents, and are left out of names.
TRANSPARENT = {"_parameters", "_buffers", "_modules", "variables", "components"}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor or array: its name in the file, shape, dtype and size."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass
class Report:
    """What `inspect_file` found, all names made printable; `str(report)` is the text for people."""

    path: Path
    size: int = 0
    container: str = "unknown"
    globals: list[str] = field(default_factory=list)  # what the file asks for
    refused: list[str] = field(default_factory=list)  # those of them that no weight file needs
    notes: dict[str, str] = field(default_factory=dict)  # of a safetensors file
    objects: list[tuple[str, str]] = field(default_factory=list)  # name, class
    tensors: list[TensorInfo] = field(default_factory=list)
    tensor_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or that of WeightFileError when there are problems."""
        return WeightFileError.exit_code if self.problems else 0

    def __str__(self) -> str:
        lines = [f"{printable(self.path, 200)}: {self.container}, {self.size:,} bytes"]
        if self.globals:
            lines.append(f"\nglobals ({len(self.globals)}), none of them imported or called:")
            lines += [f"  {name}{'   REFUSED' if name in self.refused else ''}" for name in self.globals]
        if self.notes:
            lines += ["\nnotes:", *(f"  {name}: {value}" for name, value in self.notes.items())]
        if self.objects:
            lines.append(f"\nobjects ({len(self.objects)}):")
            lines += [f"  {name or '(top)'}: {kind}" for name, kind in self.objects]
        if self.tensors:
            lines.append(f"\ntensors ({len(self.tensors)}, {self.tensor_bytes:,} bytes):")
            rows = [(t.name, str(list(t.shape)), t.dtype, f"{t.bytes:,}") for t in self.tensors]
            widths = [max(len(row[i]) for row in rows) for i in range(4)]
            for name, shape, dtype, size in rows:
                row = f"  {name:{widths[0]}}  {shape:{widths[1]}}  {dtype:{widths[2]}}  {size:>{widths[3]}}"
                lines.append(row)
        if self.problems:
            lines.append(f"\nproblems ({len(self.problems)}): i2s does not load this file")
            lines += [f"  it {printable(problem, 300)}" for problem in self.problems]
        return "\n".join(lines)


def inspect_file(path: str | Path) -> Report:
    """A report on any file: container, the globals it asks for, objects and tensors, what is wrong.

    Never raises for what is in the file, and executes nothing. Objects and tensors are named only when the file
    can be read to its end; whether they make a generator is for `load_generator` to say.
    """
    report = Report(Path(path))
    try:
        data = open_bytes(path)
        report.size = len(data)
        report.container = sniff(bytes(data[:1024]))
        if report.container == "safetensors":
            _read_safetensors(report)
        else:
            _read_tree(data, report)
    except WeightFileError as error:
        report.problems.append(str(error))
    return report


class _NotingReader(Reader):
    """The reader, which notes what it would refuse and goes on."""

    def __init__(self, file_size: int, report: Report):
        super().__init__(file_size)
        self.report = report

    def resolved(self, name: str, target: Global | None) -> Global:
        shown = printable(name)
        if shown not in self.report.globals:
            if len(self.report.globals) >= MAX_GLOBALS:
                raise suspicious(f"asks for more than {MAX_GLOBALS} names")
            self.report.globals.append(shown)
            if target is None:
                self.report.refused.append(shown)
                self.report.problems.append(f"asks for {shown}")
        return target or _placeholder(shown)

    def check(self, tree: Any) -> None:
        """Not yet: what was refused is still in it."""


def _placeholder(name: str) -> Global:
    """Takes what the refused one would take, and gives a placeholder again."""
    return Global(
        name,
        reduce=lambda *arguments: _placeholder(name),
        new=lambda: Unfinished(name, lambda state: _placeholder(name)),
        arguments=(0, 1 << 20),
    )


def _read_tree(data: memoryview, report: Report) -> None:
    tree = _NotingReader(len(data), report).read(data, report.container)
    try:
        if not report.refused:
            check_tree(tree)
    finally:
        _list(tree, report)


def _list(tree: Any, report: Report) -> None:
    """Note objects and tensors, each once, however many references lead to it."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        name, node = waiting.pop()
        if id(node) in seen or node is None or isinstance(node, (bool, int, float, str)):
            continue
        seen.add(id(node))
        parts: list[tuple[str, Any]] = []
        if isinstance(node, (torch.Tensor, np.ndarray, np.generic)):
            _note(name, node, report)
        elif isinstance(node, (PersistentObject, TFNetwork)):
            report.objects.append(
                (name, node.class_name if isinstance(node, PersistentObject) else "Network")
            )
            parts = list(node.state.items())
        elif isinstance(node, dict):
            parts = list(node.items())
        elif isinstance(node, (list, tuple)):
            # TensorFlow lists its variables as pairs of name and value.
            pairs = [type(part) is tuple and len(part) == 2 and type(part[0]) is str for part in node]
            parts = [
                part if pair else (str(i), part)
                for i, (part, pair) in enumerate(zip(node, pairs, strict=True))
            ]
        for key, part in reversed(parts):
            inner = name if key in TRANSPARENT else f"{name}.{printable(key)}".lstrip(".")
            waiting.append((inner[-200:], part))  # names are a hostile file's choice too


def _note(name: str, value: torch.Tensor | np.ndarray | np.generic, report: Report) -> None:
    dtype = str(value.dtype).removeprefix("torch.")
    report.tensors.append(TensorInfo(name, tuple(value.shape), dtype, value.nbytes))
    # Tensors may share their numbers many times over: no more are looked at than the file has.
    report.tensor_bytes += value.nbytes
    if report.tensor_bytes > report.size:
        return
    try:
        finite = torch.isfinite(value).all() if isinstance(value, torch.Tensor) else np.isfinite(value).all()
    except (NotImplementedError, RuntimeError):  # numbers of 4 bits, which torch keeps but does not look at
        report.problems.append(f"has {dtype} numbers, which no generator has, in {name}")
        return
    if not finite:
        report.problems.append(f"has NaN or infinity in {name}")


def _read_safetensors(report: Report) -> None:
    try:
        with safe_open(report.path, framework="pt") as file:
            for name, value in (file.metadata() or {}).items():
                report.notes[printable(name)] = printable(value)
            for name in file.keys():  # noqa: SIM118 (not a dict)
                _note(printable(name), file.get_tensor(name), report)
    except (SafetensorError, OSError) as error:
        raise WeightFileError(f"is no valid safetensors file ({printable(error)}): fetch it again") from error
