"""The restricted reader: from a weight file to an inert tree of plain containers, tensors and arrays.

Official weight files are pickles that execute code when loaded the usual way. Here they are read by `machine.py`,
which cannot; this file holds the table of what their names stand for, and the two containers of `torch.save`.
What the tree describes (class names, tensor names, shapes, settings) is for the converters to judge.
"""

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from i2s.errors import WeightFileError
from i2s.weights.containers import TORCH_LEGACY, open_bytes, sniff
from i2s.weights.machine import (
    INT64,
    Budget,
    Cursor,
    Global,
    Machine,
    Unfinished,
    check_tree,
    damaged,
    describe,
    printable,
    suspicious,
)
from i2s.weights.tensors import STORAGES, Arrays, Storage, rebuild_parameter, rebuild_tensor

MAX_MEMBERS = 20_000  # files in a zip; a training checkpoint has a few thousand


@dataclass(frozen=True)
class PersistentObject:
    """A module of NVIDIA's torch pickles: its class name and its attributes. Its source code is dropped unread."""

    class_name: str
    state: dict


@dataclass(frozen=True)
class TFNetwork:
    """A `dnnlib.tflib.network.Network` of NVIDIA's TensorFlow pickles: its attributes."""

    state: dict


def read_weights(path: str | Path) -> Any:
    """The tree in a weight file, executing nothing.

    It is made of dict (also for OrderedDict, EasyDict, Namespace), list, tuple, set, str, int, float, bool, None,
    `PersistentObject`, `TFNetwork`, `torch.Tensor` (on the CPU, whatever device it was saved from), `np.ndarray`,
    numpy scalars, and read-only memoryviews for bytes. It has no cycles and at most 100 levels, but branches may be
    shared many times over: look things up by name, and never walk or print a tree from a file as a whole.

    Raises:
        WeightFileError: the file is missing, damaged, hostile or something else; the message names the defect.
    """
    return _read(path, open_bytes, None)


def read_pickle(source: str | Path | bytes) -> Any:
    """`read_weights` for a pickle only, as a file or as its bytes."""
    return _read(source, memoryview if isinstance(source, bytes) else open_bytes, "pickle")


def read_torch_zip(path: str | Path) -> dict:
    """`read_weights` for what `torch.save` writes since version 1.6, which must hold a dictionary."""
    return _read(path, open_bytes, "torch-zip")


def _read(source: str | Path | bytes, opened: Callable, wanted: str | None) -> Any:
    try:
        data = opened(source)
        kind = sniff(bytes(data[:1024]))
        if kind == "safetensors":
            raise WeightFileError("is a safetensors file: open it with i2s.load_generator")
        if wanted not in (None, kind):
            raise WeightFileError(f"is not a {wanted}, but a {kind}: open it with i2s.weights.pickles.read_weights")
        return Reader(len(data)).read(data, kind)
    except WeightFileError as error:
        name = "the pickle" if isinstance(source, bytes) else source
        raise WeightFileError(f"{name} {error}") from error.__cause__


