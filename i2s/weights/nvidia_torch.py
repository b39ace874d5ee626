"""Generators from NVIDIA's torch pickles: StyleGAN2-ADA and StyleGAN3.

Such a file is a dict whose `G_ema` is the generator: a tree of modules, each a class name and a state (parameters,
buffers, submodules, attributes). The official loader would run the source code that the file carries; here only the
object graph is read (`i2s.weights.reader`), and what the official classes would do with it is known beforehand. So
everything that could make them do something else (an attribute, a class, a filter) is compared with what is expected.
A generator may also stand alone, as `torch.save(G, ...)` writes it.
"""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from i2s.errors import SettingsError, WeightFileError, printable
from i2s.generators.base import Generator, check_resolution, check_size
from i2s.generators.file import config_errors
from i2s.generators.layers import normalize_2nd_moment
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.generators.stylegan3 import StyleGAN3, StyleGAN3Config, bands
from i2s.weights.kwargs import Settings
from i2s.weights.load_state import Source, floats_of, grey_as_rgb, load_state, tensor_of
from i2s.weights.module_tree import Expected, Tree, attribute, check_modules, modules_of, number, same, tensors_of
from i2s.weights.object_graph import PersistentObject


@dataclass(frozen=True)
class Variant:
    """Properties of an official network that ours lacks; they are folded into its tensors (`_folded`)."""

    channels: int = 3  # of the images; 1: grey, drawn as three equal channels
    classes: int = 0  # of a conditional network, whose mapping network takes the class beside z
    embedding: int = 0  # width of the embedding of a class


def convert(tree: Mapping[str, object] | PersistentObject, class_idx: int | None = None) -> Generator:
    """Convert the object graph of a file to the generator `G_ema`.

    Args:
        tree: A dictionary with the entry `G_ema`, or the generator alone.
        class_idx: The class that a conditional network draws.

    Raises:
        WeightFileError: It is no such generator, does not fit its settings, or is conditional and no class is given.
        SettingsError: There is no such class.
    """
    root = tree if isinstance(tree, PersistentObject) else tree.get("G_ema")
    if not isinstance(root, PersistentObject):
        if "mapping.w_avg" in tree:
            raise WeightFileError(
                "The file holds the tensors of a network (its state_dict) without its settings: save the network "
                "whole, with torch.save(G, ...)."
            )
        kind = "missing" if "G_ema" not in tree else "None" if root is None else f"of type {type(root).__name__}"
        raise WeightFileError(f"G_ema is {kind}: the file holds no trained generator.")
    if root.class_name != "Generator":
        raise WeightFileError(f"G_ema is a '{printable(root.class_name, 40)}', not a generator.")
    modules = modules_of(root)
    if "synthesis" not in modules or "mapping" not in modules:
        raise WeightFileError("G_ema has no mapping or no synthesis network: it is no StyleGAN generator.")
    if modules["synthesis"].class_name != "SynthesisNetwork":
        name = printable(modules["synthesis"].class_name, 40)
        raise WeightFileError(
            f"G_ema has a synthesis network of the unknown class '{name}': i2s does not read this variant."
        )
    return (_stylegan3 if "synthesis.input" in modules else _stylegan2)(modules, class_idx)


# both architectures


def _top_settings(modules: Tree, mapping_layers: int) -> tuple[dict[str, object], Variant, Settings]:
    """Return the settings that both architectures share, the variant, and other settings, still to be taken."""
    settings = Settings(attribute(modules, "", "_init_kwargs"), "the generator")
    if not same(attribute(modules, "", "_init_args"), ()):
        raise WeightFileError("The generator was built with positional arguments: i2s does not read this variant.")
    classes = settings.take_size("c_dim", 0, low=0)
    channels = settings.take_channels("img_channels")
    common = {"resolution": settings.take("img_resolution")}
    common |= {name: settings.take(name) for name in ("z_dim", "w_dim")}
    mapping = Settings(settings.take("mapping_kwargs", None) or {}, "the mapping network")
    common["mapping_layers"] = mapping.take("num_layers", mapping_layers)
    common["mapping_lr_mul"] = mapping.take("lr_multiplier", 0.01)
    mapping.expect("activation", "lrelu")
    common["mapping_width"] = mapping.take_hidden_width("layer_features", None, common)
    embedding = mapping.take("embed_features", None)
    if classes and embedding is None:
        embedding = common["w_dim"]
    if classes:
        with config_errors():
            check_size("embed_features", embedding)
    mapping.ignore("w_avg_beta")
    mapping.finish()
    return common, Variant(channels, classes, embedding if classes else 0), settings


