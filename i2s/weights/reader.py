"""Restricted reading of weight files: from a pickle or torch archive to an object graph of plain data.

Official weight files are pickles that execute code when loaded the usual way. `unpickler.py` reads them without; this
file has the table of stand-ins for the globals that they name. What the graph describes (class names, tensor names,
shapes, settings, values) is checked by the converters.
"""

import re
from collections.abc import Callable
from pathlib import Path
from pickle import PROTO
from typing import Any

import numpy as np
import torch

from i2s.errors import WeightFileError, in_file, printable
from i2s.weights.arrays import STORAGES, Arrays, Storage, rebuild_parameter, rebuild_tensor
from i2s.weights.file_type import TORCH_LEGACY, open_bytes, sniff
from i2s.weights.limits import Budget, Cursor, damaged, suspicious
from i2s.weights.object_graph import PersistentObject, TFNetwork, check_tree
from i2s.weights.torch_archive import read_legacy, read_zip
from i2s.weights.unpickler import MAX_NAME, PendingObject, RestrictedUnpickler, StandIn, describe, key


def read_weights(path: str | Path) -> Any:
    """Read the object graph of a weight file, executing nothing.

    Args:
        path: A pickle or an archive of `torch.save`.

    Returns:
        A dictionary, a tuple, a `PersistentObject`, or one tensor or array. Inside: dictionaries (also for OrderedDict,
        EasyDict, Namespace), lists, tuples, sets, str, int, float, bool, None, `PersistentObject`, `TFNetwork`, tensors
        (on the CPU), numpy arrays and scalars, and memoryviews for bytes. There are no cycles and at most 100 levels,
        but branches may be shared many times over: look things up by name, and never walk or print all of it.

    Raises:
        WeightFileError: The file is missing, damaged, hostile or something else; the message says which.
    """
    with in_file(path):
        data = open_bytes(path)
        kind = sniff(bytes(data[:1024]))
        if kind == "safetensors":
            raise WeightFileError("The file is a safetensors file: open it with i2s.load_generator.")
        return Reader(len(data)).read(data, kind)


class Reader:
    """Reader of one file; all that its pickles can reach is in its tables, made anew for each file."""

    def __init__(self, file_size: int):
        self.budget = Budget(file_size)
        ndarray = StandIn("numpy.ndarray")
        arrays = Arrays(self.budget, ndarray)
        both = {  # containers and tensors, in pickles and in torch archives
            "collections.OrderedDict": StandIn("collections.OrderedDict", reduce=dict),
            "torch._utils._rebuild_tensor_v2": StandIn("_rebuild_tensor_v2", rebuild_tensor, arguments=(6, 7)),
            "torch._utils._rebuild_parameter": StandIn("_rebuild_parameter", rebuild_parameter, arguments=(3, 3)),
        }
        self.official = both | {
            "torch_utils.persistence._reconstruct_persistent_obj": StandIn(
                "_reconstruct_persistent_obj", persistent_object, arguments=(1, 1)
            ),
            "dnnlib.tflib.network.Network": StandIn("Network", new=lambda: PendingObject("Network", tf_network)),
            "dnnlib.util.EasyDict": StandIn("EasyDict", new=dict),
            "torch.storage._load_from_bytes": StandIn("_load_from_bytes", self.nested_storage, arguments=(1, 1)),
            "builtins.set": StandIn("set", self.make_set, arguments=(0, 1)),
            "__builtin__.set": StandIn("set", self.make_set, arguments=(0, 1)),  # its name in protocol 2
            "_codecs.encode": StandIn("_codecs.encode", self.encode, arguments=(2, 2)),  # bytes in protocol 2
            "numpy.dtype": StandIn("numpy.dtype", arrays.dtype, arguments=(1, 3)),
            "numpy.ndarray": ndarray,
        }
        for core in ("numpy.core", "numpy._core"):  # before and since numpy 2
            self.official |= {
                f"{core}.multiarray._reconstruct": StandIn("_reconstruct", arrays.reconstruct, arguments=(3, 3)),
                f"{core}.multiarray.scalar": StandIn("scalar", arrays.scalar, arguments=(2, 2)),
                f"{core}.numeric._frombuffer": StandIn("_frombuffer", arrays.frombuffer, arguments=(4, 4)),
            }
        # A network of the official repositories may be saved by torch.save, whose storages lie outside of its pickle.
        self.torch = {name: target for name, target in self.official.items() if target.reduce != self.nested_storage}
        self.torch |= {f"torch.{name}": StandIn(f"torch.{name}") for name in STORAGES}
        # The settings of rosinality's training checkpoints.
        self.torch["argparse.Namespace"] = StandIn("Namespace", new=lambda: PendingObject("Namespace", namespace))

    def read(self, data: memoryview, kind: str) -> Any:
        """Read the object graph in `data`, a container of `kind`, and check it as a whole."""
        if kind == "torch-zip":
            tree = self.torch_zip(data)
            if type(tree) not in (dict, PersistentObject, torch.Tensor, np.ndarray):
                raise WeightFileError(f"The file holds {describe(tree)} instead of a dictionary: choose another file.")
        elif kind == "torch-legacy":
            tree = self.torch_legacy(data)
        else:
            try:
                tree = self.pickle(cursor := Cursor(data), self.official)
                cursor.finish()
            except WeightFileError as error:
                if bytes(data[:1]) == PROTO:
                    raise
                reason = str(error)
                raise WeightFileError(
                    f"The file is no weight file that i2s reads; as a pickle, {reason[0].lower()}{reason[1:]}"
                ) from error
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

    def pickle(self, cursor: Cursor, table: dict[str, StandIn], persistent: Callable | None = None) -> Any:
        """Read one pickle; `table` holds the stand-ins for its globals."""

        def resolve(module: str, name: str) -> StandIn:
            full = f"{module}.{name}"
            # A dot inside `name` would let one full name be split in two ways.
            return self.resolved(full, None if "." in name else table.get(full))

        return RestrictedUnpickler(cursor, resolve, self.budget, persistent).run()

    def resolved(self, name: str, target: StandIn | None) -> StandIn:
        """Return the stand-in for the global `name`; `target` is None if the table has none."""
        if target is None and re.fullmatch(r"[\w.]+\.(Generator|StyledGenerator|pSp)", name):
            raise WeightFileError(
                f"The file holds a whole Python object of the class {printable(name)}, which could only be read by "
                "running its code: save model.state_dict() instead."
            )
        if target is None:
            raise suspicious(f"asks for {printable(name)}")
        return target

    # Functions of stand-ins

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
        """Stand in for `torch.storage._load_from_bytes`: read a nested file of `torch.save`."""
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
    """Stand in for `torch_utils.persistence._reconstruct_persistent_obj`."""
    if type(meta) is not dict:
        raise damaged(f"a module described by {describe(meta)}")
    kind, version, name, state = (meta.get(name) for name in ("type", "version", "class_name", "state"))
    if type(kind) is not str or kind != "class":
        raise suspicious("has a persistent object that is no class")
    if type(version) is not int or version != 6:
        number = version if type(version) is int else describe(version)
        raise WeightFileError(
            f"The file has modules of version {number}, but i2s reads version 6: use the official file."
        )
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
