"""Converters: good object graphs become the networks that they describe; official files that hold none are refused.

The graphs are built from small generators (`trees.py`), so no file is needed. What is refused, and why:
test_broken_torch.py, test_broken_tensorflow.py.
"""

import hashlib
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
import trees
from helpers import SIZES, small_generator

from i2s.errors import WeightFileError
from i2s.generators import load_generator
from i2s.generators.stylegan1 import StyleGAN1Config
from i2s.weights import nvidia_tf, nvidia_torch, rosinality
from i2s.weights.object_graph import PersistentObject, TFNetwork

GOOD = {  # converter, configuration, its file
    "ada": (nvidia_torch, trees.CONFIG2, lambda g: trees.ada(g, 64, 10)),
    "ada-flat": (nvidia_torch, trees.CONFIG2, lambda g: trees.ada(g, 64, 10, flat=True)),
    "ada-resnet": (nvidia_torch, replace(trees.CONFIG2, architecture="resnet"), lambda g: trees.ada(g, 64, 10)),
    "ada-orig": (nvidia_torch, replace(trees.CONFIG2, architecture="orig"), lambda g: trees.ada(g, 64, 10)),
    "stylegan3-t": (nvidia_torch, trees.CONFIG3, trees.stylegan3),
    "stylegan3-r": (nvidia_torch, replace(trees.CONFIG3, conv_kernel=1, radial_filters=True), trees.stylegan3),
    "tf-stylegan1": (nvidia_tf, trees.CONFIG1, lambda g: trees.tensorflow(g, 32, 10)),
    "tf-stylegan1-128": (
        nvidia_tf,
        StyleGAN1Config(128, **SIZES, mapping_width=7, channels=(6, 6, 6, 6, 4, 2)),
        lambda g: trees.tensorflow(g, 128, 6),
    ),
    "tf-stylegan2": (nvidia_tf, trees.PLAIN2, lambda g: trees.tensorflow(g, 32, 10)),
    "rosinality": (rosinality, replace(trees.PLAIN2, scaled_epsilon=True), trees.rosinality),
}
DIGESTS = {  # of `described`, from graphs that were written out by hand, as the official repositories write them
    "ada": "f69cee5552a4553d",
    "ada-flat": "c6200f425fe8ad47",
    "ada-resnet": "6bf04d27b708c0cf",
    "ada-orig": "a4efb98eb7af74e9",
    "stylegan3-t": "a4e61c7cb99d07ae",
    "stylegan3-r": "0fe665a58ab0aa78",
    "tf-stylegan1": "98810426f5bd7278",
    "tf-stylegan1-128": "b101d044ed86f759",
    "tf-stylegan2": "6b661cdf22e4ad78",
    "rosinality": "49aeef992cbd1f5a",
}


def described(node, path=""):
    """A line for each value of a graph: its path, and class, shape and checksum, or the value."""
    if isinstance(node, PersistentObject):
        yield f"{path}: {node.class_name}"
    node = node.state if isinstance(node, (PersistentObject, TFNetwork)) else node
    if isinstance(node, dict):
        for name, value in node.items():
            yield from described(value, f"{path}.{name}")
    elif isinstance(node, (list, tuple)):
        for k, value in enumerate(node):
            named = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)
            yield from described(value[1], f"{path}.{value[0]}") if named else described(value, f"{path}[{k}]")
    elif isinstance(node, torch.Tensor) or getattr(node, "dtype", None) == np.float32:
        array = np.asarray(node.detach() if isinstance(node, torch.Tensor) else node)
        yield f"{path}: {list(array.shape)} {zlib.crc32(np.ascontiguousarray(array).tobytes()):08x}"
    else:
        node = node.tolist() if isinstance(node, (np.ndarray, np.generic)) else node
        yield f"{path} = {node:.6g}" if isinstance(node, float) else f"{path} = {node!r}"


