"""Latent codes of other tools, read as safely as weights (nothing in a file is executed), and written for them.

    .npz            projected_w.npz of the StyleGAN repositories (key `w`), compressed or not
    .npy            one array
    .pt, .pkl       a tensor or an array, alone (PTI) or in a dictionary (rosinality's projector)
    .safetensors    a code of i2s, or one tensor

The content says what a file is, not its name. NumPy's own reader is not used: it would parse the header of an array as
Python, and allocate whatever the header claims.
"""

import io
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import PROTO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from i2s.errors import LatentError, OutputError, WeightFileError, in_file, printable
from i2s.files import local_path, write_atomically
from i2s.weights.file_type import NPY, open_bytes, sniff
from i2s.weights.limits import UINT16, UINT32, Cursor, damaged
from i2s.weights.reader import Reader
from i2s.weights.torch_archive import read_members

# In the order in which they are looked for.
NAMES = ("w_plus", "w", "ws", "wp", "latent", "latents", "latent_code", "dlatent", "dlatents", "arr_0")
MAX_NUMBERS = 2**24  # 1800 codes of 18 x 512
MAX_UNPACKED = 1 << 26  # bytes of the arrays of a compressed file
FLOATS = {"f2": np.float16, "f4": np.float32, "f8": np.float64}
HEADER = re.compile(
    r"\{'descr': '(?P<order>[<>|=])(?P<dtype>[a-zA-Z]\d*)', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>[0-9, ]*)\),? *\} *\n?"
)


def read_latents(path: str | Path) -> Tensor:
    """Read the latent code, or codes, in a file of another tool.

    Args:
        path: A file of one of the kinds above.

    Returns:
        float32, in the shape of the file: [w_dim], [N or num_ws, w_dim] or [N, num_ws, w_dim] (of more than three
        axes, leading ones of size 1 are dropped). Whether it fits a generator is for the caller to check.

    Raises:
        WeightFileError: The file is missing, damaged or hostile, or holds no code, or several that could be meant.
    """
    path = local_path(path, WeightFileError, "download the file and give its path")
    with in_file(path):
        data = open_bytes(path)
        start = bytes(data[:1024])
        if start.startswith(NPY):
            return _code(_array(data), "the array")
        kind = sniff(start)
        if kind == "safetensors":
            return _chosen(_safetensors(path))
        if kind == "torch-zip" and (arrays := _npz(data)) is not None:
            return _chosen(arrays)
        if kind == "pickle" and start[:1] != PROTO:
            raise WeightFileError(
                "It is no file of a latent code: give a .npz, .npy or .pt, or a file that `i2s embed` wrote."
            )
        tree = Reader(len(data)).read(data, kind)
        return _chosen(tree) if isinstance(tree, dict) else _code(tree, "the file")


WRITERS: dict[str, Callable[[io.BytesIO, Tensor], None]] = {  # by the ending of the file
    ".npz": lambda file, w: np.savez(file, w=w.numpy()),
    ".npy": lambda file, w: np.save(file, w.numpy()),
    ".pt": lambda file, w: torch.save(w, file),
}


def write_latents(w_plus: Tensor, path: str | Path) -> Path:
    """Write codes for other tools: as the StyleGAN repositories do (.npz, key `w`), as an array (.npy), or a tensor.

    Args:
        w_plus: [N, num_ws, w_dim], or another shape that the tool asks for.
        path: The file; its ending, .npz, .npy or .pt, says its kind. It is complete before it replaces an older one.

    Returns:
        The file's path; `read_latents` reads it.

    Raises:
        OutputError: Its ending is another one, or it cannot be written.
        LatentError: This is no tensor of finite numbers.
    """
    path = local_path(path)
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise OutputError(f"{path} has none of the endings {', '.join(WRITERS)}: choose one of them.")
    if not isinstance(w_plus, Tensor) or not w_plus.is_floating_point() or not w_plus.isfinite().all():
        raise LatentError("The code is no tensor of finite floating-point numbers: give result.w_plus.")
    file = io.BytesIO()
    write(file, w_plus.detach().to("cpu", torch.float32, copy=True).contiguous())
    return write_atomically(path, file.getvalue())


def _chosen(found: Mapping[object, object]) -> Tensor:
    """Return the value that is the code: of a known name, the only one, or that of the only entry."""
    for name in NAMES:
        if name in found:
            return _code(found[name], name)
    if len(found) == 1:
        (name, value), *_ = found.items()
        if isinstance(value, dict) and any(inner in value for inner in NAMES):  # of the only photo
            return _chosen(value)
        if name != "z":
            return _code(value, printable(name, 40))
    names = ", ".join(printable(name, 40) for name in list(found)[:5]) or "nothing"
    raise WeightFileError(f"It holds {names}, but no code of a known name: save w or W+ under the name w.")


