"""The inert trees of official weight files, made from generators of ours: what the converters have to undo.

Written from the description of the formats, not from the converters' tables. Numbers are those of the generator.
"""

import math

import numpy as np
import torch

from i2s.generators.stylegan1 import StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2Config
from i2s.generators.stylegan3 import StyleGAN3Config, bands
from i2s.weights.object_graph import PersistentObject, TFNetwork

SIZES = {"z_dim": 6, "w_dim": 8, "mapping_layers": 2}
CONFIG2 = StyleGAN2Config(16, **SIZES, channels=(10, 8, 4), conv_clamp=256)  # min(64 / resolution, 10)
CONFIG1 = StyleGAN1Config(16, **SIZES, mapping_width=7, channels=(10, 8, 4))
CONFIG3 = StyleGAN3Config(resolution=16, **SIZES, channel_base=64, channel_max=6)


def fresh(network, config):
    """A generator with random numbers everywhere."""
    torch.manual_seed(0)
    generator = network(config).eval().requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_mean")):
            tensor.add_(torch.randn_like(tensor) * 0.2)
    return generator


def replaced(config, **changes):
    """The configuration with other values in some fields."""
    return type(config)(**(vars(config) | changes))


def module(class_name, params=(), buffers=(), modules=(), kwargs=(), **attributes) -> PersistentObject:
    state = {"_parameters": dict(params), "_buffers": dict(buffers), "_modules": dict(modules)}
    return PersistentObject(class_name, state | {"_init_args": (), "_init_kwargs": dict(kwargs)} | attributes)


def linear(layer, activation="linear", **buffers) -> PersistentObject:
    gain = layer.lr_mul / math.sqrt(layer.weight.shape[1])
    params = {"weight": layer.weight, "bias": layer.bias}
    return module("FullyConnectedLayer", params, activation=activation, weight_gain=gain, bias_gain=layer.lr_mul)


def mapping(generator, kwargs) -> PersistentObject:
    layers = {f"fc{k}": linear(layer, "lrelu") for k, layer in enumerate(generator.mapping.layers)}
    config = generator.config
    sizes = {"z_dim": config.z_dim, "c_dim": 0, "w_dim": config.w_dim, "num_ws": generator.num_ws}
    buffers = {"w_avg": generator.w_mean}
    return module("MappingNetwork", (), buffers, layers, kwargs, num_layers=config.mapping_layers, **sizes)


def top(generator, modules, kwargs) -> PersistentObject:
    config = generator.config
    sizes = {"z_dim": config.z_dim, "c_dim": 0, "w_dim": config.w_dim, "num_ws": generator.num_ws}
    image = {"img_resolution": config.resolution, "img_channels": 3}
    first = {"z_dim": config.z_dim, "c_dim": 0, "w_dim": config.w_dim, **image}
    return module("Generator", modules=modules, kwargs=first | kwargs, **sizes, **image)


def ada(generator, base: int, largest: int, flat: bool = False) -> dict:
    """A StyleGAN2 as the ADA repository pickles it, or (flat) the StyleGAN3 repository."""
    config, fir = generator.config, generator.synthesis.fir
    blocks = {}
    for k, block in enumerate(generator.synthesis.blocks):
        r = 4 * 2**k
        modules = {}
        for name, layer, up in (("conv0", block.conv0, 2), ("conv1", block.conv1, 1)):
            if layer is not None:
                params = {"weight": layer.weight, "bias": layer.bias, "noise_strength": layer.noise_strength}
                buffers = {"resample_filter": fir, "noise_const": layer.noise}
                attributes = {"resolution": r, "up": up, "use_noise": True, "activation": "lrelu", "padding": 1}
                attributes |= {"conv_clamp": config.conv_clamp, "act_gain": np.float64(math.sqrt(2))}
                affine = {"affine": linear(layer.affine)}
                modules[name] = module("SynthesisLayer", params, buffers, affine, **attributes)
        if block.to_rgb is not None:
            params = {"weight": block.to_rgb.weight, "bias": block.to_rgb.bias}
            gain = 1 / math.sqrt(config.channels[k])
            affine = {"affine": linear(block.to_rgb.affine)}
            attributes = {"conv_clamp": config.conv_clamp, "weight_gain": gain}
            modules["torgb"] = module("ToRGBLayer", params, (), affine, **attributes)
        before = config.channels[k - 1] if k else 0
        if block.residual is not None:
            attributes = {"activation": "linear", "up": 2, "conv_clamp": None, "weight_gain": 1 / math.sqrt(before)}
            weight = {"weight": block.residual.weight}
            modules["skip"] = module("Conv2dLayer", weight, {"resample_filter": fir}, **attributes)
        attributes = {"resolution": r, "in_channels": before, "architecture": config.architecture}
        attributes["is_last"] = k == len(config.channels) - 1
        const = {"const": generator.synthesis.const} if k == 0 else {}
        blocks[f"b{r}"] = module("SynthesisBlock", const, {"resample_filter": fir}, modules, **attributes)
    sizes = {"w_dim": config.w_dim, "num_ws": generator.num_ws}
    synthesis = module("SynthesisNetwork", modules=blocks, **sizes)
    own = {"channel_base": base, "channel_max": largest, "num_fp16_res": 4}
    own |= {} if config.architecture == "skip" else {"architecture": config.architecture}
    inner = {"num_layers": config.mapping_layers}
    kwargs = {"mapping_kwargs": inner} | (own if flat else {"synthesis_kwargs": own})
    modules = {"synthesis": synthesis, "mapping": mapping(generator, inner)}
    return {"G": None, "D": None, "G_ema": top(generator, modules, kwargs)}