@pytest.mark.parametrize("case", GOOD)
def test_converters_tables_are_those_of_the_formats(case):
    """Names, shapes, order of axes, classes, attributes and settings of a file, all at once; numbers are counted up."""
    _, config, build = GOOD[case]
    source = small_generator(config)
    for k, tensor in enumerate(source.state_dict().values()):
        tensor.copy_((torch.arange(tensor.numel()).reshape(tensor.shape) % 61 + k % 50 + 1) / 64)
    text = "\n".join(sorted(described(build(source))))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == DIGESTS[case], text


@pytest.mark.parametrize("case", GOOD)
def test_good_trees(case):
    """Every number arrives where it belongs, in memory of its own; configuration and picture are the same."""
    converter, config, build = GOOD[case]
    source = small_generator(config)
    tree = build(source)
    result = converter.convert(tree)
    assert result.config == config and not result.training
    ours, theirs = source.state_dict(), result.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=1e-7)  # mod_bias + 1 - 1 rounds
        assert theirs[name].dtype == torch.float32 and theirs[name].is_contiguous()
        assert theirs[name].data_ptr() != tensor.data_ptr()
    w_plus = torch.randn(1, source.num_ws, 8)
    torch.testing.assert_close(result.synthesis(w_plus), source.synthesis(w_plus), rtol=1e-4, atol=1e-5)


REASONS = {
    "bad-dtype-int64.pkl": "mapping.fc0.weight holds int64",
    "bad-extra-tensor.pkl": "synthesis.b8.surprise is unknown",
    "bad-gema-is-discriminator.pkl": "'Discriminator', not a generator",
    "bad-gema-none.pkl": "G_ema is None",
    "bad-inf.pkl": "mapping.w_avg holds NaN or infinity",
    "bad-kwargs-bomb.pkl": "channel_base is 1099511627776",
    "bad-kwargs-conditional.pkl": "conditional",
    "bad-kwargs-resolution.pkl": "resolution is 12",
    "bad-kwargs-type.pkl": "resolution is '8'",
    "bad-missing-tensor.pkl": "synthesis.b8.conv1.weight is missing",
    "bad-missing-wavg.pkl": "mapping.w_avg is missing",
    "bad-nan.pkl": "synthesis.b8.conv1.weight holds NaN",
    "bad-no-gema.pkl": "G_ema is missing",
    "bad-none-tensor.pkl": "synthesis.b8.conv1.weight is None",
    "bad-not-a-tensor.pkl": "noise_const is of type str",
    "bad-tf-missing-var.pkl": "synthesis/8x8/Conv1/weight is missing",
    "bad-tf-not-3tuple.pkl": "three networks",
    "bad-tf-version.pkl": "version 99",
    "bad-unknown-class.pkl": "'GeneratorXL'",
    "bad-wrong-shape-noise.pkl": r"noise_const has shape \[4, 4\], .* \[8, 8\]",
    "bad-wrong-shape.pkl": r"b8.conv0.weight has shape \[6, 5, 3, 3\], .* \[6, 6, 3, 3\]",
    "good-handmade-zip.pt": "style.1.weight is missing",
    "odd-ros-train-namespace.pt": "style.1.weight is missing",
    "odd-tf-sg1-lod-half.pkl": "still growing",
}


@pytest.mark.parametrize("name", REASONS)
def test_reference_files_are_refused_with_the_reason(name, shared):
    path = shared / "fixtures" / "evil" / name
    with pytest.raises(WeightFileError, match=REASONS[name]) as error:
        load_generator(path)
    message = str(error.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("name", ["good-micro.pkl", "evil-module-src.pkl", "bad-billion-laughs.pkl"])
def test_reference_files_that_hold_the_good_weights(name, shared):
    folder = shared / "fixtures" / "evil"
    generator = load_generator(folder / name)
    with np.load(folder / "good-micro.npz") as arrays:
        image = generator.synthesis(torch.from_numpy(arrays["ws_plus"]))
        assert np.abs(image.numpy() - arrays["img_plus_const"]).max() < 1e-5
