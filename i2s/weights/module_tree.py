"""Modules of an unpickled torch network by path, compared with the expected ones."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from i2s.errors import WeightFileError, printable
from i2s.generators.base import shown
from i2s.weights.object_graph import PersistentObject

MAX_MODULES = 1000
Tree = dict[str, PersistentObject]
Expected = dict[str, tuple[str, dict[str, object]]]  # module path -> class name, attributes


def modules_of(root: PersistentObject) -> Tree:
    """Return all modules by path ("" is the root); only `_modules` is followed, never an attribute."""
    found: Tree = {}
    waiting = [("", root)]
    while waiting:
        path, module = waiting.pop()
        if not isinstance(module, PersistentObject) or not isinstance(module.state, Mapping):
            raise WeightFileError(f"Module {printable(path)} is not a module of the official networks.")
        found[path] = module
        if len(found) > MAX_MODULES or path.count(".") > 8:
            raise WeightFileError("The modules are nested without end: the file holds no StyleGAN generator.")
        for name, child in _part(module, "_modules", path):
            waiting.append((f"{path}.{name}".lstrip("."), child))
    return found


def _part(module: PersistentObject, part: str, path: str) -> Iterable[tuple[str, object]]:
    values = module.state.get(part)
    if not isinstance(values, Mapping):
        raise WeightFileError(f"Module {printable(path)} has no {part}: it is not a module of the official networks.")
    if not all(isinstance(name, str) and name.isidentifier() for name in values):  # "a.b" could stand for two things
        raise WeightFileError(f"Module {printable(path)} has a part without a proper name: the file is damaged.")
    return values.items()


def tensors_of(modules: Tree) -> dict[str, object]:
    """Return parameters and buffers by their full names; the filters of a last layer may be None."""
    found = {}
    for path, module in modules.items():
        for part in ("_parameters", "_buffers"):
            for name, value in _part(module, part, path):
                found[f"{path}.{name}".lstrip(".")] = value
    return found


def attribute(modules: Tree, path: str, name: str) -> object:
    """Return an attribute of the module at `path`; WeightFileError if either is missing."""
    state = modules[path].state if path in modules else {}
    if name not in state:
        raise WeightFileError(f"Module {path or 'G_ema'} has no attribute {name}: i2s does not read this variant.")
    return state[name]


def check_modules(modules: Tree, expected: Expected) -> None:
    """Check that exactly the expected modules are there, with the expected classes and attributes."""
    for path in modules:
        if path not in expected:
            raise WeightFileError(f"Module {printable(path)} is unknown: i2s does not read this variant.")
    for path, (class_name, attributes) in expected.items():
        if path not in modules:
            raise WeightFileError(f"Module {path} is missing: the file is incomplete.")
        if modules[path].class_name != class_name:
            found = printable(modules[path].class_name, 40)
            raise WeightFileError(f"Module {path or 'G_ema'} is a '{found}', but a {class_name} is expected.")
        for name, value in attributes.items():
            found = attribute(modules, path, name)
            if not same(found, value):
                raise WeightFileError(
                    f"Attribute {name} of module {path or 'G_ema'} is {shown(found)}, but {value} is expected."
                )


def number(value: object) -> object:
    """Convert a numpy scalar to a Python number; return anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def same(found: object, expected: object) -> bool:
    """True if a value of a file is the expected plain value; numbers may differ in their last digits."""
    found = number(found)
    if isinstance(expected, (list, tuple)):
        if isinstance(found, np.ndarray):
            found = found.tolist() if found.size == len(expected) else None
        return isinstance(found, (list, tuple)) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, (bool, str)) or expected is None:
        return type(found) is type(expected) and found == expected
    return type(found) in (int, float) and abs(found) < 2**53 and math.isclose(found, expected, rel_tol=1e-6)
