"""Broken and hostile trees of TensorFlow files: each is refused by name."""

import copy

import numpy as np
import pytest
import torch
import trees
from helpers import SIZES, small_generator

from i2s.errors import WeightFileError
from i2s.generators.stylegan1 import StyleGAN1Config
from i2s.weights import nvidia_tf
from i2s.weights.object_graph import TFNetwork


def field(name, value, component=None):
    def change(networks):
        state = networks[2].state
        (state["components"][component].state if component else state)[name] = value

    return change


def variable(name, value, component="synthesis"):
    """The variable becomes value(old); None removes it."""

    def change(networks):
        state = networks[2].state
        state = state["components"][component].state if component else state
        state["variables"] = [
            (one, value(old) if one == name else old)
            for one, old in state["variables"]
            if not (one == name and value is None)
        ]

    return change


def static(name, value, component=None):
    def change(networks):
        state = networks[2].state
        for one in (state, *(part.state for part in state["components"].values())):
            if component is None or one is state["components"][component].state:
                one["static_kwargs"] = one["static_kwargs"] | {name: value}

    return change


BROKEN_TF = {
    "version": (field("version", 99), "version 99: i2s reads 2 and 3"),
    "version of a component": (field("version", 4, "synthesis"), "version 4"),
    "version a text": (field("version", "3"), "Field version"),
    "function": (field("build_func_name", "G_paper"), "'G_paper'"),
    "synthesis function": (field("build_func_name", "G_synthesis_x", "synthesis"), "'G_synthesis_x'"),
    "components": (field("components", {}), "does not consist of mapping and synthesis"),
    "component a dict": (lambda n: n[2].state["components"].update(mapping={}), "component .* is not a network"),
    "variables a dict": (field("variables", {}, "mapping"), "Field variables"),
    "variable without value": (field("variables", [("lod",)]), "not pairs of a unique name"),
    "variable twice": (field("variables", [("lod", np.float32(0))] * 2), "not pairs of a unique name"),
    "variable name": (field("variables", [(3, np.float32(0))]), "not pairs of a unique name"),
    "missing variable": (variable("8x8/Conv1/weight", None), "synthesis/8x8/Conv1/weight is missing"),
    "no average": (variable("dlatent_avg", None, None), "dlatent_avg is missing"),
    "no noise": (variable("noise3", None), "synthesis/noise3 is missing"),
    "extra variable": (
        lambda n: n[2].state["variables"].append(("surprise", np.float32(0))),
        "surprise is unknown to this network",
    ),
    "wrong shape": (
        variable("8x8/Conv1/weight", lambda w: w.transpose(3, 2, 0, 1)),
        r"shape \[8, 8, 3, 3\], but the settings in the file ask for \[3, 3, 8, 8\]",
    ),
    "noise without axes": (variable("noise3", lambda n: n[0, 0]), r"\[8, 8\], but .* \[1, 1, 8, 8\]"),
    "doubles": (variable("8x8/Conv1/bias", lambda b: b.astype(np.float64)), "holds float64"),
    "objects": (variable("8x8/Conv1/bias", lambda b: b.astype(object)), "holds object"),
    "other byte order": (variable("8x8/Conv1/bias", lambda b: b.astype(">f4")), "holds >f4"),
    "NaN": (variable("8x8/Conv1/bias", lambda b: b * np.nan), "Conv1/bias holds NaN"),
    "a text": (variable("8x8/Conv1/bias", lambda b: "hello"), "of type str"),
    "growing": (variable("lod", lambda _: np.float32(0.5)), "still growing"),
    "growing at the top": (variable("lod", lambda _: np.float32(1), None), "still growing"),
    "lod NaN": (variable("lod", lambda _: np.float32("nan")), "still growing"),
    "lod a text": (variable("lod", lambda _: "0"), "of type str"),
    "conditional": (static("label_size", 10), "conditional"),
    "grey": (static("num_channels", 1), "grey network has 1 channel"),
    "resolution": (static("resolution", 12), "power of two"),
    "resolution of others": (static("resolution", 32), "is missing|dlatent_broadcast"),
    "components differ": (static("fmap_max", 7, "mapping"), "fmap_max differs"),
    "no wscale": (static("use_wscale", False), "use_wscale"),
    "pixel norm": (static("use_pixel_norm", True), "use_pixel_norm"),
    "no instance norm": (static("use_instance_norm", False), "use_instance_norm"),
    "blur": (static("blur_filter", [1, 1]), "blur_filter"),
    "fused": (static("fused_scale", 1), "fused_scale"),
    "decay": (static("fmap_decay", 2.0), "fmap_decay"),
    "unknown": (static("attention", 1), r"\(attention\)"),
    "bomb": (static("fmap_max", 2**50), "fmap_max"),
    "setting a tensor": (static("fmap_max", torch.ones(2)), "of type Tensor"),
}


@pytest.mark.parametrize("case", BROKEN_TF)
def test_broken_tensorflow_trees(case):
    change, message = BROKEN_TF[case]
    networks = trees.tensorflow(small_generator(trees.CONFIG1), 32, 10)
    networks = copy.deepcopy(networks[:2]) + (networks[2],)  # components are shared with G
    change(networks)
    with pytest.raises(WeightFileError, match=message):
        nvidia_tf.convert(networks)


def test_tensorflow_file_without_three_networks():
    networks = trees.tensorflow(small_generator(trees.CONFIG1), 32, 10)
    for wrong in (networks[2:], networks + networks[:1], (None, None, None), (networks[0], networks[1], {})):
        with pytest.raises(WeightFileError, match="three networks"):
            nvidia_tf.convert(wrong)
    with pytest.raises(WeightFileError, match="Field components"):
        nvidia_tf.convert((*networks[:2], TFNetwork({})))


def test_broken_tensorflow_stylegan2():
    source = small_generator(trees.PLAIN2)
    for change, message in (
        (static("architecture", "x"), "'skip'"),
        (static("resample_kernel", [1, 2, 1]), "resample_kernel"),
        (static("mapping_fmaps", 9), r"mapping/Dense0/weight has shape \[6, 8\], but .* \[6, 9\]"),
        (static("mapping_fmaps", "a"), "mapping_fmaps is 'a'"),
        (static("conv_clamp", "a"), "conv_clamp"),
        (field("build_func_name", "G_synthesis_stylegan_revised", "synthesis"), "stylegan_revised"),
        (field("version", 3, "synthesis"), "version 3: i2s reads 4"),
        (variable("8x8/Conv0_up/mod_bias", None), "mod_bias is missing"),
    ):
        networks = trees.tensorflow(source, 32, 10)
        change(networks)
        with pytest.raises(WeightFileError, match=message):
            nvidia_tf.convert(networks)


def test_fused_scale_decides_which_kernels_are_flipped():
    """ "auto" flips up-convolutions from 128 px, True all of them, False none."""
    config = StyleGAN1Config(128, **SIZES, mapping_width=7, channels=(2,) * 6)
    source = small_generator(config)
    kernels = {}
    for fused in ("auto", True, False):
        networks = trees.tensorflow(source, 2**9, 2)
        static("fused_scale", fused)(networks)
        blocks = nvidia_tf.convert(networks).synthesis.blocks
        kernels[fused] = [blocks[k].layer0.conv.weight for k in (4, 5)]  # 64 and 128 px
    for k, same_as_true in ((0, False), (1, True)):
        assert torch.equal(kernels["auto"][k], kernels[same_as_true][k])
        assert torch.equal(kernels[True][k], kernels[False][k].flip(2, 3))
