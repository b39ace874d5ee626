"""Checkpoints: one file, from which an embedding that was killed goes on as if it had not been."""

import contextlib
import functools
import hashlib
import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from i2s.embedding.settings import EmbedSettings, as_python
from i2s.errors import LatentError, OutputError, SettingsError, one_line
from i2s.files import digest, local_path, read_safetensors, write_safetensors
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
        failure: Why a checkpoint could not be written, or "".

    Raises:
        SettingsError: `every` is no whole number of at least 1.
        OutputError: The path is a folder, or no file can be written there.
    """

    def __init__(self, path: str | Path | None, every: int, identity: dict[str, str]):
        every = as_python(every)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise SettingsError(f"checkpoint_every is {every!r}, but must be a whole number of at least 1.")
        self.path = None if path is None else local_path(path)
        self.every = every
        self.identity = identity
        self.stage = 0
        self.updates = 0
        self.failure = ""
        self._resumed: dict[str, str] | None = None  # identity of the run that goes on
        self._restored: dict | None = None
        if self.path is not None:
            self._try_place()

    def exists(self) -> bool:
        """True if there is a file to resume from."""
        return self.path is not None and self.path.exists()

    def update(self, *parts: Any) -> None:
        """Count one update, and write the file if it is time.

        Args:
            parts: Stage, optimiser, stopper and history, of which `state_dict` is taken.
        """
        self.updates += 1
        if self.path is None or self.updates % self.every:
            return
        try:
            self.write(dict(zip(("stage", "optimizer", "stopper", "history"), (part.state_dict() for part in parts))))
        except OutputError as error:  # the next one may succeed, and the result is there without any
            if not self.failure:
                self.failure = f"A checkpoint is missing, and the embedding went on without it: {error}"
                with contextlib.suppress(UserWarning):  # python -W error
                    warnings.warn(self.failure, stacklevel=2)

    def write(self, state: dict) -> None:
        """Write nested dicts of tensors and plain data; where it fails, the file from before stays.

        Raises:
            OutputError: The file cannot be written, or would replace another kind of file or another run's.
        """
        self.check_replaceable()
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
            theirs = json.loads(metadata["identity"])
            state = _unflatten(tensors | json.loads(metadata["state"]))
            self.stage = state["number"]
            self.updates = state["updates"]
            self._check(theirs, state)
            self._resumed = theirs
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

    def check_replaceable(self) -> None:
        """Check that writing loses nothing: there is no file, or one of the same run.

        Raises:
            OutputError: It is a file of another kind, or a checkpoint of another run.
        """
        if self.path is None or not self.path.is_file() or not self.path.stat().st_size:
            return
        try:
            with safe_open(str(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
            theirs = json.loads(metadata["identity"]) if metadata.get("format") == FORMAT else None
        except (SafetensorError, LookupError, TypeError, ValueError, OSError):
            theirs = None
        if not isinstance(theirs, dict):
            raise OutputError(f"{self.path} is no checkpoint and would be replaced by one: give another file.")
        if theirs not in (self.identity, self._resumed):
            other = _differences(theirs, self.identity)
            raise OutputError(f"{self.path} is the checkpoint of a run with {other}: give another file, or remove it.")

    def _try_place(self) -> None:
        """Raise the OutputError that a later writing would raise."""
        try:
            if self.path.is_dir():  # fails on a name that is too long
                raise OutputError(f"The checkpoint {self.path} is a folder: give the name of a file.")
            place = self.path.resolve()
            place.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.lstat(place)  # as above; newer Pythons answer False there
            tempfile.TemporaryFile(dir=place.parent).close()
        except OutputError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            reason = one_line(error)
            raise OutputError(
                f"The checkpoint {self.path} cannot be written ({reason}): choose another folder or name."
            ) from error

    def _check(self, theirs: dict[str, str], state: dict) -> None:
        """Raise SettingsError unless `theirs` is this run, or this run with another number of steps."""
        same = all(theirs.get(what) == text for what, text in self.identity.items())
        if same or self._goes_on(theirs, state):
            return
        raise SettingsError(
            f"The checkpoint {self.path} is of a run with {_differences(theirs, self.identity)}: "
            "give those of that run, or start without resume."
        )

    def _goes_on(self, theirs: dict[str, str], state: dict) -> bool:
        """True if the runs differ in steps alone that are still to be made, and that the others do not depend on."""
        if any(theirs.get(what) != text for what, text in self.identity.items() if what != "settings"):
            return False
        old, new = json.loads(theirs["settings"]), json.loads(self.identity["settings"])
        for number, name in enumerate((None, "noise", "tuning")):
            before, now = (settings if name is None else settings[name] for settings in (old, new))
            if not before or not now or before["steps"] == now["steps"]:
                continue
            if None in (before["steps"], now["steps"]) or number < min(state["number"], 2):
                return False
            if name is None and (new["schedule"] != "constant" or new["w_noise"]):
                return False  # the steps that were made would have been others
            if number == state["number"] and now["steps"] < state["stopper"]["step"]:
                return False
            if number == 2 and state["number"] > 2:
                return False  # some photos were tuned already
            before["steps"] = now["steps"]
        return old == new


def _differences(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """Return in what another run differs: "other settings (steps is 300 there, 400 here) and loss"."""
    other = [what for what in ours if theirs.get(what) != ours[what]]
    words = f"other {' and '.join(other)}"
    if "settings" not in other:
        return words
    old, new = (json.loads(identity.get("settings", "{}")) for identity in (theirs, ours))
    return f"{words} ({', '.join(_changes(old, new))})"


def _changes(old: dict, new: dict, of: str = "") -> list[str]:
    """Return "steps is 300 there and 400 here" for each value that differs."""
    changes = []
    for name in dict.fromkeys([*old, *new]):
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            changes += _changes(before, now, f" of {name}")
        elif before != now:
            changes.append(f"{name}{of} is {before!r} there and {now!r} here")
    return changes


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
