"""Broken and hostile trees of torch files: each is refused by name, quickly, before anything is allocated for it."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import trees
from helpers import SIZES, small_generator

from i2s.errors import WeightFileError
from i2s.generators.stylegan2 import StyleGAN2Config
from i2s.weights import nvidia_tf, nvidia_torch, rosinality
from i2s.weights.object_graph import PersistentObject


def ada(flat=False, **changes):
    return trees.ada(small_generator(replace(trees.CONFIG2, **changes)), 64, 10, flat)


def at(tree, path: str) -> PersistentObject:
    module = tree["G_ema"]
    for name in path.split(".") if path else ():
        module = module.state["_modules"][name]
    return module


def tensor(path, name, value, part="_parameters"):
    """A change: the tensor `name` of the module at `path` becomes `value(old)`."""

    def change(tree):
        state = at(tree, path).state[part]
        state[name] = value(state[name])

    return change


def gone(path, name, part="_parameters"):
    return lambda tree: at(tree, path).state[part].pop(name)


def attribute(path, name, value):
    return lambda tree: at(tree, path).state.__setitem__(name, value)


def setting(name, value, path=""):
    return lambda tree: at(tree, path).state["_init_kwargs"].__setitem__(name, value)


def synthesis_setting(name, value):
    return lambda tree: at(tree, "").state["_init_kwargs"]["synthesis_kwargs"].__setitem__(name, value)


def mapping_setting(name, value):
    return lambda tree: at(tree, "").state["_init_kwargs"]["mapping_kwargs"].__setitem__(name, value)


def class_name(path, name):
    def change(tree):
        parent, _, last = path.rpartition(".")
        new = PersistentObject(name, at(tree, path).state)
        if path:
            at(tree, parent).state["_modules"][last] = new
        else:
            tree["G_ema"] = new

    return change


def module(path, value):
    parent, _, last = path.rpartition(".")
    return lambda tree: at(tree, parent).state["_modules"].__setitem__(last, value)


LAYER = "synthesis.b8.conv0"
BROKEN_ADA = {
    "no G_ema": (lambda tree: tree.pop("G_ema"), "G_ema is missing"),
    "G_ema None": (lambda tree: tree.update(G_ema=None), "G_ema is None"),
    "G_ema a dict": (lambda tree: tree.update(G_ema={}), "G_ema is of type dict"),
    "discriminator": (class_name("", "Discriminator"), "'Discriminator', not a generator"),
    "escape sequence in a class": (class_name("", "\x1b[31mX"), r"\\x1b"),
    "layer class": (class_name(LAYER, "Conv2dLayer"), "is a 'Conv2dLayer', but a SynthesisLayer is expected"),
    "synthesis class": (class_name("synthesis", "Synthesis"), "unknown class 'Synthesis'"),
    "mapping class": (class_name("mapping", "MappingNet"), "but a MappingNetwork is expected"),
    "no mapping": (gone("", "mapping", "_modules"), "no mapping or no synthesis"),
    "no synthesis": (gone("", "synthesis", "_modules"), "no mapping or no synthesis"),
    "missing module": (gone("synthesis.b8", "torgb", "_modules"), "Module synthesis.b8.torgb is missing"),
    "extra module": (module("synthesis.b8.extra", trees.module("X")), "Module synthesis.b8.extra is unknown"),
    "module None": (module(LAYER, None), "is not a module"),
    "module a dict": (module(LAYER, {}), "is not a module"),
    "dotted name": (module("synthesis.b8", trees.module("SynthesisBlock", modules={"a.b": 1})), "proper name"),
    "no parameters": (lambda tree: at(tree, LAYER).state.pop("_parameters"), "has no _parameters"),
    "parameters a list": (attribute(LAYER, "_parameters", []), "has no _parameters"),
    "missing tensor": (gone(LAYER, "weight"), "Tensor synthesis.b8.conv0.weight is missing"),
    "no w_avg": (gone("mapping", "w_avg", "_buffers"), "mapping.w_avg is missing"),
    "no noise": (gone(LAYER, "noise_const", "_buffers"), "noise_const is missing"),
    "extra tensor": (
        lambda tree: at(tree, LAYER).state["_buffers"].update(surprise=torch.ones(2)),
        "Tensor synthesis.b8.conv0.surprise is unknown",
    ),
    "tensor None": (tensor(LAYER, "weight", lambda _: None), "conv0.weight is None, but a tensor"),
    "tensor a list": (tensor(LAYER, "bias", lambda _: [0.0] * 8), "conv0.bias is of type list"),
    "wrong shape": (
        tensor(LAYER, "weight", lambda w: w[:, :5]),
        r"conv0.weight has shape \[8, 5, 3, 3\], but the settings in the file ask for \[8, 10, 3, 3\]",
    ),
    "one axis more": (tensor(LAYER, "bias", lambda b: b[None]), r"shape \[1, 8\], but .* \[8\]"),
    "scalar with an axis": (tensor(LAYER, "noise_strength", lambda s: s[None]), r"shape \[1\], but .* \[\]"),
    "wrong size of noise": (tensor(LAYER, "noise_const", lambda n: n[:4, :4], "_buffers"), r"\[4, 4\], .* \[8, 8\]"),
    "integers": (tensor(LAYER, "bias", lambda b: b.long()), "conv0.bias holds int64 numbers"),
    "complex": (tensor(LAYER, "bias", lambda b: b + 0j), "holds complex64 numbers"),
    "doubles": (tensor(LAYER, "bias", lambda b: b.double()), "holds float64 numbers"),
    "booleans": (tensor(LAYER, "bias", lambda b: b > 0), "holds bool numbers"),
    "sparse": (tensor("mapping.fc0", "weight", lambda w: w.to_sparse()), "not a dense tensor"),
    "without memory": (tensor("mapping.fc0", "weight", lambda w: w.to("meta")), "not a dense tensor"),
    "NaN": (tensor(LAYER, "weight", lambda w: w * float("nan")), "conv0.weight holds NaN or infinity"),
    "one infinity": (
        tensor("mapping", "w_avg", lambda w: w.clone().index_fill_(0, torch.tensor(3), torch.inf), "_buffers"),
        "w_avg holds NaN",
    ),
    "other filter": (
        tensor(LAYER, "resample_filter", lambda f: f * 2, "_buffers"),
        "conv0.resample_filter is not the filter of the other",
    ),
    "filter None": (tensor(LAYER, "resample_filter", lambda _: None, "_buffers"), "resample_filter is None"),
    "conditional": (setting("c_dim", 10), "c_dim of module G_ema is 0, but 10"),
    "grey": (setting("img_channels", 1), "img_channels of module G_ema is 3, but 1"),
    "resolution not a power": (setting("img_resolution", 12), "power of two"),
    "resolution a text": (setting("img_resolution", "16"), "resolution is '16'"),
    "resolution of other blocks": (setting("img_resolution", 32), "num_ws of module G_ema is 6, but 8"),
    "resolution a bomb": (setting("img_resolution", 2**60), "from 4 to 4096"),
    "huge number": (setting("z_dim", 10**600), "z_dim is 1000"),
    "z_dim missing": (lambda tree: at(tree, "").state["_init_kwargs"].pop("z_dim"), "lack z_dim"),
    "unnamed settings": (attribute("", "_init_args", (1,)), "positional arguments"),
    "no settings": (lambda tree: at(tree, "").state.pop("_init_kwargs"), "no attribute _init_kwargs"),
    "settings a list": (attribute("", "_init_kwargs", []), "not a dictionary"),
    "unknown setting": (setting("attention", True), r"unknown names \(attention\)"),
    "unknown synthesis setting": (synthesis_setting("demodulate", False), r"\(demodulate\)"),
    "unknown mapping setting": (mapping_setting("skip", 1), r"\(skip\)"),
    "setting a tensor": (synthesis_setting("channel_max", torch.ones(3)), "of type Tensor"),
    "setting a list of lists": (setting("w_dim", [[1], [2]]), "of type list"),
    "channels": (synthesis_setting("channel_max", 9), r"b4.* is 10|in_channels|weight_gain"),
    "channels a bomb": (synthesis_setting("channel_base", 2**40), "channel_base"),
    "architecture": (synthesis_setting("architecture", "dense"), "'skip', 'resnet' or 'orig'"),
    "another filter": (synthesis_setting("resample_filter", [1, 2, 1]), "resample_filter"),
    "no noise inputs": (synthesis_setting("use_noise", False), "use_noise"),
    "activation": (synthesis_setting("activation", "relu"), "activation of the synthesis network is 'relu'"),
    "mapping activation": (mapping_setting("activation", "linear"), "activation of the mapping network"),
    "mapping width": (mapping_setting("layer_features", 99), "weight_gain of module mapping.fc1"),
    "mapping width a text": (mapping_setting("layer_features", "8"), "layer_features is '8'"),
    "mapping width a bomb": (mapping_setting("layer_features", 2**40), "layer_features is 1099511627776"),
    "mapping layers": (mapping_setting("num_layers", 10**9), "mapping_layers"),
    "layer without noise": (attribute(LAYER, "use_noise", False), "use_noise of module synthesis.b8.conv0 is False"),
    "layer activation": (attribute(LAYER, "activation", "sin"), "activation of module .* is 'sin'"),
    "layer up": (attribute(LAYER, "up", 1), "up of module synthesis.b8.conv0 is 1, but 2"),
    "clamps differ": (attribute("synthesis.b16.torgb", "conv_clamp", None), "conv_clamp of module synthesis.b16.torgb"),
    "clamp a text": (attribute("synthesis.b4.conv1", "conv_clamp", "256"), "conv_clamp is '256'"),
    "gain": (attribute("mapping.fc1", "weight_gain", 1.0), "weight_gain of module mapping.fc1 is 1.0"),
    "gain huge": (attribute("mapping.fc1", "weight_gain", 10**400), "weight_gain of module mapping.fc1"),
    "gain a tensor": (attribute("mapping.fc1", "weight_gain", torch.ones(3)), "of type Tensor"),
    "no gain": (lambda tree: at(tree, LAYER).state.pop("act_gain"), "no attribute act_gain"),
    "attribute against settings": (attribute("", "z_dim", 7), "z_dim of module G_ema is 7, but 6"),
}


@pytest.mark.parametrize("case", BROKEN_ADA)
def test_broken_ada_trees(case):
    change, message = BROKEN_ADA[case]
    tree = ada()
    change(tree)
    with pytest.raises(WeightFileError, match=message) as error:
        nvidia_torch.convert(tree)
    assert str(error.value).isprintable()


def test_modules_without_end():
    """A module that contains itself (a reader would refuse it before) does not hang the converter."""
    tree = ada()
    at(tree, "synthesis").state["_modules"]["again"] = at(tree, "synthesis")
    with pytest.raises(WeightFileError, match="nested without end"):
        nvidia_torch.convert(tree)


def test_attributes_are_not_walked():
    """4 ** 40 leaves in an attribute, in a setting that nobody reads, and in one that is compared."""
    laughs = ["ha"] * 4
    for _ in range(40):
        laughs = [laughs] * 4
    tree = ada()
    at(tree, LAYER).state["joke"] = laughs
    start = time.perf_counter()
    nvidia_torch.convert(tree)
    for change in (attribute(LAYER, "up", laughs), setting("joke", laughs), setting("w_dim", laughs)):
        broken = ada()
        change(broken)
        with pytest.raises(WeightFileError, match="of type list"):
            nvidia_torch.convert(broken)
    networks = trees.tensorflow(small_generator(trees.CONFIG1), 32, 10)
    networks[2].state["static_kwargs"]["structure"] = laughs
    with pytest.raises(WeightFileError, match="of type list"):
        nvidia_tf.convert(networks)
    assert time.perf_counter() - start < 5


def test_settings_that_describe_petabytes_cost_nothing():
    """Each setting is within its own bounds; together they ask for 10^11 numbers. Nothing is allocated for them."""
    tree = ada(flat=True)
    kwargs = at(tree, "").state["_init_kwargs"]
    kwargs |= {"channel_base": 2**22, "channel_max": 60000, "img_resolution": 16}
    config = StyleGAN2Config(16, **SIZES, channels=(60000,) * 3, conv_clamp=256)
    for k, block in enumerate(config.channels):  # attributes that agree
        r = 4 * 2**k
        at(tree, f"synthesis.b{r}").state["in_channels"] = 60000 if k else 0
        at(tree, f"synthesis.b{r}.torgb").state["weight_gain"] = block**-0.5
    start = time.perf_counter()
    with pytest.raises(WeightFileError, match="network of 1.6e.11 numbers"):
        nvidia_torch.convert(tree)
    assert time.perf_counter() - start < 2


def test_a_tensor_that_shows_one_number_many_times():
    """Its shape is right, but its memory holds one number: it must not be filled out."""
    tree = ada()
    at(tree, LAYER).state["_parameters"]["weight"] = torch.ones(1, 1, 1, 1).expand(8, 10, 3, 3)
    with pytest.raises(WeightFileError, match="claims more numbers"):
        nvidia_torch.convert(tree)


def test_half_precision_files_are_read():
    source = small_generator(trees.CONFIG2)
    tree = trees.ada(source, 64, 10)
    weight = at(tree, LAYER).state["_parameters"]["weight"]
    at(tree, LAYER).state["_parameters"]["weight"] = weight.half()
    result = nvidia_torch.convert(tree).synthesis.blocks[1].conv0.weight
    assert result.dtype == torch.float32 and torch.equal(result, weight.half().float())


BROKEN3 = {
    "filter None": (tensor("synthesis.L1_36_6", "up_filter", lambda _: None, "_buffers"), "L1_36_6.up_filter is None"),
    "filter length": (
        tensor("synthesis.L1_36_6", "down_filter", lambda f: f[:-1], "_buffers"),
        r"shape \[11\], but .* \[12\]",
    ),
    "filter of toRGB": (
        tensor("synthesis.L14_16_3", "up_filter", lambda _: torch.ones(12), "_buffers"),
        "toRGB has no filters",
    ),
    "magnitude zero": (
        tensor("synthesis.L2_36_6", "magnitude_ema", torch.zeros_like, "_buffers"),
        "magnitude_ema is not above zero",
    ),
    "size": (attribute("synthesis.L1_36_6", "in_size", np.array([36, 37])), "in_size of module"),
    "size a long array": (attribute("synthesis.L1_36_6", "in_size", np.zeros(10**6, int)), "in_size of module"),
    "kernel": (setting("conv_kernel", 1), r"shape \[6, 6, 3, 3\], but .* \[6, 6, 1, 1\]"),
    "layers": (setting("num_layers", 10**6), "num_layers"),
    "margin": (setting("margin_size", 5), "is unknown"),
    "cutoff": (setting("first_cutoff", float("nan")), "first_cutoff is nan"),
    "scale": (setting("output_scale", 1.0), "output_scale of module synthesis"),
    "clamp": (setting("conv_clamp", None), "conv_clamp of module synthesis.L0"),
    "radial": (setting("use_radial_filters", True), r"shape \[12\], but .* \[12, 12\]"),
    "unknown": (setting("use_noise", True), r"\(use_noise\)"),
    "no frequencies": (gone("synthesis.input", "freqs", "_buffers"), "freqs is missing"),
    "bandwidth": (attribute("synthesis.input", "bandwidth", 3.0), "bandwidth of module synthesis.input"),
}


@pytest.mark.parametrize("case", BROKEN3)
def test_broken_stylegan3_trees(case):
    change, message = BROKEN3[case]
    tree = trees.stylegan3(small_generator(trees.CONFIG3))
    change(tree)
    with pytest.raises(WeightFileError, match=message):
        nvidia_torch.convert(tree)


BROKEN_ROS = {
    "average a list": (lambda t: t.update(latent_avg=[0.0] * 8), "latent_avg is of type list"),
    "grey and coloured": (lambda t: t["g_ema"].update({"to_rgb1.bias": torch.ones(1, 1, 1, 1)}), "grey network"),
    "some noise maps": (lambda t: t["g_ema"].pop("noises.noise_1"), "noises.noise_1 is missing"),
    "mapping width": (lambda t: t["g_ema"].update({"style.1.weight": torch.ones(9, 6)}), r"but .* \[8, 9\]|\[9\]"),
    "g_ema a tensor": (lambda t: t.update(g_ema=torch.ones(3)), "not a dictionary"),
    "empty": (lambda t: t.update(g_ema={}), "style.1.weight is missing"),
    "numbers as names": (lambda t: t["g_ema"].update({3: torch.ones(1)}), "not a dictionary"),
    "missing": (lambda t: t["g_ema"].pop("convs.2.conv.weight"), "convs.2.conv.weight is missing"),
    "missing in the middle": (lambda t: t["g_ema"].pop("to_rgbs.0.bias"), "missing|unknown"),
    "extra": (lambda t: t["g_ema"].update(surprise=torch.ones(1)), "surprise is unknown"),
    "shape": (
        lambda t: t["g_ema"].update({"convs.0.conv.weight": torch.ones(1, 8, 9, 3, 3)}),
        r"\[1, 8, 9, 3, 3\], but the settings in the file ask for \[1, 8, 10, 3, 3\]",
    ),
    "axes": (lambda t: t["g_ema"].update({"convs.1.conv.weight": torch.ones(8, 8, 3, 3)}), "does not have 5 axes"),
    "NaN": (lambda t: t["g_ema"].update({"noises.noise_1": torch.full((1, 1, 8, 8), torch.nan)}), "noise_1 holds NaN"),
    "other filter": (
        lambda t: t["g_ema"].update({"to_rgbs.1.upsample.kernel": torch.ones(4, 4)}),
        "to_rgbs.1.upsample.kernel is not the filter",
    ),
    "filter size": (lambda t: t["g_ema"].update({"convs.0.conv.blur.kernel": torch.ones(3, 3)}), "4x4 filter"),
    "no filter": (lambda t: t["g_ema"].pop("convs.2.conv.blur.kernel"), "is None"),
    "filter NaN": (
        lambda t: t["g_ema"].update({"convs.0.conv.blur.kernel": torch.full((4, 4), torch.nan)}),
        "4x4 filter",
    ),
}


@pytest.mark.parametrize("case", BROKEN_ROS)
def test_broken_rosinality_trees(case):
    change, message = BROKEN_ROS[case]
    tree = trees.rosinality(small_generator(trees.PLAIN2))
    change(tree)
    with pytest.raises(WeightFileError, match=message):
        rosinality.convert(tree)