def stylegan3(generator) -> dict:
    """A StyleGAN3 as its repository pickles it."""
    config, synthesis, plan = generator.config, generator.synthesis, bands(generator.config)
    first = synthesis.input
    buffers = {"transform": first.transform, "freqs": first.freqs, "phases": first.phases}
    attributes = {"size": np.array([plan[0].size] * 2), "sampling_rate": np.float64(plan[0].rate)}
    attributes["bandwidth"] = np.float64(plan[0].cutoff)
    affine = {"affine": linear(first.affine)}
    modules = {"input": module("SynthesisInput", {"weight": first.weight}, buffers, affine, **attributes)}
    for k, layer in enumerate([*synthesis.layers, synthesis.to_rgb]):
        source, target, to_rgb = plan[max(k - 1, 0)], plan[k], k == config.num_layers
        buffers = {"magnitude_ema": layer.magnitude}
        buffers["up_filter"] = None if to_rgb else layer.up_filter
        buffers["down_filter"] = None if to_rgb else layer.down_filter
        attributes = {"up_factor": 1 if to_rgb else layer.up, "down_factor": 1 if to_rgb else layer.down}
        attributes |= {"in_size": np.array([source.size] * 2), "out_size": np.array([target.size] * 2)}
        attributes |= {"is_torgb": to_rgb, "conv_clamp": config.conv_clamp}
        params = {"weight": layer.weight, "bias": layer.bias}
        affine = {"affine": linear(layer.affine)}
        modules[f"L{k}_{target.size}_{target.channels}"] = module(
            "SynthesisLayer", params, buffers, affine, **attributes
        )
    sizes = {"w_dim": config.w_dim, "num_ws": generator.num_ws, "output_scale": config.output_scale}
    network = module("SynthesisNetwork", modules=modules, **sizes)
    kwargs = {"mapping_kwargs": {"num_layers": config.mapping_layers}, "conv_kernel": config.conv_kernel}
    kwargs |= {"channel_base": config.channel_base, "channel_max": config.channel_max}
    kwargs |= {"use_radial_filters": config.radial_filters}
    return {"G_ema": top(generator, {"synthesis": network, "mapping": mapping(generator, {})}, kwargs)}


def network(version, function, variables, components=(), kwargs=()) -> TFNetwork:
    state = {"version": version, "name": "Gs", "static_kwargs": dict(kwargs), "components": dict(components)}
    state |= {"build_module_src": "", "build_func_name": function, "variables": list(variables.items())}
    return TFNetwork(state)


def array(tensor, *axes) -> np.ndarray:
    """The numbers with their axes in another order, as TensorFlow has them."""
    values = tensor.detach().numpy()
    return np.ascontiguousarray(values.transpose(axes)) if axes else values.copy()


def tensorflow(generator, base: int, largest: int) -> tuple:
    """The 3-tuple of a TensorFlow file, StyleGAN1 or 2. The plain G has other weights, so that picking it shows."""
    config, first = generator.config, generator.kind == "stylegan1"
    inner = {}
    for k, layer in enumerate(generator.mapping.layers):
        inner |= {f"Dense{k}/weight": array(layer.weight, 1, 0), f"Dense{k}/bias": array(layer.bias)}
    variables = (_stylegan1 if first else _stylegan2)(generator)
    kwargs = {"num_channels": 3, "resolution": config.resolution, "label_size": 0, "fmap_base": base}
    kwargs |= {"fmap_max": largest, "latent_size": config.z_dim, "dlatent_size": config.w_dim}
    kwargs |= {"mapping_layers": config.mapping_layers}
    kwargs["mapping_fmaps"] = config.mapping_width if first else config.w_dim
    version = 3 if first else 4
    components = {
        "synthesis": network(version, "G_synthesis" if first else "G_synthesis_stylegan2", variables, (), kwargs),
        "mapping": network(version, "G_mapping", inner, (), kwargs | {"dlatent_broadcast": generator.num_ws}),
    }
    own = {"lod": np.float32(0), "dlatent_avg": array(generator.w_mean)}
    averaged = network(version, "G_style" if first else "G_main", own, components, kwargs)
    other = network(version, averaged.state["build_func_name"], {}, components, kwargs)
    return other, other, averaged


