"""Devices: which one to use, how to move a network there, and what old versions of torch lack."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.errors import DeviceError, one_line

OutOfMemoryError = torch.cuda.OutOfMemoryError  # of every device; torch.OutOfMemoryError is its name from 2.5 on
CHUNK = 1 << 19  # numbers; so many stay in the cache of a processor
LIMITED = {"mps"}  # kinds of device without float64, and without some of `torch.linalg`
is_compiling = getattr(torch.compiler, "is_compiling", lambda: False)  # from 2.3 on


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Return the torch device of that name; if None or "auto", CUDA if there is one, else MPS, else the CPU.

    MPS, Apple's GPU, is chosen if a convolution comes out there as it does on the CPU.

    Raises:
        DeviceError: It is not there.
    """
    if name is None or name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() and convolves("mps") else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"The device {str(name)!r} cannot be used here: choose cpu, or leave --device out."
        ) from error
    return device


def convolves(device: str | torch.device) -> bool:
    """True if the device makes the convolutions of a generator, and their gradients, as the CPU does."""
    x = torch.linspace(-1, 1, 2 * 8 * 4 * 4, device="cpu").view(2, 8, 4, 4)
    weight = torch.linspace(-1, 1, 8 * 8 * 3 * 3, device="cpu").view(8, 8, 3, 3)

    def tried(place: str | torch.device) -> list[Tensor]:
        code = x.to(place, memory_format=torch.channels_last).requires_grad_()
        kernel = weight.to(place, memory_format=torch.channels_last)
        y = F.conv2d(F.leaky_relu(F.conv_transpose2d(code, kernel, stride=2)), kernel, padding=1)
        return [y.detach().cpu(), *(g.cpu() for g in torch.autograd.grad(y.square().sum(), code))]

    try:
        with torch.enable_grad():
            return all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(tried(device), tried("cpu")))
    except RuntimeError:
        return False


def in_float64(x: Tensor) -> Tensor:
    """Convert to float64, on the CPU if the tensor's device has none."""
    return (x.cpu() if x.device.type in LIMITED else x).double()


def solve_triangular(matrix: Tensor, b: Tensor, upper: bool) -> Tensor:
    """Solve as `torch.linalg.solve_triangular`, on the CPU where a device may not be able to."""
    if matrix.device.type in LIMITED:
        return torch.linalg.solve_triangular(matrix.cpu(), b.cpu(), upper=upper).to(b.device)
    return torch.linalg.solve_triangular(matrix, b, upper=upper)


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
