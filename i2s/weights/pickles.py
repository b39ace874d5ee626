"""The restricted reader: from a weight file to an inert tree of plain containers, tensors and arrays.

Official weight files are pickles that execute code when loaded the usual way. Here they are read by
`machine.py`, which cannot; this file holds the table of what their names stand for. What the tree describes
(class names, tensor names, shapes, settings, values) is for the converters to judge.
"""

from collections.abc import Callable
from pathlib import Path
from pickle import PROTO
from typing import Any

from i2s.errors import WeightFileError
from i2s.weights.arrays import STORAGES, Arrays, Storage, rebuild_parameter, rebuild_tensor
from i2s.weights.file_type import TORCH_LEGACY, open_bytes, sniff
from i2s.weights.limits import Budget, Cursor, damaged, printable, suspicious
from i2s.weights.object_graph import PersistentObject, TFNetwork, check_tree
from i2s.weights.torch_archive import read_legacy, read_zip
from i2s.weights.unpickler import MAX_NAME, Global, Machine, Unfinished, describe, key

__all__ = ["PersistentObject", "TFNetwork", "read_pickle", "read_torch_zip", "read_weights"]


def read_weights(path: str | Path) -> Any:
    """The tree in a weight file, executing nothing.

    It is made of dict (also for OrderedDict, EasyDict, Namespace), list, tuple, set, str, int, float, bool,
    None, `PersistentObject`, `TFNetwork`, `torch.Tensor` (on the CPU, whatever device it was saved from),
    `np.ndarray`, numpy scalars, and read-only memoryviews for bytes. It has no cycles and at most 100 levels,
    but branches may be shared many times over: look things up by name, and never walk or print all of it.

    Raises:
        WeightFileError: the file is missing, damaged, hostile or something else; the message says which.
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
            raise WeightFileError(
                f"is not a {wanted}, but a {kind}: open it with i2s.weights.pickles.read_weights"
            )
        return Reader(len(data)).read(data, kind)
    except WeightFileError as error:
        name = "the pickle" if isinstance(source, bytes) else source
        raise WeightFileError(f"{name} {error}") from error.__cause__


class Reader:
    """Reads one file. All that its pickles can reach is here, made anew for each file."""

    def __init__(self, file_size: int):
        self.budget = Budget(file_size)
        ndarray = Global("numpy.ndarray")
        arrays = Arrays(self.budget, ndarray)
        both = {  # what a pickle needs for containers and tensors, wherever it stands
            "collections.OrderedDict": Global("collections.OrderedDict", reduce=dict),
            "torch._utils._rebuild_tensor_v2": Global("_rebuild_tensor_v2", rebuild_tensor, arguments=(6, 7)),
            "torch._utils._rebuild_parameter": Global(
                "_rebuild_parameter", rebuild_parameter, arguments=(3, 3)
            ),
        }
        self.official = both | {
            "torch_utils.persistence._reconstruct_persistent_obj": Global(
                "_reconstruct_persistent_obj", persistent_object, arguments=(1, 1)
            ),
            "dnnlib.tflib.network.Network": Global("Network", new=lambda: Unfinished("Network", tf_network)),
            "dnnlib.util.EasyDict": Global("EasyDict", new=dict),
            "torch.storage._load_from_bytes": Global(
                "_load_from_bytes", self.nested_storage, arguments=(1, 1)
            ),
            "builtins.set": Global("set", self.make_set, arguments=(0, 1)),
            "__builtin__.set": Global("set", self.make_set, arguments=(0, 1)),  # its name in protocol 2
            "_codecs.encode": Global("_codecs.encode", self.encode, arguments=(2, 2)),  # bytes in protocol 2
            "numpy.dtype": Global("numpy.dtype", arrays.dtype, arguments=(1, 3)),
            "numpy.ndarray": ndarray,
        }
        for core in ("numpy.core", "numpy._core"):  # before and since numpy 2
            self.official |= {
                f"{core}.multiarray._reconstruct": Global(
                    "_reconstruct", arrays.reconstruct, arguments=(3, 3)
                ),
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
                raise WeightFileError(
                    f"holds {describe(tree)} where a dictionary belongs: choose another file"
                )
        elif kind == "torch-legacy":
            tree = self.torch_legacy(data)
        else:
            try:
                tree = self.pickle(cursor := Cursor(data), self.official)
                cursor.finish()
            except WeightFileError as error:
                if bytes(data[:1]) == PROTO:
                    raise
                raise WeightFileError(f"is no weight file that i2s reads; as a pickle it {error}") from error
        self.check(tree)
        return tree

    def check(self, tree: Any) -> None:
        check_tree(tree)

    def torch_zip(self, data: memoryview) -> Any:
        return read_zip(data, self.torch_pickle, self.budget)

    def torch_legacy(self, data: memoryview) -> Any:
        return read_legacy(Cursor(data), self.torch_pickle, self.budget)

    def torch_pickle(self, cursor: Cursor, persistent: Callable[[Any], Storage] | None) -> Any:
        return self.pickle(cursor, self.torch if persistent else {}, persistent)

    def pickle(self, cursor: Cursor, table: dict[str, Global], persistent: Callable | None = None) -> Any:
        """The object of one pickle, whose names stand for what `table` says."""

        def resolve(module: str, name: str) -> Global:
            full = f"{module}.{name}"
            # A dot inside `name` would let one full name be split in two ways.
            return self.resolved(full, None if "." in name else table.get(full))

        return Machine(cursor, resolve, self.budget, persistent).run()

    def resolved(self, name: str, target: Global | None) -> Global:
        """The stand-in for the global `name`; `target` is None when the table has none."""
        if target is None:
            raise suspicious(f"asks for {printable(name)}")
        return target

    # What names stand for.

    def make_set(self, items: Any = None) -> set:
        if items is None:
            return set()
        if type(items) is not list:
            raise damaged(f"a set made from {describe(items)}")
        self.budget.spend("instructions", len(items))
        return set(map(key, items))

    def encode(self, text: Any, encoding: Any) -> memoryview:
        if type(text) is not str or type(encoding) is not str or encoding not in ("latin1", "latin-1"):
            raise suspicious("encodes something else than its own bytes")
        self.budget.spend("characters", len(text))
        try:
            return memoryview(text.encode("latin-1"))
        except UnicodeEncodeError:
            raise damaged("bytes beyond 255") from None

    def nested_storage(self, data: Any) -> Storage:
        """`torch.storage._load_from_bytes`: a file of torch.save in the pickle, read by the same means."""
        if type(data) is not memoryview:
            raise damaged(f"a storage read from {describe(data)}")
        self.budget.spend("nested bytes", len(data))
        start = bytes(data[: len(TORCH_LEGACY)])
        if start.startswith(b"PK\x03\x04"):
            storage = self.torch_zip(data)
        elif start == TORCH_LEGACY:
            storage = self.torch_legacy(data)
        else:
            raise suspicious("hides something else than a storage where the bytes of a tensor belong")
        if type(storage) is not Storage:
            raise suspicious(f"hides {describe(storage)} where the bytes of a tensor belong")
        return storage


def persistent_object(meta: Any) -> PersistentObject:
    """What stands for `torch_utils.persistence._reconstruct_persistent_obj(meta)`."""
    if type(meta) is not dict:
        raise damaged(f"a module described by {describe(meta)}")
    kind, version, name, state = (meta.get(name) for name in ("type", "version", "class_name", "state"))
    if type(kind) is not str or kind != "class":
        raise suspicious("has a persistent object that is no class")
    if type(version) is not int or version != 6:
        number = version if type(version) is int else describe(version)
        raise WeightFileError(f"has modules of version {number} where i2s knows 6: use the official file")
    if type(name) is not str or len(name) > MAX_NAME or not name.isidentifier() or name.startswith("_"):
        shown = printable(name) if type(name) is str else describe(name)
        raise suspicious(f"has a module of the class {shown}")
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
