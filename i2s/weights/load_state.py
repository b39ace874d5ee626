"""From the tensors of a file to a network: every name, shape, type and number is checked before it is used.

A converter says, for each tensor of our network, what it is called in the file and how its axes lie there; the rest is
the same for every format. The network is first built as shapes only (meta device), so a file that describes a network
of petabytes costs nothing, and no random numbers are drawn for weights that are about to be replaced.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from i2s.errors import WeightFileError
from i2s.generators.base import Generator
from i2s.weights.kwargs import settings_of_a_file
from i2s.weights.limits import printable

MAX_NUMBERS = 2**28  # 1 GB in float32; the largest official generator has 33 million
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Entry:
    """Where a tensor of ours is in the file.

    name: there. layout: its axes there and here, one letter each, "hwio->oihw", with "1" for an axis of size 1 that we
    do not have; empty when they are the same. then: what remains to be done to the values.
    """

    name: str
    layout: str = ""
    then: Callable[[Tensor], Tensor] | None = None


def assemble(
    network: type[Generator],
    config: object,
    tensors: Mapping[str, object],
    entries: Mapping[str, Entry | Tensor],
    unused: Collection[str] = (),
) -> Generator:
    """The network of this configuration, float32 on the CPU, filled with the file's `tensors`.

    entries: for each name in the network's state, where its values are in the file, or the values themselves.
    unused: names of tensors that the network does not take, and that may be there all the same.
    WeightFileError names the tensor and what is wrong: missing, extra, no tensor, type, shape, NaN or infinity.
    """
    with torch.device("meta"), settings_of_a_file():
        generator = network(config)
    shapes = {name: list(tensor.shape) for name, tensor in generator.state_dict().items()}
    numbers = sum(math.prod(shape) for shape in shapes.values())
    if numbers > MAX_NUMBERS:
        raise WeightFileError(f"the settings describe a network of {numbers:.1e} numbers, more than any that is known")
    if entries.keys() != shapes.keys():
        raise AssertionError(f"entries and network differ: {entries.keys() ^ shapes.keys()}")
    names = {source.name for source in entries.values() if isinstance(source, Entry)}
    missing = sorted(names - set(tensors))
    if missing:
        raise WeightFileError(f"{_listed(missing, 'missing')}: the file is incomplete, or of an unknown variant")
    extra = sorted(set(tensors) - names - set(unused))
    if extra:
        raise WeightFileError(f"{_listed(extra, 'unknown to this network')}: a variant that i2s does not read")
    filled = {}
    for name, source in entries.items():
        filled[name] = source if isinstance(source, Tensor) else _take(tensors[source.name], source, shapes[name])
    generator.load_state_dict(filled, assign=True)
    return generator.eval().requires_grad_(False)


def tensor_of(value: object, name: str) -> Tensor:
    """The value as a tensor of floats with finite numbers; WeightFileError otherwise. Shares memory with the value."""
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype not in (np.float32, np.float16):
            raise WeightFileError(f"tensor {name} holds {value.dtype} numbers, but float32 is expected")
        # numpy's own strides may be negative or null, which from_numpy refuses or shares
        value = torch.from_numpy(np.array(value, order="C", copy=True))
    if not isinstance(value, Tensor):
        raise WeightFileError(f"{name} is {_kind(value)}, but a tensor is expected")
    if value.dtype not in FLOATS:
        dtype = str(value.dtype).removeprefix("torch.")
        raise WeightFileError(f"tensor {name} holds {dtype} numbers, but float32 is expected")
    if value.layout is not torch.strided or value.device.type != "cpu":
        raise WeightFileError(f"tensor {name} is not an ordinary tensor in memory ({value.layout}, {value.device})")
    return value.detach()


def _take(value: object, entry: Entry, shape: list[int]) -> Tensor:
    """The tensor `value` of the file as ours of `shape`: checked, its axes in our order, in memory of its own."""
    there, _, here = entry.layout.partition("->")
    sizes = dict(zip(here, shape)) | {"1": 1}
    expected = [sizes[axis] for axis in there] if entry.layout else shape
    if isinstance(value, np.ndarray) and list(value.shape) != expected:
        raise WeightFileError(_shapes(entry.name, value.shape, expected))  # before numpy copies it
    tensor = tensor_of(value, entry.name)
    if list(tensor.shape) != expected:
        raise WeightFileError(_shapes(entry.name, tensor.shape, expected))
    if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise WeightFileError(f"tensor {entry.name} claims more numbers than the file holds")
    if not torch.isfinite(tensor).all():
        raise WeightFileError(f"tensor {entry.name} holds NaN or infinity: the file is damaged, or its training failed")
    if entry.layout:
        kept = [axis for axis in there if axis != "1"]
        tensor = tensor.squeeze([k for k, axis in enumerate(there) if axis == "1"])
        tensor = tensor.permute([kept.index(axis) for axis in here])
    if entry.then is not None:
        tensor = entry.then(tensor)
    return torch.empty(shape, dtype=torch.float32, device="cpu").copy_(tensor)


def _shapes(name: str, found: Iterable[int], expected: list[int]) -> str:
    return f"tensor {name} has shape {list(found)}, but the settings in the file ask for {expected}"


def _listed(names: list[str], what: str) -> str:
    shown = ", ".join(printable(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"tensor {shown} is {what}" if len(names) == 1 else f"tensors {shown} are {what}"


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
