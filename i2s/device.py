"""Devices: which one to use, how to move a network there, and what old versions of torch lack."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from i2s.errors import DeviceError, one_line

OutOfMemoryError = torch.cuda.OutOfMemoryError  # of every device; torch.OutOfMemoryError is its name from 2.5 on
CHUNK = 1 << 19  # numbers; so many stay in the cache of a processor
is_compiling = getattr(torch.compiler, "is_compiling", lambda: False)  # from 2.3 on


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Return the torch device of that name; if None, CUDA if there is one, else the CPU.

    Raises:
        DeviceError: It is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"The device {str(name)!r} cannot be used here: choose cpu, or leave --device out."
        ) from error
    return device


def move_to(network: nn.Module, device: str | torch.device | None, what: str, *args) -> nn.Module:
    """Move a network to a device.

    Args:
        network: The network, moved in place.
        device: Where to; None is the CPU.
        what: Its name at the beginning of the message ("The generator").
        *args: Further arguments of `Module.to`.

    Raises:
        DeviceError: There is no such device, or no memory on it.
    """
    try:
        return network.to("cpu" if device is None else device, *args)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = one_line(error).rstrip(".")
        raise DeviceError(f"{what} cannot be put on {device} ({reason}): choose another device.") from error


def row_chunks(a: Tensor, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Split two tensors [N, C, H, W] into strips of rows that stay in a processor's cache; elsewhere into one piece."""
    rows = max(1, CHUNK * a.shape[2] // a.numel()) if a.device.type == "cpu" else a.shape[2]
    return zip(a.split(rows, dim=2), b.split(rows, dim=2))
