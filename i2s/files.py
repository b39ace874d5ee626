"""Writing files so that nothing is lost: the new file is complete before the old one goes."""

import os
import tempfile
from pathlib import Path

from i2s.errors import OutputError


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
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{path} could not be written ({reason}): free some space or choose another folder."
        ) from error
    finally:  # also when it is interrupted
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return path
