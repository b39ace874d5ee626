"""Checkpoints: one file, from which an embedding that was killed goes on as if it had not been."""

import functools
import hashlib
import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor

from i2s.embedding.settings import EmbedSettings
from i2s.errors import LatentError, OutputError, SettingsError
from i2s.files import digest, read_safetensors, write_safetensors
from i2s.generators.base import Generator
from i2s.losses import WeightedSum

FORMAT, VERSION = "i2s-checkpoint", 2
SEPARATOR = "/"  # between the names of nested dicts; no parameter has it in its name


class Checkpoint:
    """Writes the state of an embedding to a file every few updates; does nothing without a path.

    Args:
        path: The file, or None.
        every: Updates from one writing to the next.
        identity: {what: text} that the result depends on (`identity_of`); a file of another one is refused.

    Attributes:
        stage: Number of the stage that is being optimised.

    Raises:
        SettingsError: `every` is no whole number of at least 1.
        OutputError: The path is a folder.
    """

    def __init__(self, path: str | Path | None, every: int, identity: dict[str, str]):
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise SettingsError(f"checkpoint_every is {every!r}, but must be a whole number of at least 1.")
        self.path = None if path is None else Path(path)
        self.every = every
        self.identity = identity
        if self.path is not None and self.path.is_dir():
            raise OutputError(f"The checkpoint {self.path} is a folder: give the name of a file.")
        self.stage = 0
        self.updates = 0
        self._restored: dict | None = None

    def exists(self) -> bool:
        """True if there is a file to resume from."""
        return self.path is not None and self.path.exists()

    def update(self, *parts: Any) -> None:
        """Count one update, and write the file if it is time.

        Args:
            parts: Stage, optimiser, stopper and history, of which `state_dict` is taken.
        """
        self.updates += 1
        if self.path is not None and self.updates % self.every == 0:
            self.write(dict(zip(("stage", "optimizer", "stopper", "history"), (part.state_dict() for part in parts))))

    def write(self, state: dict) -> None:
        """Write nested dicts of tensors and plain data; where it fails, the file from before stays."""
        tensors, plain = _flatten(state | {"number": self.stage, "updates": self.updates})
        metadata = {"identity": json.dumps(self.identity), "state": json.dumps(plain)}
        write_safetensors(self.path, tensors, FORMAT, VERSION, metadata)

    def read(self) -> dict:
        """Read what `write` wrote; `take` then returns it to the stage that goes on.

        Raises:
            LatentError: The file is missing, broken or no checkpoint.
            SettingsError: It is of an embedding with another identity.
        """
        tensors, metadata = read_safetensors(
            self.path,
            FORMAT,
            VERSION,
            LatentError,
            kind="a checkpoint of embed(checkpoint=...)",
            advice="name another one, or start without resume",
        )
        if metadata["version"] != str(VERSION):
            raise LatentError(f"{self.path} is a checkpoint of an older i2s: start without resume.")
        try:
            self._check(json.loads(metadata["identity"]))
            state = _unflatten(tensors | json.loads(metadata["state"]))
            self.stage = state["number"]
            self.updates = state["updates"]
        except SettingsError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            raise LatentError(f"The checkpoint {self.path} is broken: start without resume.") from error
        self._restored = state
        return state

    def take(self) -> dict | None:
        """Return the state that was read, once, then None."""
        state, self._restored = self._restored, None
        return state

    def _check(self, theirs: dict[str, str]) -> None:
        other = [what for what in self.identity if theirs.get(what) != self.identity[what]]
        if other:
            raise SettingsError(
                f"The checkpoint {self.path} is of a run with other {' and '.join(other)}: "
                "give those of that run, or start without resume."
            )


