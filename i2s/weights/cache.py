"""One file of the cache: where it lies, whether it is the right one, and who may bring it.

The cache (`$I2S_CACHE`, else the user's cache folder) holds the files themselves and beside them

    records/    for each file its SHA-256 and where it came from: what is written there on first use, later copies
                are held to
    licences/   the licence notices that have been shown
    .partial/   downloads under way and their locks; what an ended process left there is swept by the next one
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path, PureWindowsPath

from i2s.errors import DownloadError, OutputError, SettingsError, one_line
from i2s.files import write_atomically
from i2s.weights.transfer import page_in_place_of_file


@dataclass(frozen=True)
class Record:
    """What the cache knows of a file. The checksum is not computed anew while size and time of the file stay."""

    sha256: str
    source: str
    fetched: str
    size: int
    mtime_ns: int

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """The record in a file; None when there is none, or it is broken."""
        try:
            values = json.loads(path.read_text("utf-8"))
            record = cls(**{field.name: values[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if re.fullmatch("[0-9a-f]{64}", str(record.sha256)) else None

    def describes(self, path: Path) -> bool:
        """Whether the file has not been touched since the checksum was computed."""
        status = path.stat()
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class CachedFile:
    """The file `filename` ("photos/001_03.jpg") of the folder `cache`; `sha256` when the right one's is known.

    say: called with what the user should know. SettingsError: a name that leads out of the cache.
    """

    cache: Path
    filename: str
    sha256: str | None
    say: Callable[[str], None]

    def __post_init__(self):
        path = PureWindowsPath(self.filename)  # knows both kinds of slash
        if not path.parts or path.anchor or ".." in path.parts:
            raise SettingsError(
                f"{self.filename!r} is no name for a file in the cache: give a relative one, without '..'."
            )

    @property
    def path(self) -> Path:
        return self.cache / self.filename

    @property
    def record_path(self) -> Path:
        return self.cache / "records" / f"{self.filename}.json"

    @property
    def partial(self) -> Path:
        """The folder of this file's downloads under way."""
        return self.cache / ".partial" / self.filename.replace("/", "--")

    @property
    def wanted(self) -> str | None:
        """The checksum the file must have: the known one, else the one recorded on first use."""
        record = Record.read(self.record_path)
        return self.sha256 or (record.sha256 if record else None)

    def is_here(self) -> bool:
        """Whether the cache holds the right file. One that was put there by hand is checked and recorded, too."""
        try:
            if not self.path.is_file() or not self.path.stat().st_size:
                return False
            record = Record.read(self.record_path)
            if record and record.describes(self.path) and record.sha256 == self.wanted:
                return True
            with self.path.open("rb") as file:
                if page_in_place_of_file(file.read(1 << 16)):
                    return False
            return self.accept(self.path, "put there by hand")
        except OSError as error:
            raise DownloadError(f"{self.path} cannot be read ({one_line(error)}): correct its permissions.") from error

    def accept(self, path: Path, source: str) -> bool:
        """Whether the file at `path` has the checksum it must have; that, or the first one ever seen, is recorded."""
        import pooch

        found, wanted = pooch.file_hash(str(path), alg="sha256"), self.wanted
        if wanted not in (None, found):
            return False
        if wanted is None:
            self.say(f"No checksum is known for {self.filename}; recorded for the next time: SHA-256 {found}.")
        status = path.stat()
        record = Record(found, source, date.today().isoformat(), status.st_size, status.st_mtime_ns)
        with suppress(OutputError):  # in a cache that is read only the checksum is computed each time
            write_atomically(self.record_path, json.dumps(asdict(record), indent=2).encode() + b"\n")
        return True

    def place(self, path: Path) -> None:
        """Move the file at `path` to its place, in one step."""
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(path, 0o666 & ~umask)  # a temporary file is private, a cache may be shared
        os.replace(path, self.path)

    def make_folders(self) -> None:
        """OSError when nothing can be written there."""
        for folder in (self.path.parent, self.partial):
            folder.mkdir(parents=True, exist_ok=True)
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    @contextmanager
    def alone(self, wait: float) -> Iterator[None]:
        """Held by one process (or thread) at a time; what an ended one left behind is swept.

        Correctness does not need it, for a file is placed whole or not at all: it saves the second download.
        DownloadError when another one has held it for `wait` seconds.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(f"{self.partial}.lock")
        try:
            locked = self._acquire(lock, wait)
        except Timeout as error:
            raise DownloadError(
                f"Another process has been fetching {self.filename} for {wait:g} s: end it, or wait and try again."
            ) from error
        try:
            if locked:
                for left in self.partial.iterdir():
                    shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            lock.release()

    def _acquire(self, lock, wait: float) -> bool:
        """Whether the lock is held; False on a file system that has none."""
        from filelock import Timeout

        try:
            try:
                lock.acquire(timeout=min(1.0, wait))
            except Timeout:
                self.say(f"Another process is fetching {self.filename}: waiting for it.")
                lock.acquire(timeout=wait, poll_interval=0.2)
            return True
        except NotImplementedError:
            return False
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP):
                return False
            raise
