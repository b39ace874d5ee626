"""Report on the contents of an untrusted weight file: `i2s inspect FILE`.

The restricted reader reads it, with one difference: a global that it would refuse is noted and becomes an inert
placeholder, so that the report names all of them and not only the first.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from i2s.errors import WeightFileError, printable
from i2s.files import local_path
from i2s.weights.file_type import open_bytes, sniff
from i2s.weights.limits import suspicious
from i2s.weights.object_graph import PersistentObject, TFNetwork, check_tree
from i2s.weights.reader import Reader
from i2s.weights.unpickler import PendingObject, StandIn

MAX_GLOBALS = 200  # in a report
# Keys that only sort a module's contents, and are left out of names.
TRANSPARENT = {"_parameters", "_buffers", "_modules", "variables", "components"}


@dataclass(frozen=True)
class TensorInfo:
    """Name in the file, shape, dtype and size of a tensor or array."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass
class Report:
    """Report of `inspect_file`, all names made printable; `str(report)` is the text for people."""

    path: Path
    size: int = 0
    container: str = "unknown"
    globals: list[str] = field(default_factory=list)  # that the file asks for
    refused: list[str] = field(default_factory=list)  # those of them that no weight file needs
    metadata: dict[str, str] = field(default_factory=dict)  # of a safetensors file
    objects: list[tuple[str, str]] = field(default_factory=list)  # name, class
    tensors: list[TensorInfo] = field(default_factory=list)
    tensor_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or that of WeightFileError if there are problems."""
        return WeightFileError.exit_code if self.problems else 0

    def __str__(self) -> str:
        lines = [f"{printable(self.path, 200)}: {self.container}, {self.size:,} bytes"]
        if self.globals:
            lines.append(f"\nglobals ({len(self.globals)}), none of them imported or called:")
            lines += [f"  {name}{'   REFUSED' if name in self.refused else ''}" for name in self.globals]
        if self.metadata:
            lines += ["\nmetadata:", *(f"  {name}: {value}" for name, value in self.metadata.items())]
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
            lines += [f"  {printable(problem, 300)}" for problem in self.problems]
        return "\n".join(lines)


def inspect_file(path: str | Path) -> Report:
    """Report on any file: container, the globals it asks for, objects, tensors, problems.

    Nothing in the file is executed, and nothing in it makes this raise. Objects and tensors are listed only if the file
    can be read to its end; whether they make a generator is checked by `load_generator`.

    Args:
        path: Any file; a missing one is a problem of the report.
    """
    report = Report(Path(path))
    try:
        report.path = local_path(path, WeightFileError, "download the file and give its path")
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


class _ReportingReader(Reader):
    """Reader that notes the globals that it would refuse, and goes on."""

    def __init__(self, file_size: int, report: Report):
        super().__init__(file_size)
        self.report = report

    def resolved(self, name: str, target: StandIn | None) -> StandIn:
        shown = printable(name)
        if shown not in self.report.globals:
            if len(self.report.globals) >= MAX_GLOBALS:
                raise suspicious(f"asks for more than {MAX_GLOBALS} names")
            self.report.globals.append(shown)
            if target is None:
                self.report.refused.append(shown)
                self.report.problems.append(f"The file asks for {shown}.")
        return target or _placeholder(shown)

    def check(self, tree: Any) -> None:
        """Do nothing: placeholders of what was refused are still in the graph."""


def _placeholder(name: str) -> StandIn:
    """Return a stand-in that takes any arguments and gives a placeholder again."""
    return StandIn(
        name,
        reduce=lambda *arguments: _placeholder(name),
        new=lambda: PendingObject(name, lambda state: _placeholder(name)),
        arguments=(0, 1 << 20),
    )


def _read_tree(data: memoryview, report: Report) -> None:
    tree = _ReportingReader(len(data), report).read(data, report.container)
    try:
        if not report.refused:
            check_tree(tree)
    finally:
        _list(tree, report)


def _list(tree: Any, report: Report) -> None:
    """List objects and tensors, each once, however many references lead to it."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        name, node = waiting.pop()
        if id(node) in seen or node is None or isinstance(node, (bool, int, float, str)):
            continue
        seen.add(id(node))
        parts: list[tuple[str, Any]] = []
        if isinstance(node, (torch.Tensor, np.ndarray, np.generic)):
            _add_tensor(name, node, report)
        elif isinstance(node, (PersistentObject, TFNetwork)):
            report.objects.append((name, node.class_name if isinstance(node, PersistentObject) else "Network"))
            parts = list(node.state.items())
        elif isinstance(node, dict):
            parts = list(node.items())
        elif isinstance(node, (list, tuple)):
            # TensorFlow lists its variables as pairs of name and value.
            pairs = [type(part) is tuple and len(part) == 2 and type(part[0]) is str for part in node]
            parts = [part if pair else (str(i), part) for i, (part, pair) in enumerate(zip(node, pairs, strict=True))]
        for key, part in reversed(parts):
            inner = name if key in TRANSPARENT else f"{name}.{printable(key)}".lstrip(".")
            waiting.append((inner[-200:], part))  # names are a hostile file's choice too


def _add_tensor(name: str, value: torch.Tensor | np.ndarray | np.generic, report: Report) -> None:
    dtype = str(value.dtype).removeprefix("torch.")
    report.tensors.append(TensorInfo(name, tuple(value.shape), dtype, value.nbytes))
    # Tensors may share their numbers many times over: no more are tested than the file has.
    report.tensor_bytes += value.nbytes
    if report.tensor_bytes > report.size:
        return
    try:
        finite = torch.isfinite(value).all() if isinstance(value, torch.Tensor) else np.isfinite(value).all()
    except (NotImplementedError, RuntimeError):  # numbers of 4 bits, which torch keeps but cannot test
        report.problems.append(f"Tensor {name} holds {dtype} numbers, which no generator has.")
        return
    if not finite:
        report.problems.append(f"Tensor {name} holds NaN or infinity.")


def _read_safetensors(report: Report) -> None:
    try:
        with safe_open(report.path, framework="pt") as file:
            for name, value in (file.metadata() or {}).items():
                report.metadata[printable(name)] = printable(value)
            for name in file.keys():
                _add_tensor(printable(name), file.get_tensor(name), report)
    except (SafetensorError, OSError) as error:
        raise WeightFileError(f"The file is no valid safetensors file ({printable(error)}): fetch it again.") from error
