"""Files: where they lie, how they are written so that nothing is lost, and safetensors files with a format.

Every safetensors file of this package says its `format` and `version` in its metadata; `write_safetensors` puts them
there, and `read_safetensors` is the one place that checks them. A file that says no version is of version 1.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_dir

from i2s.errors import I2SError, OutputError, one_line

if TYPE_CHECKING:  # torch takes seconds to import, which folders and plain files do not need
    from torch import Tensor


def data_dir() -> Path:
    """Folder of the shipped weights: `i2s/data` in a wheel, the project's `data/` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def cache_dir() -> Path:
    """Folder of downloaded files: `$I2S_CACHE`, or the user's cache folder of this system."""
    return Path(os.environ.get("I2S_CACHE") or user_cache_dir("i2s"))


def offline() -> bool:
    """True if `$I2S_OFFLINE` forbids downloads."""
    return os.environ.get("I2S_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write `data` beside `path`, then put it in its place; folders are made as needed.

    Raises:
        OutputError: Disk full, no permission, a folder of that name; what stood there before is untouched.
    """
    path = Path(path)
    temporary = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a device cannot be replaced
            path.write_bytes(data)
            return path
        place = path.resolve()  # a link stays a link
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".i2s-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, place)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise OutputError(
            f"{path} could not be written ({one_line(error)}): free some space or choose another folder."
        ) from error
    finally:  # also when it is interrupted
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path


def ensure_dir(path: str | Path, what: str = "the folder of results") -> Path:
    """Create an output directory, parents included.

    Raises:
        OutputError: It cannot be created.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be {what} ({one_line(error)}): choose another one.") from error
    return Path(path)


def write_safetensors(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    format: str,
    version: int,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write tensors with `format`, `version` and further metadata; complete, or not at all.

    Raises:
        OutputError: The file cannot be written; what stood there before is untouched.
    """
    from safetensors.torch import save

    # safetensors takes no two tensors that share memory
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return write_atomically(path, save(copies, {**(metadata or {}), "format": format, "version": str(version)}))


def read_safetensors(
    path: str | Path,
    format: str,
    version: int,
    error: type[I2SError],
    *,
    kind: str,
    advice: str,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file that `write_safetensors` wrote.

    Args:
        path: The file.
        format: The format that it must have.
        version: The newest version that is understood.
        error: The class that is raised.
        kind: What the file should be, with its article ("an embedding"), for messages.
        advice: What the user should do, without the full stop ("embed the photo again").

    Returns:
        All tensors, on the CPU, and the metadata.

    Raises:
        error: The file is missing, broken, of another kind, or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = {"version": "1"} | (file.metadata() or {})
            if metadata.get("format") != format:
                raise error(f"{path} is not {kind}: {advice}.")
            if int(metadata["version"]) > version:
                raise error(f"{path} was written by a newer i2s: update i2s to read it.")
            # Copies: tensors in a mapped file may be unaligned, and vectorised sums then round differently.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, metadata
    except FileNotFoundError:
        raise error(f"There is no file {path}: {advice}.") from None
    except I2SError:
        raise
    except (SafetensorError, LookupError, TypeError, ValueError, OSError) as cause:
        raise error(f"{path} is broken and cannot be read as {kind}: {advice}.") from cause


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of shapes, types and bytes."""
    import torch

    total = hashlib.sha256()
    for tensor in tensors:
        total.update(f"{list(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