class Reader:
    """Reads one file. All that its pickles can reach is here, made anew for each file."""

    def __init__(self, file_size: int):
        self.budget = Budget(file_size)
        self.globals_seen: dict[str, int] = {}  # name -> how often, for `i2s inspect`
        ndarray = Global("numpy.ndarray")
        arrays = Arrays(self.budget, ndarray)
        both = {  # what a pickle needs for containers and tensors, wherever it stands
            "collections.OrderedDict": Global("collections.OrderedDict", reduce=dict),
            "torch._utils._rebuild_tensor_v2": Global("_rebuild_tensor_v2", rebuild_tensor, arguments=(4, 7)),
            "torch._utils._rebuild_parameter": Global("_rebuild_parameter", rebuild_parameter, arguments=(1, 3)),
        }
        self.official = both | {
            "torch_utils.persistence._reconstruct_persistent_obj": Global(
                "_reconstruct_persistent_obj", persistent_object, arguments=(1, 1)
            ),
            "dnnlib.tflib.network.Network": Global("Network", new=lambda: Unfinished("Network", tf_network)),
            "dnnlib.util.EasyDict": Global("EasyDict", new=dict),
            "torch.storage._load_from_bytes": Global("_load_from_bytes", self.nested_storage, arguments=(1, 1)),
            "builtins.set": Global("set", self.make_set, arguments=(0, 1)),
            "__builtin__.set": Global("set", self.make_set, arguments=(0, 1)),  # its name in protocol 2
            "_codecs.encode": Global("_codecs.encode", self.encode, arguments=(2, 2)),  # bytes in protocol 2
            "numpy.dtype": Global("numpy.dtype", arrays.dtype, arguments=(1, 3)),
            "numpy.ndarray": ndarray,
        }
        for core in ("numpy.core", "numpy._core"):  # before and since numpy 2
            self.official |= {
                f"{core}.multiarray._reconstruct": Global("_reconstruct", arrays.reconstruct, arguments=(3, 3)),
                f"{core}.multiarray.scalar": Global("scalar", arrays.scalar, arguments=(2, 2)),
                f"{core}.numeric._frombuffer": Global("_frombuffer", arrays.frombuffer, arguments=(4, 4)),
            }
        self.torch = both | {f"torch.{name}": Global(f"torch.{name}") for name in STORAGES}
        # The settings of rosinality's training checkpoints.
        self.torch["argparse.Namespace"] = Global("Namespace", new=lambda: Unfinished("Namespace", namespace))

    def read(self, data: memoryview, kind: str) -> Any:
        """The tree in `data`, a container of `kind`, checked as a whole."""
        if kind == "torch-zip":
            tree = self.torch_zip(data)
            if type(tree) is not dict:
                raise WeightFileError(f"holds {describe(tree)} where a dictionary of tensors belongs: choose another file")
        else:
            cursor = Cursor(data)
            tree = self.torch_legacy(cursor) if kind == "torch-legacy" else self.pickle(cursor, self.official)
            if cursor.remaining:
                raise damaged(f"{cursor.remaining} bytes follow its end")
        check_tree(tree, children)
        return tree

    def pickle(self, cursor: Cursor, table: dict[str, Global], persistent: Callable | None = None) -> Any:
        def resolve(module: str, name: str) -> Global:
            full = f"{module}.{name}"
            self.globals_seen[full] = self.globals_seen.get(full, 0) + 1
            # A dot inside `name` would let one name be split in two ways.
            return self.unknown(full) if full not in table or "." in name else table[full]

        return Machine(cursor, resolve, self.budget, persistent).run()

    def unknown(self, name: str) -> Global:
        """What a global outside the table stands for: nothing."""
        raise suspicious(f"asks for {printable(name)}")

    # What names stand for.

    def make_set(self, items: Any = ()) -> set:
        self.budget.spend("instructions", len(items) if type(items) is list else 0)
        if type(items) not in (list, tuple) or not all(type(item) is str for item in items):
            raise damaged("a set of something else than names")
        return set(items)

    def encode(self, text: Any, encoding: Any) -> memoryview:
        if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1"):
            raise suspicious("encodes something else than its own bytes")
        self.budget.spend("characters", len(text))
        try:
            return memoryview(text.encode("latin-1"))
        except UnicodeEncodeError:
            raise damaged("bytes beyond 255") from None

    def nested_storage(self, data: Any) -> Storage:
        """`torch.storage._load_from_bytes`: a file of torch.save inside the pickle, read by the same means."""
        if type(data) is not memoryview:
            raise damaged(f"a storage read from {describe(data)}")
        self.budget.spend("nested bytes", len(data))
        start = bytes(data[: len(TORCH_LEGACY)])
        if start.startswith(b"PK\x03\x04"):
            storage = self.torch_zip(data)
        elif start == TORCH_LEGACY:
            cursor = Cursor(data)
            storage = self.torch_legacy(cursor)
            if cursor.remaining:
                raise damaged(f"{cursor.remaining} bytes follow the end of a storage")
        else:
            raise suspicious("hides something else than a storage where the bytes of a tensor belong")
        if type(storage) is not Storage:
            raise suspicious(f"hides {describe(storage)} where the bytes of a tensor belong")
        return storage

    # The containers of torch.save.

    def torch_legacy(self, cursor: Cursor) -> Any:
        """Five pickles (magic, version, system, object, keys), then the bytes of each storage."""
        if bytes(cursor.take(len(TORCH_LEGACY))) != TORCH_LEGACY:
            raise damaged("the start of a torch file is missing")
        system = self.pickle(cursor, {})
        if type(system) is not dict or system.get("little_endian") is not True:
            raise WeightFileError("was saved on a big-endian machine, which i2s does not read: save it on another one")
        storages: dict[str, Storage] = {}

        def persistent(name: Any) -> Storage:
            if type(name) is not tuple or len(name) != 6 or name[5] is not None:
                raise damaged("the name of a storage has no known form")
            return self.declare(name[:5], storages)

        tree = self.pickle(cursor, self.torch, persistent)
        keys = self.pickle(cursor, {})
        if type(keys) is not list or not all(type(key) is str and key in storages for key in keys):
            raise damaged("its list of storages does not match its contents")
        for key in keys:
            storage = storages[key]
            if cursor.unpack(INT64) != storage.count:
                raise damaged("a storage is not of the size its name claims")
            storage.fill(cursor.take(storage.count * storage.dtype.itemsize))
        if not all(storage.filled for storage in storages.values()):
            raise damaged("a storage is missing")
        return tree

    def torch_zip(self, data: memoryview) -> Any:
        """A zip with the object in `data.pkl` and each storage in `data/KEY`, uncompressed."""
        members = _members(data)
        folder = [name[: -len("data.pkl")] for name in members if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(folder) != 1:
            raise WeightFileError("is a zip archive, but not one of torch.save: choose a weight file")
        prefix = folder[0]
        if any(name.startswith((f"{prefix}code/", f"{prefix}constants.pkl")) for name in members):
            raise WeightFileError("is a TorchScript program, not weights: choose a file of a state dictionary")
        if f"{prefix}byteorder" in members and members[f"{prefix}byteorder"]() != b"little":
            raise WeightFileError("was saved on a big-endian machine, which i2s does not read: save it on another one")
        storages: dict[str, Storage] = {}

        def persistent(name: Any) -> Storage:
            if type(name) is not tuple or len(name) != 5:
                raise damaged("the name of a storage has no known form")
            storage = self.declare(name, storages)
            if not storage.filled:
                member = f"{prefix}data/{name[2]}"
                if member not in members:
                    raise damaged(f"the storage {printable(name[2])} is missing")
                storage.fill(memoryview(members[member]()))
            return storage

        cursor = Cursor(members[f"{prefix}data.pkl"]())
        tree = self.pickle(cursor, self.torch, persistent)
        if cursor.remaining:
            raise damaged(f"{cursor.remaining} bytes follow the end of its pickle")
        return tree

    def declare(self, name: tuple, storages: dict[str, Storage]) -> Storage:
        """The storage called ("storage", class, key, device, count); allocated when it is first named."""
        tag, kind, key, device, count = name
        if tag != "storage" or type(kind) is not Global or type(key) is not str or type(device) is not str:
            raise damaged("the name of a storage has no known form")
        dtype = STORAGES.get(kind.name.removeprefix("torch."))
        if dtype is None:
            raise suspicious(f"keeps tensors in {kind.name}")
        if key not in storages:
            storages[key] = Storage(dtype, count, self.budget)
        if storages[key].dtype != dtype or storages[key].count != count:
            raise damaged(f"the storage {printable(key)} is described in two ways")
        return storages[key]


def _members(data: memoryview) -> dict[str, Callable[[], bytes]]:
    """Name -> function that reads it, for a zip whose members are all stored plainly.

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
    infos = archive.infolist()
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 0x41:
            if info.filename.partition("/")[2].startswith("code/"):
                continue  # TorchScript, which gets an error of its own
            raise suspicious(f"has the compressed member {printable(info.filename)}")
    if sum(info.file_size for info in infos) > len(data) or len({info.filename for info in infos}) != len(infos):
        raise suspicious("is a zip archive whose members overlap")

    def reading(info: zipfile.ZipInfo) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                return archive.read(info)
            except Exception as error:
                raise damaged(f"its member {printable(info.filename)} cannot be read, or its checksum is wrong") from error

        return read

    return {info.filename: reading(info) for info in infos}


class _View(io.RawIOBase):
    """A memoryview as a file, without a copy."""

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


def persistent_object(meta: Any) -> PersistentObject:
    """What stands for `torch_utils.persistence._reconstruct_persistent_obj(meta)`."""
    if type(meta) is not dict:
        raise damaged(f"a module described by {describe(meta)}")
    kind, version, name, state = (meta.get(name) for name in ("type", "version", "class_name", "state"))
    if type(kind) is not str or kind != "class":
        raise suspicious("has a persistent object that is no class")
    if type(version) is not int or version != 6:
        number = version if type(version) is int else describe(version)
        raise WeightFileError(f"has modules of version {number}, and i2s knows version 6: use the official file")
    if type(name) is not str or not name.isidentifier() or name.startswith("_"):
        raise suspicious(f"has a module of the class {printable(name) if type(name) is str else describe(name)}")
    if type(state) is not dict:
        raise damaged(f"the module {printable(name)} has no attributes")
    return PersistentObject(name, state)


def tf_network(state: Any) -> TFNetwork:
    if type(state) is not dict:
        raise damaged("a Network has no attributes")
    return TFNetwork(state)


def namespace(state: Any) -> dict:
    if type(state) is not dict:
        raise damaged("a Namespace has no attributes")
    return state


def children(node: Any) -> Any:
    """The values directly inside a part of the tree; WeightFileError for a type that does not belong there."""
    if type(node) is dict:
        return node.values()
    if type(node) in (list, tuple):
        return node
    if type(node) in (PersistentObject, TFNetwork):
        return (node.state,)
    if type(node) in (str, int, float, bool, type(None), set, memoryview, torch.Tensor, np.ndarray):
        return ()
    if isinstance(node, np.generic):
        return ()
    raise damaged(f"{describe(node)} stands where a value belongs")
