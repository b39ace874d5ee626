"""Object graphs of official weight files, made from generators of ours by the converters' tables read backwards.

That the tables are those of the official formats is tested in tests/generators/test_parity.py, with official files, and
in test_converters.py, with digests of graphs that were written out by hand. The settings, and what else a file holds,
are written out here.
"""

from dataclasses import replace

import numpy as np
import torch
from helpers import SIZES

from i2s.generators.stylegan1 import StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2Config
from i2s.generators.stylegan3 import StyleGAN3Config
from i2s.weights import nvidia_tf, nvidia_torch
from i2s.weights.load_state import Source
from i2s.weights.nvidia_tf import flipped
from i2s.weights.object_graph import PersistentObject, TFNetwork
from i2s.weights.rosinality import stylegan2_entries

CONFIG1 = StyleGAN1Config(16, **SIZES, mapping_width=7, channels=(10, 8, 4))
CONFIG2 = StyleGAN2Config(16, **SIZES, channels=(10, 8, 4), conv_clamp=256)  # min(64 / resolution, 10)
CONFIG3 = StyleGAN3Config(resolution=16, **SIZES, channel_base=64, channel_max=6)
PLAIN2 = replace(CONFIG2, conv_clamp=None)


def values(generator, entries) -> dict[str, tuple[str, torch.Tensor]]:
    """Name in the file -> name in the generator, and the tensor as the file has it."""
    state, found = generator.state_dict(), {}
    for ours, source in entries.items():
        if not isinstance(source, Source):
            continue
        tensor = state[ours]
        if source.then is not None:
            tensor = tensor.flip(2, 3) if source.then is flipped else tensor - 1
        if source.layout:
            there, _, here = source.layout.partition("->")
            tensor = tensor.permute([here.index(axis) for axis in there if axis != "1"])
            for k, axis in enumerate(there):
                tensor = tensor.unsqueeze(k) if axis == "1" else tensor
        found[source.name] = ours, tensor
    return found


def module(class_name, modules=(), kwargs=(), **attributes) -> PersistentObject:
    state = {"_parameters": {}, "_buffers": {}, "_modules": dict(modules)}
    return PersistentObject(class_name, state | {"_init_args": (), "_init_kwargs": dict(kwargs)} | attributes)


def _modules(generator, expected, entries, buffers, kwargs) -> dict[str, PersistentObject]:
    """The modules of a torch pickle by path; `buffers` are further ones, by their full names."""
    modules = {}
    for path, (class_name, attributes) in sorted(expected.items()):  # parents first
        modules[path] = module(class_name, **attributes)
        for name, value in attributes.items():  # official files have some as numpy's
            if isinstance(value, list) or name in ("act_gain", "sampling_rate", "bandwidth"):
                modules[path].state[name] = np.array(value) if isinstance(value, list) else np.float64(value)
        if path:
            parent, _, last = path.rpartition(".")
            modules[parent].state["_modules"][last] = modules[path]
    trained = {name for name, _ in generator.named_parameters()}
    for name, (ours, tensor) in values(generator, entries).items():
        path, _, last = name.rpartition(".")
        modules[path].state["_parameters" if ours in trained else "_buffers"][last] = tensor
    for name, tensor in buffers.items():
        path, _, last = name.rpartition(".")
        modules[path].state["_buffers"][last] = tensor
    config = generator.config
    own = {"z_dim": config.z_dim, "c_dim": 0, "w_dim": config.w_dim}
    own |= {"img_resolution": config.resolution, "img_channels": 3}
    modules[""].state["_init_kwargs"] = own | kwargs
    return modules


def ada(generator, base: int, largest: int, flat: bool = False) -> dict:
    """A StyleGAN2 as the ADA repository pickles it, or (flat) the StyleGAN3 repository."""
    config = generator.config
    own = {"channel_base": base, "channel_max": largest, "num_fp16_res": 4}
    own |= {} if config.architecture == "skip" else {"architecture": config.architecture}
    inner = {"num_layers": config.mapping_layers}
    inner |= {"layer_features": config.mapping_width} if config.mapping_width else {}
    kwargs = {"mapping_kwargs": inner} | (own if flat else {"synthesis_kwargs": own})
    expected = nvidia_torch.expected_stylegan2(config)
    filtered = ("SynthesisBlock", "SynthesisLayer", "Conv2dLayer")
    filters = [f"{path}.resample_filter" for path, (name, _) in expected.items() if name in filtered]
    buffers = dict.fromkeys(filters, generator.synthesis.fir)
    modules = _modules(generator, expected, nvidia_torch.stylegan2_entries(config), buffers, kwargs)
    modules["mapping"].state["_init_kwargs"] = inner
    return {"G": None, "D": None, "G_ema": modules[""]}


def stylegan3(generator) -> dict:
    """A StyleGAN3 as its repository pickles it."""
    config = generator.config
    inner = {"num_layers": config.mapping_layers}
    inner |= {"layer_features": config.mapping_width} if config.mapping_width else {}
    kwargs = {"mapping_kwargs": inner, "conv_kernel": config.conv_kernel}
    kwargs |= {"channel_base": config.channel_base, "channel_max": config.channel_max}
    kwargs |= {"use_radial_filters": config.radial_filters}
    expected = nvidia_torch.expected_stylegan3(config)
    to_rgb = next(path for path, (_, attributes) in expected.items() if attributes.get("is_torgb"))
    buffers = {f"{to_rgb}.up_filter": None, f"{to_rgb}.down_filter": None}
    return {"G_ema": _modules(generator, expected, nvidia_torch.stylegan3_entries(config), buffers, kwargs)[""]}


