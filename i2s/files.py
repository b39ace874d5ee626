"""Writing files so that nothing is lost: the new file is complete before the old one goes."""

import os
import tempfile
from pathlib import Path

from i2s.errors import OutputError, reason_of


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
        raise OutputError(
            f"{path} could not be written ({reason_of(error)}): free some space or choose another folder."
        ) from error
    finally:  # also when it is interrupted
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path


def make_folder(path: str | Path, what: str = "the folder of results") -> Path:
    """A folder for what is written, made before the work and not after it. OutputError when it cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be {what} ({reason_of(error)}): choose another one.") from error
    return Path(path)
