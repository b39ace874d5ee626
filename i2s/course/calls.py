"""Calls of a learner's function: on copies, networks left as they were, errors shown in the learner's lines only."""

import inspect
import linecache
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

HIDDEN = (str(Path(__file__).resolve().parents[1]), *{sysconfig.get_path(name) for name in ("stdlib", "purelib")})

# What PyTorch's own words mean here
ADVICE = {
    "backward through the graph a second time": "each backward() needs an image and a loss of its own: make both "
    "inside the loop.",
    "can't optimize a non-leaf": "an optimiser takes tensors that you made, not results: detach().clone() first, "
    "requires_grad_(True) last.",
    "does not require grad": "nothing in the loss leads back to a tensor that asks for gradients: look for no_grad(), "
    "detach() and item().",
    "is being used in an in-place operation": "do not change this tensor in place: make a new one.",
    "must match the size of tensor": "print the shapes: keepdim=True in a mean, or [:, :, None, None], makes them fit.",
}


class CheckFailed(AssertionError):
    """A wrong answer; the message says what was found and names the likely mistake."""

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython shows instead of a traceback."""
        return f"Not yet: {self}".split("\n")


class NoAnswer(CheckFailed):
    """A blank answer; the message says what to write."""

    def __str__(self) -> str:
        return f"no answer yet: {super().__str__()}"

    def _render_traceback_(self) -> list[str]:
        return [f"Stopped here, {self}"]


class Itself:
    """An argument that `call` hands out itself, not as a clone: a code that is to be optimised, say."""

    def __init__(self, value: object) -> None:
        self.value = value


def call(function: Callable, *arguments: object, hint: str = "", **keywords: object) -> object:
    """Call a learner's function on copies of the arguments, and leave every network as it was.

    Tensors and arrays, also those in lists, tuples and dicts, are handed out as clones, through which gradients flow.
    Networks are handed out themselves and restored; so are tensors and networks of the notebook that the function
    names.

    Args:
        function: The learner's.
        arguments: Of the function; in `Itself(...)` if the function may change it.
        hint: Added to the message if the function stops with an error.
        keywords: Of the function.

    Returns:
        What the function returned.

    Raises:
        NoAnswer: The function is still blank.
        CheckFailed: It stopped with an error, or changed what it was handed; the message names both.
    """
    name = name_of(function)
    if function is None or function is ...:
        raise NoAnswer("write the function, and run its cell.")
    if not callable(function):
        raise CheckFailed(f"hand over the function itself, without brackets: this is a {type(function).__name__}.")
    with torch.enable_grad():
        handed = [copied(value) for value in (*arguments, *keywords.values())]
    names = [*parameter_names(function, len(arguments)), *keywords]
    given = zip(names, (*arguments, *keywords.values()), handed)
    watched = {key: value for key, original, value in given if not isinstance(original, Itself)}
    watched |= used_globals(function, handed)
    before = {key: remembered(value) for key, value in watched.items()}
    changes: list[str] = []
    try:
        with torch.enable_grad():
            result = function(*handed[: len(arguments)], **dict(zip(keywords, handed[len(arguments) :])))
    except NotImplementedError as error:
        if str(error):
            raise stopped(name, error, hint) from None
        raise NoAnswer(f"write the body of `{name}`.") from None
    except CheckFailed:  # of a stand-in that watches how it is used
        raise
    except Exception as error:
        raise stopped(name, error, hint) from None
    finally:
        changes += [how for key, value in watched.items() for how in changed(key, value, before[key])]
    if changes:
        raise CheckFailed(f"`{name}` changes what it was handed, {changes[0]}: work on a new tensor.")
    return result


def name_of(function: object) -> str:
    """Return the name of a function, for messages."""
    return getattr(function, "__name__", type(function).__name__)


def parameter_names(function: Callable, count: int) -> list[str]:
    """Return a name for each positional argument."""
    try:
        names = [p.name for p in inspect.signature(function).parameters.values() if p.kind < p.VAR_POSITIONAL]
    except (TypeError, ValueError):  # a function of C
        names = []
    return names[:count] + [f"argument {k + 1}" for k in range(len(names), count)]


def used_globals(function: Callable, handed: Sequence[object]) -> dict[str, object]:
    """Return the tensors and networks of the notebook that the function names, but for those handed to it anyway."""
    function = inspect.unwrap(function)
    names = function.__code__.co_names if inspect.isfunction(function) else ()
    found = {name: function.__globals__[name] for name in names if name in function.__globals__}
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor | nn.Module)}
    return {name: value for name, value in tensors.items() if not any(value is item for item in handed)}


def stopped(name: str, error: Exception, hint: str = "") -> CheckFailed:
    """Describe an exception in the learner's function: its first line, and the learner's own lines."""
    words = f"{error}".strip().split("\n")[0][:300]
    known = next((text for part, text in ADVICE.items() if part in words), "")
    advice = known or ("" if isinstance(error, NameError) else hint)
    lines = [f"`{name}` stopped with {type(error).__name__}: {words}", *own_lines(error), *([advice] if advice else [])]
    return CheckFailed("\n".join(lines))


def own_lines(error: Exception) -> list[str]:
    """Return a line for each frame of a traceback that is the learner's: neither of i2s nor of an installed library."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((*HIDDEN, "<frozen"))]
    return [f"  {cell_name(f.filename)}, line {f.lineno}:  {source_line(f)}" for f in frames[-3:]]


