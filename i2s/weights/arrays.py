"""Tensors and numpy arrays of a weight file; every claim is checked against the bytes before memory is allocated."""

import math

import numpy as np
import torch

from i2s.errors import printable
from i2s.weights.limits import Budget, damaged, suspicious
from i2s.weights.unpickler import PendingObject, describe

# Storage classes of the module `torch`, as its archives name them.
STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "DoubleStorage": torch.float64,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
}
DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
MAX_AXES = 8


def _sizes(sizes: object, what: str = "shape") -> tuple[int, ...]:
    known = type(sizes) is tuple and len(sizes) <= MAX_AXES
    if not known or not all(type(n) is int and 0 <= n < 1 << 48 for n in sizes):
        raise damaged(f"the {what} of an array is not a short tuple of sizes")
    # torch and numpy multiply without looking, and a 0 among the sizes would hide an overflow.
    if what == "shape" and math.prod(n for n in sizes if n) >= 1 << 48:
        raise damaged(f"an array claims the shape {list(sizes)}")
    return sizes


def _empty(notes: object) -> bool:
    return notes is None or (type(notes) is dict and not notes)


class Storage:
    """Storage that tensors are views of; its bytes may come later (`fill`)."""

    def __init__(self, dtype: torch.dtype, count: object, budget: Budget):
        if type(count) is not int or count < 0:
            raise damaged("a storage without a size")
        budget.spend("arrays")
        budget.spend("array bytes", count * dtype.itemsize)
        self.dtype = dtype
        self.count = count
        self.budget = budget
        self.tensor = torch.empty(count, dtype=dtype, device="cpu")
        self.filled = False

    def fill(self, data: memoryview) -> None:
        """Copy the numbers in (little-endian, as in all archives that this reader takes)."""
        if len(data) != self.count * self.dtype.itemsize or self.filled:
            raise damaged(f"a storage of {self.count} numbers has {len(data)} bytes")
        self.tensor.view(torch.uint8).numpy()[:] = np.frombuffer(data, np.uint8) if len(data) else 0
        self.filled = True


def rebuild_tensor(storage, offset, size, stride, trained=False, hooks=None, metadata=None) -> torch.Tensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`: a view of `storage`, which must hold every element it claims."""
    if type(storage) is not Storage:
        raise damaged(f"a tensor made from {describe(storage)}")
    size, stride = _sizes(size), _sizes(stride, "stride")
    if len(size) != len(stride) or type(offset) is not int or offset < 0:
        raise damaged("a tensor whose shape, stride and offset do not fit together")
    if not (_empty(hooks) and _empty(metadata)):
        raise suspicious("hangs code or notes on a tensor")
    count = math.prod(size)
    end = offset + (1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else 0)
    # Checking `count` too refuses tensors that repeat one number a billion times: a copy would fill the memory.
    if end > storage.count or count > storage.count:
        raise damaged(f"a tensor of shape {list(size)} reaches beyond its storage of {storage.count} numbers")
    storage.budget.spend("arrays")
    return storage.tensor.as_strided(size, stride, offset)


def rebuild_parameter(data, trained=False, hooks=None) -> torch.Tensor:
    """Stand in for `torch._utils._rebuild_parameter`: the tensor."""
    if type(data) is not torch.Tensor or not _empty(hooks):
        raise damaged(f"a parameter made from {describe(data)}")
    return data


class Arrays:
    """Stand-ins for `numpy.dtype`, `_reconstruct`, `scalar` and `_frombuffer`."""

    def __init__(self, budget: Budget, ndarray: object):
        self.budget = budget
        self.ndarray = ndarray  # the stand-in for the class: the only subtype that may be reconstructed

    def dtype(self, code, align=False, copy=True) -> PendingObject:
        """Stand in for `numpy.dtype(code, align, copy)`; its BUILD brings the byte order."""
        if type(code) is not str or code not in DTYPES:
            name = code if type(code) is str else describe(code)
            raise suspicious(f"holds a numpy array of dtype {printable(name)!r}")

        def finish(state) -> np.dtype:
            plain = type(state) is tuple and len(state) == 8
            if not plain or not all(type(part) in (int, str, type(None)) for part in state):
                raise suspicious("holds a structured numpy dtype")
            if state[0] != 3 or state[1] not in ("<", "|") or state[2:] != (None, None, None, -1, -1, 0):
                raise damaged(f"a numpy dtype {code!r} of unknown layout or byte order")
            return np.dtype(code)

        return PendingObject("numpy.dtype", finish)

    def reconstruct(self, subtype, shape, typecode) -> PendingObject:
        """Stand in for `numpy.core.multiarray._reconstruct`; its BUILD brings shape, dtype and bytes."""
        if subtype is not self.ndarray:
            raise suspicious(f"makes a numpy array of the class {describe(subtype)}")
        if _sizes(shape) != (0,):
            raise suspicious(f"reserves a numpy array of shape {list(shape)} in advance")

        def finish(state) -> np.ndarray:
            if type(state) is not tuple or len(state) != 5 or type(state[0]) is not int or state[0] != 1:
                raise damaged("a numpy array of unknown layout")
            _, shape, dtype, fortran, data = state
            return self._array(data, dtype, shape, "F" if fortran is True else "C")

        return PendingObject("numpy.ndarray", finish)

    def frombuffer(self, data, dtype, shape, order) -> np.ndarray:
        """Stand in for `numpy.core.numeric._frombuffer`: how protocol 5 writes an array."""
        return self._array(data, dtype, shape, "F" if type(order) is str and order == "F" else "C")

    def scalar(self, dtype, data) -> np.generic:
        """Stand in for `numpy.core.multiarray.scalar`: one number."""
        return self._array(data, dtype, (), "C")[()]

    def _array(self, data, dtype, shape, order: str) -> np.ndarray:
        if not isinstance(dtype, np.dtype) or type(data) is not memoryview:
            raise damaged(f"a numpy array made from {describe(data)} with {describe(dtype)} as dtype")
        shape = _sizes(shape)
        if math.prod(shape) * dtype.itemsize != len(data):
            raise damaged(f"a numpy array of shape {list(shape)} and dtype {dtype} has {len(data)} bytes")
        self.budget.spend("arrays")
        self.budget.spend("array bytes", len(data))
        if not len(data):
            return np.empty(shape, dtype, order)
        flat = np.frombuffer(data, np.uint8)
        flat = flat != 0 if dtype == np.bool_ else flat.copy().view(dtype)
        return flat.reshape(shape, order=order)