def _expected_mapping(config: StyleGAN2Config | StyleGAN3Config, variant: Variant) -> Expected:
    top = {"z_dim": config.z_dim, "c_dim": variant.classes, "w_dim": config.w_dim, "num_ws": config.num_ws}
    image = {"img_resolution": config.resolution, "img_channels": variant.channels}
    expected: Expected = {"": ("Generator", top | image)}
    expected["mapping"] = ("MappingNetwork", top | {"num_layers": config.mapping_layers})
    if variant.classes:
        attributes = {"activation": "linear", "weight_gain": 1 / math.sqrt(variant.classes), "bias_gain": 1}
        expected["mapping.embed"] = ("FullyConnectedLayer", attributes)
    for k in range(config.mapping_layers):
        inputs = config.z_dim + variant.embedding if k == 0 else config.mapping_width or config.w_dim
        gain = config.mapping_lr_mul / math.sqrt(inputs)
        attributes = {"activation": "lrelu", "weight_gain": gain, "bias_gain": config.mapping_lr_mul}
        expected[f"mapping.fc{k}"] = ("FullyConnectedLayer", attributes)
    return expected


def _mapping_entries(config: StyleGAN2Config | StyleGAN3Config) -> dict[str, Source]:
    entries = {"mapping.w_mean": Source("mapping.w_avg")}
    for k in range(config.mapping_layers):
        for part in ("weight", "bias"):
            entries[f"mapping.layers.{k}.{part}"] = Source(f"mapping.fc{k}.{part}")
    return entries


def _folded(
    tensors: dict[str, object],
    config: StyleGAN2Config | StyleGAN3Config,
    variant: Variant,
    class_idx: int | None,
    to_rgb: list[str],
) -> dict[str, object]:
    """Fold what our networks lack into the tensors: grey images, and the class of a conditional network."""
    if variant.channels == 1:
        tensors = grey_as_rgb(tensors, {f"{path}.{part}": 0 for path in to_rgb for part in ("weight", "bias")})
    if not variant.classes:
        if class_idx is not None:
            raise SettingsError(f"class_idx is {class_idx!r}, but this network has no classes: leave it out.")
        return tensors
    last = variant.classes - 1
    if class_idx is None:
        raise WeightFileError(
            f"The network is conditional: choose one of its {variant.classes} classes with "
            f"i2s.load_generator(..., class_idx=K) or --class K, K from 0 to {last}."
        )
    if hasattr(class_idx, "__index__") and not isinstance(class_idx, bool):  # a number of NumPy's
        class_idx = operator.index(class_idx)
    check_size("class_idx", class_idx, 0, last)
    return _with_class(tensors, config, variant, class_idx)


def _with_class(
    tensors: dict[str, object], config: StyleGAN2Config | StyleGAN3Config, variant: Variant, class_idx: int
) -> dict[str, object]:
    """Make the class a bias of the first layer of the mapping network.

    The layer takes [z, y] for the embedding y of the class, so W [z, y] + b = W_z z + (W_y y + b). Its weights are
    scaled by the number of inputs, which is z_dim alone in our network.
    """
    z_dim, width = config.z_dim, variant.embedding
    inputs = z_dim + width
    outputs = config.w_dim if config.mapping_layers == 1 else config.mapping_width or config.w_dim
    shapes = {
        "mapping.embed.weight": [width, variant.classes],
        "mapping.embed.bias": [width],
        "mapping.fc0.weight": [outputs, inputs],
        "mapping.fc0.bias": [outputs],
    }
    embed, embed_bias, weight, bias = (floats_of(tensors, name, shape).double() for name, shape in shapes.items())
    y = normalize_2nd_moment((embed[:, class_idx] / math.sqrt(variant.classes) + embed_bias)[None])[0]
    found = {name: value for name, value in tensors.items() if not name.startswith("mapping.embed.")}
    found["mapping.fc0.weight"] = (weight[:, :z_dim] * math.sqrt(z_dim / inputs)).float()
    found["mapping.fc0.bias"] = (bias + weight[:, z_dim:] @ y / math.sqrt(inputs)).float()
    return found


def _affine(config: StyleGAN2Config | StyleGAN3Config) -> tuple[str, dict[str, object]]:
    gain = 1 / math.sqrt(config.w_dim)
    return "FullyConnectedLayer", {"activation": "linear", "weight_gain": gain, "bias_gain": 1}


# StyleGAN2


