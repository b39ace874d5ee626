"""Every value of a good tree in turn is replaced by others: a clear refusal, or the very same generator.

A value that can be changed without either is one that the converter uses without checking it.
"""

import copy
import random

import numpy as np
import pytest
import torch
import trees
from helpers import small_generator

from i2s.errors import WeightFileError
from i2s.weights import nvidia_tf, nvidia_torch, rosinality
from i2s.weights.object_graph import PersistentObject, TFNetwork

CASES = 250
GOOD = {
    "ada": (nvidia_torch, lambda: trees.ada(small_generator(trees.CONFIG2), 64, 10)),
    "stylegan3": (nvidia_torch, lambda: trees.stylegan3(small_generator(trees.CONFIG3))),
    "tf-stylegan1": (nvidia_tf, lambda: trees.tensorflow(small_generator(trees.CONFIG1), 32, 10)),
    "tf-stylegan2": (nvidia_tf, lambda: trees.tensorflow(small_generator(trees.PLAIN2), 32, 10)),
    "rosinality": (rosinality, lambda: trees.rosinality(small_generator(trees.PLAIN2))),
}
VALUES = [
    None, True, 0, 1, 3, -1, 2**31, 10**500, 0.5, float("nan"), float("inf"), "", "skip", "\x1b[2J", b"bytes", [], [1],
    [1, 3, 3, 1], [None], [[[]]], (), (1, 2), {}, {"a": 1}, {1: 2}, {"_parameters": {}}, set(), memoryview(b"abc"),
    np.float32(2), np.float32("nan"), np.int64(4), np.zeros(3), np.zeros((2, 2), np.int8), np.array(None),
    torch.zeros(0), torch.ones(3), torch.ones([]), torch.ones(2, 2, dtype=torch.int64), torch.full([8], torch.nan),
    PersistentObject("Generator", {}), PersistentObject("", {"_modules": {}}), TFNetwork({}), TFNetwork({"version": 3}),
]  # fmt: skip


def places(node, path=()):
    """The way to each value of a tree: keys and indices."""
    if isinstance(node, (PersistentObject, TFNetwork)):
        yield from places(node.state, (*path, "state"))
    elif isinstance(node, (dict, list, tuple)):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield (*path, key)
            yield from places(value, (*path, key))


def replaced_at(node, path, value):
    """The tree with another value at that place."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(node, PersistentObject):
        return PersistentObject(node.class_name, replaced_at(node.state, rest, value))
    if isinstance(node, TFNetwork):
        return TFNetwork(replaced_at(node.state, rest, value))
    changed = replaced_at(node[first], rest, value)
    if isinstance(node, dict):
        return node | {first: changed}
    return type(node)(changed if k == first else one for k, one in enumerate(node))


@pytest.mark.parametrize("case", GOOD)
def test_any_value_anywhere(case):
    converter, build = GOOD[case]
    tree = build()
    good = converter.convert(copy.deepcopy(tree))
    everywhere = [path for path in places(tree) if "G" not in path[:1] and path[:1] not in ((0,), (1,))]
    chooser = random.Random(0)
    refused = 0
    for _ in range(CASES):
        path, value = chooser.choice(everywhere), chooser.choice(VALUES)
        try:
            result = converter.convert(replaced_at(tree, path, value))
        except WeightFileError as error:
            refused += 1
            message = str(error)
            assert message.isprintable() and len(message) < 400, (path, value)
            assert message[0].isupper() and message.endswith("."), message
            continue
        assert result.config == good.config, (path, value)
        for name, tensor in good.state_dict().items():
            if path == ("latent_avg",) and value is None and name == "mapping.w_mean":
                continue  # a mean that is not there is computed
            if not torch.equal(result.state_dict()[name], tensor):
                # the only way to other numbers is a tensor of that shape, type and finite values
                assert isinstance(value, (torch.Tensor, np.generic)), (path, value, name)
    assert refused > CASES / 3