def network(version, function, variables, components=(), kwargs=()) -> TFNetwork:
    state = {"version": version, "name": "Gs", "static_kwargs": dict(kwargs), "components": dict(components)}
    state |= {"build_module_src": "", "build_func_name": function, "variables": list(variables.items())}
    return TFNetwork(state)


def tensorflow(generator, base: int, largest: int) -> tuple:
    """The 3-tuple of a TensorFlow file, StyleGAN1 or 2. The plain G has other weights, so that picking it shows."""
    config, first = generator.config, generator.kind == "stylegan1"
    entries = nvidia_tf.stylegan1_entries(config, "auto") if first else nvidia_tf.stylegan2_entries(config)
    parts = {"mapping": {}, "synthesis": {}, "": {"lod": np.float32(0)}}
    for name, (_, tensor) in values(generator, entries).items():
        part, _, rest = name.partition("/")
        array = np.ascontiguousarray(tensor.detach().numpy()) if tensor.ndim else np.float32(tensor.item())
        parts[part if rest else ""][rest or name] = array
    if first:  # readouts of the stages of growing
        parts["synthesis"]["lod"] = np.float32(0)
        for lod, channels in enumerate(config.channels[-2::-1], start=1):
            parts["synthesis"][f"ToRGB_lod{lod}/weight"] = np.ones((1, 1, channels, 3), np.float32)
            parts["synthesis"][f"ToRGB_lod{lod}/bias"] = np.ones(3, np.float32)
    kwargs = {"num_channels": 3, "resolution": config.resolution, "label_size": 0, "fmap_base": base}
    kwargs |= {"fmap_max": largest, "latent_size": config.z_dim, "dlatent_size": config.w_dim}
    kwargs |= {"mapping_layers": config.mapping_layers}
    kwargs["mapping_fmaps"] = config.mapping_width or config.w_dim
    version = 3 if first else 4
    function = "G_synthesis" if first else "G_synthesis_stylegan2"
    broadcast = kwargs | {"dlatent_broadcast": generator.num_ws}
    components = {
        "synthesis": network(version, function, parts["synthesis"], (), kwargs),
        "mapping": network(version, "G_mapping", parts["mapping"], (), broadcast),
    }
    averaged = network(version, "G_style" if first else "G_main", parts[""], components, kwargs)
    other = network(version, averaged.state["build_func_name"], {}, components, kwargs)
    return other, other, averaged


def rosinality(generator) -> dict:
    """The dict of a rosinality .pt."""
    config, fir = generator.config, generator.synthesis.fir
    found = {name: tensor.detach() for name, (_, tensor) in values(generator, stylegan2_entries(config, fir)).items()}
    for k in range(len(config.channels) - 1):
        found |= {f"convs.{2 * k}.conv.blur.kernel": fir * 4, f"to_rgbs.{k}.upsample.kernel": fir * 4}
    average = found.pop("latent_avg")
    return {"g_ema": found, "latent_avg": average}


def modules(tree) -> dict[str, PersistentObject]:
    """The modules of `G_ema` by path."""
    return nvidia_torch.modules_of(tree["G_ema"])


def make_grey(tree) -> None:
    """Keep the first colour of a torch pickle's network."""
    found = modules(tree)
    found[""].state["_init_kwargs"]["img_channels"] = found[""].state["img_channels"] = 1
    for path, module in found.items():
        if module.class_name == "ToRGBLayer" or module.state.get("is_torgb"):
            parameters = module.state["_parameters"]
            parameters |= {name: parameters[name][:1] for name in ("weight", "bias")}
        if module.state.get("is_torgb"):
            layers = found["synthesis"].state["_modules"]
            last = path.rpartition(".")[2]
            layers[last.rpartition("_")[0] + "_1"] = layers.pop(last)


def make_grey_tensorflow(tree) -> None:
    """Keep the first colour of a TensorFlow file's network."""
    networks = [tree[2], *tree[2].state["components"].values()]
    for network in networks:
        network.state["static_kwargs"]["num_channels"] = 1
        network.state["variables"] = [
            (name, value[..., :1] if "ToRGB" in name and not name.endswith(("mod_weight", "mod_bias")) else value)
            for name, value in network.state["variables"]
        ]


def make_conditional(tree, classes: int, embedding: int | None = None) -> None:
    """Give a torch pickle's network classes, with random weights."""
    found = modules(tree)
    kwargs = found[""].state["_init_kwargs"]
    width = embedding or kwargs["w_dim"]
    inputs = kwargs["z_dim"] + width
    kwargs["c_dim"] = found[""].state["c_dim"] = found["mapping"].state["c_dim"] = classes
    if embedding:
        kwargs["mapping_kwargs"]["embed_features"] = embedding
    first = found["mapping.fc0"].state
    first["weight_gain"] = 0.01 / inputs**0.5
    first["_parameters"]["weight"] = 100 * torch.randn(len(first["_parameters"]["weight"]), inputs)
    gains = {"activation": "linear", "weight_gain": classes**-0.5, "bias_gain": 1}
    embed = module("FullyConnectedLayer", **gains)
    embed.state["_parameters"] = {"weight": torch.randn(width, classes), "bias": torch.randn(width)}
    found["mapping"].state["_modules"]["embed"] = embed