def _stylegan2(modules: Tree, class_idx: int | None) -> Generator:
    common, variant, settings = _top_settings(modules, mapping_layers=8)
    nested = settings.take("synthesis_kwargs", None)  # the ADA repository nests them, StyleGAN3's has them flat
    synthesis = settings if nested is None else Settings(nested, "the synthesis network")
    base, largest = synthesis.take_size("channel_base", 32768), synthesis.take_size("channel_max", 512)
    common["architecture"] = synthesis.take("architecture", "skip")
    synthesis.expect("resample_filter", [1, 3, 3, 1])
    synthesis.expect("activation", "lrelu")
    synthesis.expect("use_noise", True)
    synthesis.expect("kernel_size", 3)
    # conv_clamp is read from the layers: its default differs between the repositories
    synthesis.ignore("conv_clamp", "num_fp16_res", "fp16_channels_last", "fused_modconv_default")
    settings.finish()
    synthesis.finish()
    common["conv_clamp"] = number(attribute(modules, "synthesis.b4.conv1", "conv_clamp"))
    with config_errors():
        blocks = check_resolution(common["resolution"])
        channels = [min(base // 2**k, largest) for k in range(2, blocks + 2)]
        config = StyleGAN2Config(**common, channels=channels)
    expected = expected_stylegan2(config, variant)
    check_modules(modules, expected)
    to_rgb = [path for path in expected if path.endswith(".torgb")]
    tensors = _folded(tensors_of(modules), config, variant, class_idx, to_rgb)
    filters = [name for name in tensors if name.endswith("resample_filter")]
    _check_equal(tensors, filters)
    return load_state(StyleGAN2, config, tensors, stylegan2_entries(config), unused=filters)


def expected_stylegan2(config: StyleGAN2Config, variant: Variant = Variant()) -> Expected:
    expected = _expected_mapping(config, variant)
    expected["synthesis"] = ("SynthesisNetwork", {"w_dim": config.w_dim, "num_ws": config.num_ws})
    last = len(config.channels) - 1
    for k, channels in enumerate(config.channels):
        r = 4 * 2**k
        block = f"synthesis.b{r}"
        before = 0 if k == 0 else config.channels[k - 1]
        attributes = {"resolution": r, "in_channels": before, "architecture": config.architecture, "is_last": k == last}
        expected[block] = ("SynthesisBlock", attributes)
        layer = {"resolution": r, "use_noise": True, "activation": "lrelu", "conv_clamp": config.conv_clamp}
        layer |= {"padding": 1, "act_gain": math.sqrt(2)}
        if k > 0:
            expected[f"{block}.conv0"] = ("SynthesisLayer", layer | {"up": 2})
            expected[f"{block}.conv0.affine"] = _affine(config)
        expected[f"{block}.conv1"] = ("SynthesisLayer", layer | {"up": 1})
        expected[f"{block}.conv1.affine"] = _affine(config)
        if config.architecture == "skip" or k == last:
            attributes = {"conv_clamp": config.conv_clamp, "weight_gain": 1 / math.sqrt(channels)}
            expected[f"{block}.torgb"] = ("ToRGBLayer", attributes)
            expected[f"{block}.torgb.affine"] = _affine(config)
        if config.architecture == "resnet" and k > 0:
            attributes = {"activation": "linear", "up": 2, "conv_clamp": None, "weight_gain": 1 / math.sqrt(before)}
            expected[f"{block}.skip"] = ("Conv2dLayer", attributes)
    return expected


def stylegan2_entries(config: StyleGAN2Config) -> dict[str, Source | Tensor]:
    entries = _mapping_entries(config)
    entries["synthesis.const"] = Source("synthesis.b4.const")
    entries["synthesis.fir"] = Source("synthesis.b4.resample_filter")
    layer = ("weight", "bias", "noise_strength", "affine.weight", "affine.bias")
    for k in range(len(config.channels)):
        there, here = f"synthesis.b{4 * 2**k}", f"synthesis.blocks.{k}"
        for conv in ("conv1",) if k == 0 else ("conv0", "conv1"):
            entries |= {f"{here}.{conv}.{part}": Source(f"{there}.{conv}.{part}") for part in layer}
            entries[f"{here}.{conv}.noise"] = Source(f"{there}.{conv}.noise_const")
        if config.architecture == "skip" or k == len(config.channels) - 1:
            for part in ("weight", "bias", "affine.weight", "affine.bias"):
                entries[f"{here}.to_rgb.{part}"] = Source(f"{there}.torgb.{part}")
        if config.architecture == "resnet" and k > 0:
            entries[f"{here}.residual.weight"] = Source(f"{there}.skip.weight")
    return entries


def _check_equal(tensors: Mapping[str, object], names: list[str]) -> None:
    """Check that all low-pass filters of a StyleGAN2 are equal."""
    first = tensor_of(tensors[names[0]], names[0]) if names else None
    for name in names[1:]:
        if not torch.equal(tensor_of(tensors[name], name), first):
            raise WeightFileError(
                f"Tensor {name} is not the filter of the other layers: i2s does not read this variant."
            )


# StyleGAN3


def _stylegan3(modules: Tree, class_idx: int | None) -> Generator:
    common, variant, settings = _top_settings(modules, mapping_layers=2)
    official = {  # their name -> ours
        "channel_base": "channel_base",
        "channel_max": "channel_max",
        "num_layers": "num_layers",
        "num_critical": "num_critical",
        "first_cutoff": "first_cutoff",
        "first_stopband": "first_stopband",
        "last_stopband_rel": "last_stopband_rel",
        "margin_size": "margin",
        "output_scale": "output_scale",
        "conv_kernel": "conv_kernel",
        "filter_size": "filter_size",
        "lrelu_upsampling": "oversampling",
        "use_radial_filters": "radial_filters",
        "conv_clamp": "conv_clamp",
    }
    for there, here in official.items():
        common[here] = number(settings.take(there, getattr(StyleGAN3Config, here)))
    settings.ignore("num_fp16_res", "magnitude_ema_beta")
    settings.finish()
    with config_errors():
        config = StyleGAN3Config(**common)
    check_modules(modules, expected_stylegan3(config, variant))
    last = _layer_names(config, variant)[-1]
    tensors = _folded(tensors_of(modules), config, variant, class_idx, [last])
    for name in (f"{last}.up_filter", f"{last}.down_filter"):
        if tensors.pop(name, None) is not None:
            raise WeightFileError(f"Tensor {name} is there, but toRGB has no filters: i2s does not read this variant.")
    generator = load_state(StyleGAN3, config, tensors, stylegan3_entries(config, variant))
    if any((value <= 0).any() for name, value in generator.state_dict().items() if name.endswith("magnitude")):
        raise WeightFileError("A magnitude_ema is not above zero: the file is damaged.")
    return generator


def _layer_names(config: StyleGAN3Config, variant: Variant) -> list[str]:
    plan = bands(config)
    channels = [band.channels for band in plan[:-1]] + [variant.channels]
    return [f"synthesis.L{k}_{band.size}_{count}" for k, (band, count) in enumerate(zip(plan, channels))]


def expected_stylegan3(config: StyleGAN3Config, variant: Variant = Variant()) -> Expected:
    expected = _expected_mapping(config, variant)
    plan = bands(config)
    network = {"w_dim": config.w_dim, "num_ws": config.num_ws, "output_scale": config.output_scale}
    expected["synthesis"] = ("SynthesisNetwork", network)
    first = {"size": [plan[0].size] * 2, "sampling_rate": plan[0].rate, "bandwidth": plan[0].cutoff}
    expected["synthesis.input"] = ("SynthesisInput", first)
    expected["synthesis.input.affine"] = _affine(config)
    with torch.device("meta"):
        layers = [*(network := StyleGAN3(config)).synthesis.layers, network.synthesis.to_rgb]
    for k, (path, layer) in enumerate(zip(_layer_names(config, variant), layers)):
        source, target = plan[max(k - 1, 0)], plan[k]
        to_rgb = k == config.num_layers
        attributes = {"is_torgb": to_rgb, "conv_clamp": config.conv_clamp}
        attributes |= {"in_size": [source.size] * 2, "out_size": [target.size] * 2}
        up, down = (1, 1) if to_rgb else (layer.up, layer.down)
        attributes |= {"up_factor": up, "down_factor": down}
        expected[path] = ("SynthesisLayer", attributes)
        expected[f"{path}.affine"] = _affine(config)
    return expected


def stylegan3_entries(config: StyleGAN3Config, variant: Variant = Variant()) -> dict[str, Source]:
    entries = _mapping_entries(config)
    for part in ("weight", "affine.weight", "affine.bias", "transform", "freqs", "phases"):
        entries[f"synthesis.input.{part}"] = Source(f"synthesis.input.{part}")
    parts = ["weight", "bias", "affine.weight", "affine.bias", "magnitude", "up_filter", "down_filter"]
    for k, there in enumerate(_layer_names(config, variant)):
        to_rgb = k == config.num_layers
        here = "synthesis.to_rgb" if to_rgb else f"synthesis.layers.{k}"
        for part in parts[:5] if to_rgb else parts:
            entries[f"{here}.{part}"] = Source(f"{there}.{part.replace('magnitude', 'magnitude_ema')}")
    return entries
