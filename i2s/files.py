"""Writing files so that nothing is lost: the new file is complete before the old one goes. And reading tensors."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from i2s.errors import OutputError

if TYPE_CHECKING:  # the names and addresses of weights are known without torch
    from torch import Tensor


def read_tensors(file) -> "dict[str, Tensor]":
    """All tensors of an open safetensors file, in memory of their own.

    As they lie in the file they may begin at an odd address, and there a processor may sum in another order: what is
    computed from them would not be, bit for bit, what it was before they were saved.
    """
    return {name: file.get_tensor(name).clone() for name in file.keys()}


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write `data` beside `path`, then put it in its place; folders are made as needed.

    OutputError (disk full, no permission, a folder of that name) leaves what stood there before.
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
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{path} could not be written ({reason}): free some space or choose another folder."
        ) from error
    finally:  # also when it is interrupted
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path


def make_folder(path: str | Path) -> Path:
    """A folder for results, made before the work and not after it. OutputError when it cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{path} cannot be the folder of results ({reason}): choose another one.") from error
    return Path(path)