def _stylegan1(generator) -> dict:
    found = {"lod": np.float32(0)}
    const = generator.synthesis.const
    last = len(generator.config.channels) - 1
    for k, block in enumerate(generator.synthesis.blocks):
        r = 4 * 2**k
        for j, layer in enumerate(block.layers()):
            name = f"{r}x{r}/" + (("Const", "Conv") if k == 0 else ("Conv0_up", "Conv1"))[j]
            if layer.conv is None:
                found[f"{name}/const"] = array(const)[None]
            else:
                kernel = layer.conv.weight.detach()
                kernel = kernel.flip(2, 3) if j == 0 and r >= 128 else kernel
                found[f"{name}/weight"] = array(kernel, 2, 3, 1, 0)
            found |= {f"{name}/Noise/weight": array(layer.noise_strength), f"{name}/bias": array(layer.bias)}
            found |= {f"{name}/StyleMod/weight": array(layer.affine.weight, 1, 0)}
            found |= {f"{name}/StyleMod/bias": array(layer.affine.bias)}
            found[f"noise{2 * k + j}"] = array(layer.noise)[None, None]
        rgb, channels = generator.synthesis.to_rgb, generator.config.channels[k]
        kernel = array(rgb.weight, 2, 3, 1, 0) if k == last else np.ones((1, 1, channels, 3), np.float32)
        found |= {f"ToRGB_lod{last - k}/weight": kernel, f"ToRGB_lod{last - k}/bias": array(rgb.bias)}
    return found


def _stylegan2(generator) -> dict:
    found = {"4x4/Const/const": array(generator.synthesis.const)[None]}
    number = 0
    for k, block in enumerate(generator.synthesis.blocks):
        r = 4 * 2**k
        parts = [("Conv0_up", block.conv0), ("Conv" if k == 0 else "Conv1", block.conv1), ("ToRGB", block.to_rgb)]
        for name, layer in parts:
            if layer is None:
                continue
            kernel = layer.weight.detach()
            found[f"{r}x{r}/{name}/weight"] = array(kernel.flip(2, 3) if name == "Conv0_up" else kernel, 2, 3, 1, 0)
            found[f"{r}x{r}/{name}/mod_weight"] = array(layer.affine.weight, 1, 0)
            found[f"{r}x{r}/{name}/mod_bias"] = array(layer.affine.bias) - 1
            found[f"{r}x{r}/{name}/bias"] = array(layer.bias)
            if name != "ToRGB":
                found[f"{r}x{r}/{name}/noise_strength"] = np.float32(layer.noise_strength.item())
                found[f"noise{number}"] = array(layer.noise)[None, None]
                number += 1
    return found


def rosinality(generator) -> dict:
    """The dict of a rosinality .pt."""
    found = {}
    for k, layer in enumerate(generator.mapping.layers):
        found |= {f"style.{k + 1}.weight": layer.weight, f"style.{k + 1}.bias": layer.bias}
    found["input.input"] = generator.synthesis.const[None]
    kernel = generator.synthesis.fir * 4
    number = 0
    for k, block in enumerate(generator.synthesis.blocks):
        for layer in block.layers():
            name = "conv1" if number == 0 else f"convs.{number - 1}"
            found |= _modulated(layer, f"{name}.conv")
            if layer.up:
                found[f"{name}.conv.blur.kernel"] = kernel
            found |= {f"{name}.noise.weight": layer.noise_strength.view(1), f"{name}.activate.bias": layer.bias}
            found[f"noises.noise_{number}"] = layer.noise[None, None]
            number += 1
        name = "to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"
        found |= _modulated(block.to_rgb, f"{name}.conv")
        found[f"{name}.bias"] = block.to_rgb.bias.view(1, 3, 1, 1)
        if k > 0:
            found[f"{name}.upsample.kernel"] = kernel
    return {"g_ema": {n: t.detach() for n, t in found.items()}, "latent_avg": generator.w_mean}


def _modulated(layer, name: str) -> dict[str, torch.Tensor]:
    found = {f"{name}.weight": layer.weight[None], f"{name}.modulation.weight": layer.affine.weight}
    return found | {f"{name}.modulation.bias": layer.affine.bias}
