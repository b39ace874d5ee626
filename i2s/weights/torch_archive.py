"""Archives of `torch.save`: a zip since version 1.6, five pickles in a row before.

In both, the pickle of the saved object names its storages (BINPERSID), whose bytes are elsewhere in the file.
`run(cursor, persistent)` reads one pickle; `persistent` returns the storage of a name, or is None for a pickle that may
name none.
"""

import io
import re
import zipfile
from collections.abc import Callable
from itertools import islice
from typing import Any

from i2s.errors import WeightFileError, printable
from i2s.weights.arrays import STORAGES, Storage
from i2s.weights.file_type import TORCH_LEGACY
from i2s.weights.limits import INT64, Budget, Cursor, damaged, suspicious
from i2s.weights.unpickler import StandIn

BIG_ENDIAN = "The file was saved on a big-endian machine, which i2s does not read: save it on another one."
MAX_MEMBERS = 20_000  # files in a zip; a training checkpoint has a few thousand

Run = Callable[[Cursor, Callable[[Any], Storage] | None], Any]


def read_legacy(cursor: Cursor, run: Run, budget: Budget) -> Any:
    """Read five pickles (magic, version, system, object, keys), then the bytes of each storage."""
    if bytes(cursor.take(len(TORCH_LEGACY))) != TORCH_LEGACY:
        raise damaged("the start of a torch file is missing")
    system = run(cursor, None)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise WeightFileError(BIG_ENDIAN)
    storages: dict[str, Storage] = {}

    def persistent(name: Any) -> Storage:
        if type(name) is not tuple or len(name) != 6 or name[5] is not None:
            raise damaged("the name of a storage has no known form")
        return _declare(name[:5], storages, budget)

    tree = run(cursor, persistent)
    keys = run(cursor, None)
    if type(keys) is not list or not all(type(key) is str and key in storages for key in keys):
        raise damaged("its list of storages does not match its contents")
    for key in keys:
        storage = storages[key]
        if cursor.unpack(INT64) != storage.count:
            raise damaged("a storage is not of the size its name claims")
        storage.fill(cursor.take(storage.count * storage.dtype.itemsize))
    if not all(storage.filled for storage in storages.values()):
        raise damaged("a storage is missing")
    cursor.finish()
    return tree


def read_zip(data: memoryview, run: Run, budget: Budget) -> Any:
    """Read a zip with the object in `data.pkl` and each storage in `data/KEY`, uncompressed."""
    members = read_members(data)
    if any(name.endswith(".npy") for name in members):
        raise WeightFileError("The file holds NumPy arrays, such as a latent code, no generator: choose another.")
    folder = [name[: -len("data.pkl")] for name in members if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(folder) != 1:
        raise WeightFileError("The file is a zip archive, but not one of torch.save: choose a weight file.")
    prefix = folder[0]
    if f"{prefix}byteorder" in members and members[f"{prefix}byteorder"]() != b"little":
        raise WeightFileError(BIG_ENDIAN)
    storages: dict[str, Storage] = {}

    def persistent(name: Any) -> Storage:
        if type(name) is not tuple or len(name) != 5:
            raise damaged("the name of a storage has no known form")
        storage = _declare(name, storages, budget)
        if not storage.filled:
            member = f"{prefix}data/{name[2]}"
            if member not in members:
                raise damaged(f"the storage {printable(name[2])} is missing")
            storage.fill(memoryview(members[member]()))
        return storage

    cursor = Cursor(members[f"{prefix}data.pkl"]())
    tree = run(cursor, persistent)
    cursor.finish()
    return tree


def _declare(name: tuple, storages: dict[str, Storage], budget: Budget) -> Storage:
    """Return the storage of the name ("storage", class, key, device, count); allocate it when it is first named."""
    tag, kind, key, device, count = name
    if (
        type(tag) is not str
        or tag != "storage"
        or type(kind) is not StandIn
        or type(key) is not str
        or type(device) is not str
    ):
        raise damaged("the name of a storage has no known form")
    dtype = STORAGES.get(kind.name.removeprefix("torch."))
    if dtype is None:
        raise suspicious(f"keeps tensors in {kind.name}")
    if key not in storages:
        storages[key] = Storage(dtype, count, budget)
    if storages[key].dtype != dtype or storages[key].count != count:
        raise damaged(f"the storage {printable(key)} is described in two ways")
    return storages[key]


def read_members(data: memoryview, unpacked: int = 0) -> dict[str, Callable[[], bytes]]:
    """Return a function that reads each member of a zip, by name.

    Args:
        data: The zip.
        unpacked: Most bytes of all members together where one of them is compressed (deflate); 0: none may be.

    zipfile checks the CRC of what it reads. It would build a record for each entry of the directory before
    anything could be checked, so the entries are counted first by their signature.
    """
    entries = sum(1 for _ in islice(re.finditer(rb"PK\x01\x02", data), MAX_MEMBERS + 1))
    if entries > MAX_MEMBERS:
        raise suspicious(f"is a zip archive of more than {MAX_MEMBERS} files")
    try:
        archive = zipfile.ZipFile(io.BufferedReader(_View(data)))
    except Exception as error:  # zipfile raises half a dozen kinds for a broken directory
        raise damaged("its zip directory cannot be read") from error
    infos = {info.filename: info for info in archive.infolist()}
    if any(name.partition("/")[2].startswith(("code/", "constants.pkl")) for name in infos):
        raise WeightFileError("The file is a TorchScript program, not weights: choose a file with a state dictionary.")
    for name, info in infos.items():
        encrypted = info.flag_bits & 0x41
        if unpacked and info.compress_type == zipfile.ZIP_DEFLATED and not encrypted:
            continue
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or encrypted:
            raise suspicious(f"has the compressed member {printable(name)}")
    packed = any(info.compress_type != zipfile.ZIP_STORED for info in infos.values())
    total = sum(info.file_size for info in infos.values())
    if packed and total > unpacked:
        raise suspicious(f"is a compressed archive of {total} bytes")
    if sum(info.compress_size for info in infos.values()) > len(data) or len(infos) != len(archive.infolist()):
        raise suspicious("is a zip archive whose members overlap")

    def reading(info: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                return archive.read(info)
            except Exception as error:
                raise damaged(f"its member {printable(info.filename)} fails its checksum") from error

        return read

    return {name: reading(info) for name, info in infos.items()}


class _View(io.RawIOBase):
    """File interface of a memoryview, without a copy."""

    def __init__(self, data: memoryview):
        self.cursor = Cursor(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self.cursor.position, len(self.cursor.data))[whence]
        if base + offset < 0:
            raise ValueError("before the start")
        self.cursor.position = base + offset
        return self.cursor.position

    def readinto(self, buffer) -> int:
        part = self.cursor.take(max(0, min(len(buffer), self.cursor.remaining)))
        buffer[: len(part)] = part
        return len(part)
