"""The modules of an unpickled torch network: found by path, and compared with what is expected of them."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from i2s.errors import WeightFileError
from i2s.generators.base import shown
from i2s.weights.limits import printable
from i2s.weights.object_graph import PersistentObject

MAX_MODULES = 1000
Tree = dict[str, PersistentObject]
Expected = dict[str, tuple[str, dict[str, object]]]  # module path -> class name, attributes


def modules_of(root: PersistentObject) -> Tree:
    """All modules by path ("" is the root). Only `_modules` is followed, never an attribute."""
    found: Tree = {}
    waiting = [("", root)]
    while waiting:
        path, module = waiting.pop()
        if not isinstance(module, PersistentObject) or not isinstance(module.state, Mapping):
            raise WeightFileError(f"module {printable(path)} is not a module of the official networks")
        found[path] = module
        if len(found) > MAX_MODULES or path.count(".") > 8:
            raise WeightFileError("the modules are nested without end: this is no StyleGAN generator")
        for name, child in _part(module, "_modules", path):
            waiting.append((f"{path}.{name}".lstrip("."), child))
    return found


def _part(module: PersistentObject, part: str, path: str) -> Iterable[tuple[str, object]]:
    values = module.state.get(part)
    if not isinstance(values, Mapping):
        raise WeightFileError(f"module {printable(path)} has no {part}: it is not a module of the official networks")
    if not all(isinstance(name, str) and name.isidentifier() for name in values):  # "a.b" could stand for two things
        raise WeightFileError(f"module {printable(path)} has a part without a proper name: the file is damaged")
    return values.items()


def tensors_of(modules: Tree) -> dict[str, object]:
    """Parameters and buffers by their full names. An absent one may be None (the filters of a last layer)."""
    found = {}
    for path, module in modules.items():
        for part in ("_parameters", "_buffers"):
            for name, value in _part(module, part, path):
                found[f"{path}.{name}".lstrip(".")] = value
    return found


def attribute(modules: Tree, path: str, name: str) -> object:
    """An attribute of the module at `path`; WeightFileError when either is missing."""
    state = modules[path].state if path in modules else {}
    if name not in state:
        raise WeightFileError(f"module {path or 'G_ema'} has no attribute {name}: the file is of an unknown variant")
    return state[name]


def check_modules(modules: Tree, expected: Expected) -> None:
    """Every module is there, no other is, and class and attributes are the expected ones."""
    for path in modules:
        if path not in expected:
            raise WeightFileError(f"module {printable(path)} is unknown: the file is of a variant i2s does not read")
    for path, (class_name, attributes) in expected.items():
        if path not in modules:
            raise WeightFileError(f"module {path} is missing: the file is incomplete")
        if modules[path].class_name != class_name:
            found = printable(modules[path].class_name, 40)
            raise WeightFileError(f"module {path or 'G_ema'} is a '{found}', but a {class_name} is expected")
        for name, value in attributes.items():
            found = attribute(modules, path, name)
            if not same(found, value):
                raise WeightFileError(f"{name} of module {path or 'G_ema'} is {shown(found)}, but {value} is expected")


def number(value: object) -> object:
    """A numpy scalar as Python's number; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def same(found: object, expected: object) -> bool:
    """Whether a value of a file is the expected plain value; numbers may differ by their last digits."""
    found = number(found)
    if isinstance(expected, (list, tuple)):
        if isinstance(found, np.ndarray):
            found = found.tolist() if found.size == len(expected) else None
        return isinstance(found, (list, tuple)) and len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, (bool, str)) or expected is None:
        return type(found) is type(expected) and found == expected
    return type(found) in (int, float) and abs(found) < 2**53 and math.isclose(found, expected, rel_tol=1e-6)
