"""Tensors that were in a file: read so that they compute as before, and told apart by their numbers."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def read_tensors(file) -> dict[str, Tensor]:
    """All tensors of an open safetensors file, in memory of their own.

    As they lie in the file they may begin at an odd address, and there a processor may sum in another order: what is
    computed from them would not be, bit for bit, what it was before they were saved.
    """
    return {name: file.get_tensor(name).clone() for name in file.keys()}


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of shapes, types and bytes."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(f"{list(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
