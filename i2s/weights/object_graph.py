"""Object graph of a weight file: plain containers, tensors, arrays and two records; checks for cycles and depth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from i2s.weights.limits import damaged
from i2s.weights.unpickler import describe

MAX_DEPTH = 100  # levels of nesting; official networks need about 25
SIMPLE = (type(None), bool, int, float, str)
LEAVES = (*SIMPLE, set, memoryview, torch.Tensor, np.ndarray)  # a set holds names only


@dataclass(frozen=True, eq=False, repr=False)  # neither may walk what a file made
class PersistentObject:
    """Module of NVIDIA's torch pickles: class name and attributes; its source code is dropped unread."""

    class_name: str
    state: dict


@dataclass(frozen=True, eq=False, repr=False)
class TFNetwork:
    """Attributes of a `dnnlib.tflib.network.Network` of NVIDIA's TensorFlow pickles."""

    state: dict


def children(node: Any) -> Any:
    """Return the values directly inside a node; WeightFileError for a type that does not belong there."""
    if type(node) is dict:
        return node.values()
    if type(node) in (list, tuple):
        return node
    if type(node) in (PersistentObject, TFNetwork):
        return (node.state,)
    if type(node) in LEAVES or isinstance(node, np.generic):
        return ()
    raise damaged(f"{describe(node)} stands where a value belongs")


def check_tree(root: Any) -> None:
    """Check that there is no cycle, that there are at most MAX_DEPTH levels, and that every type belongs there.

    Each object is visited once however many references share it, so that 4 ** 40 leaves cost forty visits.
    """
    height: dict[int, int] = {}  # id -> levels below and including it; 0 while it is open
    path, level = [root], 0
    while path:
        node = path[-1]
        if height.get(id(node)):  # another reference came first
            path.pop()
            continue
        inside = [child for child in children(node) if type(child) not in SIMPLE]
        if id(node) not in height:
            height[id(node)], level = 0, level + 1
            if any(height.get(id(child)) == 0 for child in inside):
                raise damaged("it contains itself")
            path.extend(child for child in inside if id(child) not in height)
        else:
            path.pop()
            level -= 1
            height[id(node)] = 1 + max((height[id(child)] for child in inside), default=0)
        # Above this node are `level` open ones, below it `height` levels of finished ones.
        if level + height[id(node)] > MAX_DEPTH:
            raise damaged(f"it is nested deeper than {MAX_DEPTH} levels")
