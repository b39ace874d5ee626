"""`load_state_dict` with checks: the name, shape, type and values of every tensor are checked before they are used.

A converter says, for each tensor of our network, its name and the order of its axes in the file; the rest is the same
for every format. The network is first built on the meta device (shapes only), so a file that describes a network of
petabytes costs nothing, and no weights are initialised that are about to be replaced.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from i2s.errors import WeightFileError
from i2s.generators.base import Generator
from i2s.generators.file import FLOATS, check_names, empty_network


@dataclass(frozen=True)
class Source:
    """Source of a tensor of our network in a file."""

    name: str  # in the file
    layout: str = ""  # axes there and here, "hwio->oihw"; "1": an axis of size 1 that we lack; "": the same
    then: Callable[[Tensor], Tensor] | None = None  # applied to the values at the end


def load_state(
    network: type[Generator],
    config: object,
    tensors: Mapping[str, object],
    entries: Mapping[str, Source | Tensor],
    unused: Collection[str] = (),
) -> Generator:
    """Build a network and load the tensors of a file into it.

    Args:
        network: Class of the network.
        config: Its configuration.
        tensors: Values of the file by their names there.
        entries: For each name in the network's `state_dict`, its source in the file, or the values themselves.
        unused: Names in the file that the network does not take, but that may be there.

    Returns:
        The network, float32 on the CPU, in evaluation mode, its weights frozen.

    Raises:
        WeightFileError: A tensor is missing, unknown, no tensor, of another type or shape, or not finite.
    """
    generator = empty_network(network, config)
    shapes = {name: list(tensor.shape) for name, tensor in generator.state_dict().items()}
    if entries.keys() != shapes.keys():
        raise AssertionError(f"entries and network differ: {entries.keys() ^ shapes.keys()}")
    check_names(tensors, {source.name for source in entries.values() if isinstance(source, Source)}, unused)
    filled = {}
    for name, source in entries.items():
        filled[name] = source if isinstance(source, Tensor) else _take(tensors[source.name], source, shapes[name])
    generator.load_state_dict(filled, assign=True)
    return generator.eval().requires_grad_(False)


def tensor_of(value: object, name: str) -> Tensor:
    """Return a value as a tensor of floats, in the same memory if possible.

    Raises:
        WeightFileError: It is no dense tensor of float16, bfloat16 or float32 numbers on the CPU.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype not in (np.float32, np.float16):
            raise WeightFileError(f"Tensor {name} holds {value.dtype} numbers, but float32 is expected.")
        # numpy's own strides may be negative or null, which from_numpy refuses or shares
        value = torch.from_numpy(np.array(value, order="C", copy=True))
    if not isinstance(value, Tensor):
        raise WeightFileError(f"Source {name} is {_kind(value)}, but a tensor is expected.")
    if value.dtype not in FLOATS:
        dtype = str(value.dtype).removeprefix("torch.")
        raise WeightFileError(f"Tensor {name} holds {dtype} numbers, but float32 is expected.")
    if value.layout is not torch.strided or value.device.type != "cpu":
        raise WeightFileError(f"Tensor {name} is not a dense tensor on the CPU ({value.layout}, {value.device}).")
    return value.detach()


def floats_of(tensors: Mapping[str, object], name: str, shape: list[int]) -> Tensor:
    """Return a tensor of the file by its name.

    Raises:
        WeightFileError: It is missing, of another type or shape, or not finite.
    """
    check_names({name} & tensors.keys(), {name})
    return _take(tensors[name], Source(name), shape)


def grey_as_rgb(tensors: Mapping[str, object], axes: Mapping[str, int]) -> dict[str, object]:
    """Repeat the one channel of a grey network, so that it draws three equal ones.

    Args:
        tensors: Values of the file by their names there.
        axes: For each tensor that has an axis of colours, by its name: that axis.

    Returns:
        All values, those tensors with 3 channels; what is missing is left to `load_state`.

    Raises:
        WeightFileError: A tensor does not have one channel.
    """
    found = dict(tensors)
    for name, axis in axes.items():
        if name in found:
            tensor = tensor_of(found[name], name)
            if tensor.ndim <= axis or tensor.shape[axis] != 1:
                shape = list(tensor.shape)
                raise WeightFileError(f"Tensor {name} has shape {shape}, but a grey network has 1 channel.")
            found[name] = torch.cat([tensor] * 3, dim=axis)
    return found


def _take(value: object, source: Source, shape: list[int]) -> Tensor:
    """Check a tensor of the file, order its axes as ours, and copy it; the result has `shape`."""
    there, _, here = source.layout.partition("->")
    sizes = dict(zip(here, shape)) | {"1": 1}
    expected = [sizes[axis] for axis in there] if source.layout else shape
    if isinstance(value, np.ndarray) and list(value.shape) != expected:
        raise WeightFileError(_shapes(source.name, value.shape, expected))  # before numpy copies it
    tensor = tensor_of(value, source.name)
    if list(tensor.shape) != expected:
        raise WeightFileError(_shapes(source.name, tensor.shape, expected))
    if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise WeightFileError(f"Tensor {source.name} claims more numbers than the file holds.")
    if not torch.isfinite(tensor).all():
        raise WeightFileError(
            f"Tensor {source.name} holds NaN or infinity: the file is damaged, or its training diverged."
        )
    if source.layout:
        kept = [axis for axis in there if axis != "1"]
        tensor = tensor.squeeze([k for k, axis in enumerate(there) if axis == "1"])
        tensor = tensor.permute([kept.index(axis) for axis in here])
    if source.then is not None:
        tensor = source.then(tensor)
    return torch.empty(shape, dtype=torch.float32, device="cpu").copy_(tensor)


def _shapes(name: str, found: Iterable[int], expected: list[int]) -> str:
    return f"Tensor {name} has shape {list(found)}, but the settings in the file ask for {expected}."


def _kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