def _code(value: object, name: str) -> Tensor:
    """Check that a value is a code, and copy it."""
    if not isinstance(value, (Tensor, np.ndarray)):
        raise WeightFileError(f"A {type(value).__name__} stands where a code belongs ({name}): save it as an array.")
    if isinstance(value, np.ndarray):
        floats = value.dtype.kind == "f"
        value = torch.from_numpy(np.array(value, order="C")) if floats else value
    else:
        floats = value.is_floating_point()
    if not floats:
        dtype = str(value.dtype).removeprefix("torch.")
        raise WeightFileError(f"A code has floating-point numbers, but {name} has {dtype}: choose another file.")
    shape = list(value.shape)
    if not value.numel() or not shape or shape[-1] == 1:
        raise _wrong_shape(name, shape)
    while value.ndim > 3 and value.shape[0] == 1:
        value = value[0]
    if value.ndim > 3 or value.numel() > MAX_NUMBERS:
        raise _wrong_shape(name, shape)
    code = value.detach().to(torch.float32, copy=True).contiguous()
    if not torch.isfinite(code).all():
        raise WeightFileError(f"The code ({name}) holds NaN or infinity: the file is damaged, or the search diverged.")
    return code


def _wrong_shape(name: str, shape: list[int]) -> WeightFileError:
    return WeightFileError(f"A code is [w_dim] or [num_ws, w_dim], but {name} has shape {shape}: choose another file.")


# ---- containers


def _npz(data: memoryview) -> dict[str, np.ndarray] | None:
    """Read the arrays of a zip of NumPy; None if it is an archive of torch.save."""
    members = read_members(data, MAX_UNPACKED)
    arrays = {name.removesuffix(".npy"): read for name, read in members.items() if name.endswith(".npy")}
    if not arrays or len(arrays) < len(members):
        return None
    wanted = next((name for name in NAMES if name in arrays), None)
    chosen = arrays if wanted is None else {wanted: arrays[wanted]}
    if len(chosen) > 1:
        return dict.fromkeys(chosen)  # for the names in the message
    return {name: _array(memoryview(read())) for name, read in chosen.items()}


def _array(data: memoryview) -> np.ndarray:
    """Read a .npy: a header that describes the array, and its bytes."""
    cursor = Cursor(data)
    if bytes(cursor.take(len(NPY))) != NPY:
        raise damaged("a member is no NumPy array")
    major, minor = cursor.byte(), cursor.byte()
    if (major, minor) not in ((1, 0), (2, 0), (3, 0)):
        raise damaged(f"NumPy's format {major}.{minor} is unknown")
    length = cursor.unpack(UINT16 if major == 1 else UINT32)
    if length > 1000:
        raise damaged(f"its header has {length} bytes")
    header = HEADER.fullmatch(bytes(cursor.take(length)).decode("latin-1"))
    if header is None:
        raise damaged("its header does not describe an array of numbers")
    if header["dtype"] == "O":
        raise WeightFileError(
            "The array holds Python objects (a pickle), which i2s does not read: save the numbers alone, with "
            "np.save(path, w)."
        )
    if header["dtype"] not in FLOATS or header["order"] not in "<>":
        raise WeightFileError(f"A code has floating-point numbers, but the array has '{header['dtype']}'.")
    sizes = [part.strip() for part in header["shape"].split(",") if part.strip()]
    if len(sizes) > 8 or not all(part.isdigit() and len(part) < 10 for part in sizes):
        raise damaged("its shape is not a short tuple of sizes")
    shape = tuple(map(int, sizes))
    dtype = np.dtype(FLOATS[header["dtype"]])
    if math.prod(shape) * dtype.itemsize != cursor.remaining:
        raise damaged(f"an array of shape {list(shape)} has {cursor.remaining} bytes")
    flat = np.frombuffer(cursor.take(cursor.remaining), dtype.newbyteorder(header["order"])).astype(dtype)
    return flat.reshape(shape, order="F" if header["fortran"] == "True" else "C")


def _safetensors(path: str | Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            wanted = next((name for name in NAMES if name in names), None)
            chosen = names[:1] if len(names) == 1 else [] if wanted is None else [wanted]
            return {name: file.get_tensor(name) for name in chosen} or dict.fromkeys(names)
    except (SafetensorError, OSError) as error:
        raise WeightFileError(f"It is a damaged safetensors file ({printable(error)}): save it again.") from error
