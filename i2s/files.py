"""Files: where they lie, how they are written so that nothing is lost, and safetensors files with a format.

Every safetensors file of this package says its `format` and `version` in its metadata; `write_safetensors` puts them
there, and `read_safetensors` is the one place that checks them. A file that says no version is of version 1.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_dir

from i2s.errors import I2SError, OutputError, one_line

if TYPE_CHECKING:  # torch takes seconds to import, which folders and plain files do not need
    from torch import Tensor

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # of the web; one letter alone is a drive of Windows
PAUSES = (0.01, 0.1, 0.5, 1.0) if os.name == "nt" else ()  # seconds between tries to replace a file
# Endings that say something else than safetensors
FOREIGN_ENDINGS = (
    *(".npz", ".npy", ".pt", ".pth", ".pkl", ".pickle", ".json", ".zip"),
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".mp4"),
)


def data_dir() -> Path:
    """Folder of the shipped weights: `i2s/data` in a wheel, the project's `data/` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def cache_dir() -> Path:
    """Folder of downloaded files: `$I2S_CACHE`, or the user's cache folder of this system."""
    return local_path(os.environ.get("I2S_CACHE") or user_cache_dir("i2s"))


def offline() -> bool:
    """True if `$I2S_OFFLINE` forbids downloads."""
    return os.environ.get("I2S_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def local_path(
    path: str | Path,
    error: type[I2SError] = OutputError,
    advice: str = "give the path of a file on this computer",
) -> Path:
    """Return the path with `~` as the home folder; of a `file://` address, as browsers copy it, the file's path.

    Args:
        path: The path.
        error: The class that is raised.
        advice: What the user should do with a web address, without the full stop.

    Raises:
        error: It is no path or an empty one, which `Path` would take for this folder; a web address, which it would
            take for a folder; or `~` of a user who is not here.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise error(f"A {type(path).__name__} is no path: give the path of a file as a text or a Path.")
    if not str(path):
        raise error("An empty text is no path: give the path of a file.")
    if isinstance(path, str) and path.lower().startswith("file:///"):
        from urllib.request import url2pathname  # which takes a while to import

        path = url2pathname(path[7:])
    if ADDRESS.match(str(path)):
        raise error(f"{path} is a web address: {advice}.")
    try:
        return Path(path).expanduser()
    except RuntimeError as cause:
        raise error(f"{path} cannot be found ({one_line(cause).rstrip('.')}): give the whole path.") from cause


def check_folder(folder: str | Path) -> Path:
    """Create a folder if need be, and check that files can be written in it; the trial has a name of its own.

    Raises:
        OutputError: They cannot.
    """
    folder = local_path(folder)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise OutputError(f"{folder} is a file, but should be a folder: choose another one.")
    ensure_dir(folder)
    try:
        write_atomically(folder / _temporary_name(), b"").unlink(missing_ok=True)
    except OutputError as error:
        raise OutputError(
            f"{folder} cannot be written to ({one_line(error.__cause__)}): choose another one."
        ) from error
    return folder


def check_replaceable(path: str | Path, format: str | None = None) -> None:
    """Check that a file of this name can be written, and would replace nothing but its like.

    Args:
        path: The file.
        format: Of safetensors, its format, which a file of this name must have; None for other kinds of files.

    Raises:
        OutputError: It is a folder, has a name that no file can have, or holds something else.
    """
    path = local_path(path)
    try:
        size = path.stat().st_size if path.is_file() else 0
        folder = path.is_dir()
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be written ({one_line(error)}): choose another name.") from error
    if folder:
        raise OutputError(f"{path} is a folder: give the name of a file.")
    if format is None:
        return
    if path.suffix.lower() in FOREIGN_ENDINGS:
        raise OutputError(f"{path} would be a safetensors file: give it the ending .safetensors.")
    if size and format_of(path) != format:
        raise OutputError(f"{path} exists and holds something else ({format} is to be written): choose another name.")


def format_of(path: Path) -> str | None:
    """Return the format of a safetensors file of this package, or None for every other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return (file.metadata() or {}).get("format")
    except (SafetensorError, OSError, ValueError):
        return None


def _temporary_name() -> str:
    return f".i2s-{secrets.token_hex(8)}"


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write `data` beside `path`, then put it in its place; folders are made as needed.

    Raises:
        OutputError: Disk full, no permission, a folder of that name; what stood there before is untouched.
    """
    path = local_path(path)
    temporary = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a device cannot be replaced
            path.write_bytes(data)
            return path
        place = path.resolve()  # a link stays a link
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.parent / _temporary_name()
        # With the usual permissions; tempfile has others, and asking for the umask sets it, in all threads
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, place)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        advice = "free some space"
        if isinstance(error, PermissionError):
            advice = "close it in other programs" if PAUSES else "make it writable"
        raise OutputError(
            f"{path} could not be written ({one_line(error)}): {advice} or choose another folder."
        ) from error
    finally:  # also when it is interrupted
        if temporary is not None:
            with suppress(OSError):  # of a folder that is none, for one
                temporary.unlink(missing_ok=True)
    return path


def _replace(temporary: Path, place: Path) -> None:
    """Put a file in its place; Windows refuses while any program, a virus scanner for one, has the old one open."""
    for pause in PAUSES:
        with suppress(PermissionError):
            return os.replace(temporary, place)
        time.sleep(pause)
    os.replace(temporary, place)


def ensure_dir(path: str | Path, what: str = "the folder of results") -> Path:
    """Create an output directory, parents included.

    Raises:
        OutputError: It cannot be created.
    """
    path = local_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be {what} ({one_line(error)}): choose another one.") from error
    return path


def write_safetensors(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    format: str,
    version: int,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write tensors with `format`, `version` and further metadata; complete, or not at all.

    Raises:
        OutputError: The file cannot be written, its ending says another kind of file, or another kind of file stands
            there; what stood there before is untouched.
    """
    from safetensors.torch import save

    check_replaceable(path, format)

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

    path = local_path(path, error)
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