def source_line(frame: traceback.FrameSummary) -> str:
    """Return the code of a frame."""
    return (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()


def cell_name(filename: str) -> str:
    """Return "Cell In[3]" for the code of a notebook's cell, else the file's name."""
    try:
        return " ".join(get_ipython().compile.format_code_name(filename))  # a builtin of IPython
    except (NameError, AttributeError, TypeError):
        return Path(filename).name


# --- copies, and what has changed -------------------------------------------------------------------------------------


def copied(value: object) -> object:
    """Clone tensors and arrays, also those in lists, tuples and dicts; all else stays what it is."""
    if isinstance(value, Itself):
        return value.value
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(copied(item) for item in value)
    return value


def remembered(value: object) -> object:
    """Return what `changed` compares with: for a tensor its values, for a network those of all its tensors."""
    if isinstance(value, Tensor):
        return value.detach().clone(), value.requires_grad
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {key: remembered(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [remembered(item) for item in value]
    if isinstance(value, nn.Module):
        return [NetworkState(name, module) for name, module in value.named_modules()]
    return None


def changed(name: str, value: object, before: object) -> Iterator[str]:
    """Describe what has changed since `remembered`, and restore it where it is a network or a tensor of its own."""
    if isinstance(value, Tensor):
        yield from restored(name, value, *before)
    elif isinstance(value, np.ndarray):
        if not np.array_equal(value, before):
            yield f"`{name}`: its values have changed in place"
    elif isinstance(value, dict):
        if value.keys() != before.keys():
            yield f"`{name}`: its keys are {', '.join(map(repr, value)) or 'gone'} now"
        for key in value.keys() & before.keys():
            yield from changed(f"{name}[{key!r}]", value[key], before[key])
    elif type(value) in (list, tuple):
        if len(value) != len(before):
            yield f"`{name}`: it has {len(value)} entries in place of {len(before)}"
        for k, (item, old) in enumerate(zip(value, before)):
            yield from changed(f"{name}[{k}]", item, old)
    elif isinstance(value, nn.Module):
        for state in before:
            yield from state.restore(name)


def restored(name: str, tensor: Tensor, values: Tensor, requires_grad: bool) -> Iterator[str]:
    """Bring a tensor back to what it was, and describe what had to be done."""
    if tensor.grad_fn is not None and not requires_grad:
        tensor.detach_()
        yield f"`{name}`: it has become the result of a computation with gradients"
    if tensor.requires_grad != requires_grad:
        tensor.requires_grad_(requires_grad)
        tensor.grad = None
        yield f"`{name}`: it asks for gradients now; call requires_grad_(True) on a clone of it"
    if tensor.shape != values.shape:
        tensor.data = values
        yield f"`{name}`: its shape has changed"
    elif not torch.equal(tensor.detach().nan_to_num(), values.nan_to_num()):
        tensor.data.copy_(values)
        yield f"`{name}`: its values have changed in place"


class NetworkState:
    """Tensors, mode and hooks of one module."""

    TABLES = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.training = module.training
        self.tables = {table: dict(getattr(module, table)) for table in self.TABLES}
        owned = [*module._parameters.items(), *module._buffers.items()]
        self.tensors = [(key, tensor, *remembered(tensor)) for key, tensor in owned if tensor is not None]

    def restore(self, network: str) -> Iterator[str]:
        """Bring the module back to what it was, and describe what had to be done."""
        place = f"{network}.{self.name}" if self.name else network
        for table, entries in self.tables.items():
            now = getattr(self.module, table)
            if now.keys() != entries.keys() or any(now[key] is not entries[key] for key in entries):
                now.clear()
                now.update(entries)
                yield f"`{place}`: a {table.strip('_').removesuffix('s').replace('_', ' ')} was added or replaced"
        for key, *rest in self.tensors:
            yield from restored(f"{place}.{key}", *rest)
        if self.module.training != self.training:
            self.module.training = self.training
            yield f"`{place}`: it was switched to {'evaluation' if self.training else 'training'} mode"