def _flatten(state: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split nested dicts into tensors and plain data, named by their paths."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for name, value in state.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            inner_tensors, inner_plain = _flatten(value, path + SEPARATOR)
            tensors |= inner_tensors
            plain |= inner_plain
        elif isinstance(value, Tensor):
            tensors[path] = value
        else:
            plain[path] = value
    return tensors, plain


def _unflatten(flat: Mapping[str, Any]) -> dict:
    """Put values back into nested dicts; those that were empty are missing."""
    state: dict = {}
    for path, value in flat.items():
        *parents, name = path.split(SEPARATOR)
        place = state
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return state


# ---- identity --------------------------------------------------------------------------------------------------------


def identity_of(
    photos: Tensor,
    generator: Generator,
    settings: EmbedSettings,
    loss: WeightedSum,
    degradation: Any,
    extra: Iterable[Tensor | None],
) -> dict[str, str]:
    """Return what the result of an embedding depends on, each as a short text, the same in another process.

    Args:
        photos: [N, 3, R, R].
        generator: The generator.
        settings: The settings.
        loss: The loss.
        degradation: A function of images, or None.
        extra: Initial code and mask, or None.
    """
    return {
        "photos": digest([photos]),
        "generator": digest(generator.state_dict().values()),
        "settings": json.dumps(asdict(settings), sort_keys=True),
        "loss": fingerprint(loss),
        "task": fingerprint(degradation),
        "initial code or mask": digest(tensor for tensor in extra if tensor is not None),
    }


def fingerprint(part: Any) -> str:
    """Return the SHA-256 of a loss, a network or a degradation: of its class, its code and all that it holds.

    Two functions of one name differ. What cannot be looked into is told apart by its address, so that a checkpoint with
    it is refused in another process.
    """
    return _fingerprint(part, {})


def _fingerprint(part: Any, known: dict[int, tuple[str, Any]]) -> str:
    """Return the fingerprint; `known` holds those of the objects that were seen, which it keeps alive."""
    if part is None or isinstance(part, bool | int | float | complex | str | bytes | torch.dtype | torch.device):
        return repr(part)
    if isinstance(part, Tensor):
        return digest([part])
    if id(part) not in known:
        known[id(part)] = "an object around this one", part
        lines = [f"{type(part).__module__}.{type(part).__qualname__}"]
        lines += [value if isinstance(value, str) else _fingerprint(value, known) for value in _contents(part)]
        known[id(part)] = hashlib.sha256("\n".join(lines).encode()).hexdigest(), part
    return known[id(part)][0]


def _contents(part: Any) -> list:
    """Return what tells an object from others of its class."""
    if isinstance(part, Mapping):
        return [one for pair in part.items() for one in pair]
    if isinstance(part, list | tuple):
        return list(part)
    if isinstance(part, set | frozenset):
        return sorted(map(fingerprint, part))
    if isinstance(part, CodeType):
        return [part.co_code.hex(), part.co_names, part.co_varnames, part.co_consts]
    if isinstance(part, FunctionType):
        return _contents_of_function(part)
    if isinstance(part, MethodType):
        return [part.__self__, part.__func__]
    if isinstance(part, functools.partial):
        return [part.func, part.args, part.keywords]
    if isinstance(part, type | ModuleType) or not hasattr(part, "__dict__"):
        return [_pickled(part)]
    return _contents_of_object(part)


def _contents_of_function(function: FunctionType) -> list:
    """Return its name, and of a user's own its code and the values that it reads from outside."""
    name = f"{function.__module__}.{function.__qualname__}"
    if _is_library(function.__module__):
        return [name]
    code = function.__code__
    outside = [function.__globals__.get(word) for word in code.co_names]
    outside = [value for value in outside if not isinstance(value, type | ModuleType)]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [name, code, function.__defaults__, function.__kwdefaults__, cells, outside]


def _contents_of_object(part: Any) -> list:
    """Return its attributes, and the methods of its class if it is of the user's own."""
    attributes = dict(vars(part))
    if isinstance(part, torch.nn.Module):
        attributes = {name: value for name, value in attributes.items() if not name.startswith("_")}
        attributes |= part._parameters | part._buffers | part._modules
    methods = {}
    if not _is_library(type(part).__module__):
        functions = {name: value for name, value in vars(type(part)).items() if isinstance(value, FunctionType)}
        methods = {name: functions[name].__code__ for name in sorted(functions)}
    return [dict(sorted(attributes.items())), methods]


def _is_library(module: str | None) -> bool:
    """True for code that is the same for every user of a version."""
    return (module or "").partition(".")[0] in ("i2s", "torch", "torchvision", "lpips")


def _pickled(part: Any) -> str:
    """Return the pickle of an object, or else its address."""
    try:
        return hashlib.sha256(pickle.dumps(part, protocol=4)).hexdigest()
    except Exception:  # whatever a foreign class raises
        return repr(part)


def described(part: Any) -> str:
    """Describe a loss or degradation in words: its class and settings."""
    if isinstance(part, Tensor):
        return digest([part])[:16]
    if hasattr(part, "describe"):
        return part.describe()
    if isinstance(part, WeightedSum):
        return described(part.terms)
    if isinstance(part, list | tuple):
        return f"({', '.join(map(described, part))})"
    if part is None or isinstance(part, bool | int | float | str | dict):
        return repr(part)
    if hasattr(part, "__qualname__"):  # a function
        return part.__qualname__
    if isinstance(part, torch.nn.Module) or not hasattr(part, "__dict__"):
        return type(part).__name__
    return f"{type(part).__name__}({', '.join(f'{name}={described(value)}' for name, value in vars(part).items())})"
