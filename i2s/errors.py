"""The errors a user can meet.

Each message is one sentence that says what is wrong and what to do. The command prints it and exits with
the class's `exit_code`; a notebook shows it as the last line of the traceback.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


class I2SError(Exception):
    """Base of every error that the user's input, files or machine can cause."""

    exit_code = 1


class SettingsError(I2SError, ValueError):
    """A setting is out of its range or contradicts another one."""

    exit_code = 2


class ImageError(I2SError, ValueError):
    """An image cannot be read, or cannot be embedded."""

    exit_code = 3


class LatentError(I2SError, ValueError):
    """A latent code has the wrong shape or holds NaN or infinity."""

    exit_code = 4


class WeightFileError(I2SError, ValueError):
    """A weight file is broken, hostile, or not of a kind that i2s reads.

    The message is a complete sentence with a subject and a full stop. Whoever has only bytes or tensors names the part
    ("Tensor w_avg is missing: the file is incomplete."); whoever knows the file works within `in_file(path)`.
    """

    exit_code = 5
    path: str | os.PathLike | None = None  # the file, once it is known


class DownloadError(I2SError, OSError):
    """A file could not be fetched, or what came is not what was asked for."""

    exit_code = 6


class OutputError(I2SError, OSError):
    """A result could not be written; what stood there before is untouched."""

    exit_code = 7


class DeviceError(I2SError, RuntimeError):
    """The device is missing or out of memory."""

    exit_code = 8


def one_line(error: BaseException) -> str:
    """The message of a foreign exception, in one line."""
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]


@contextmanager
def in_file(path: str | os.PathLike) -> Iterator[None]:
    """Begin the message of each WeightFileError of this block with its file: "PATH cannot be used: Tensor ...".

    An error that names its file already stays as it is, so blocks can be nested.
    """
    try:
        yield
    except WeightFileError as error:
        if error.path is None:
            error.path = path
            error.args = (f"{path} cannot be used: {error}",)
        raise


def printable(text: object, limit: int = 80) -> str:
    """Escape text from a file for a message: ASCII, no control characters, at most `limit` characters."""
    line = str(text)[: limit + 1].encode("unicode_escape").decode("ascii")
    return line if len(line) <= limit else line[: limit - 3] + "..."
