"""StyleGAN2 generators from the .pt files of the rosinality implementation.

Such a file is a dict of `g_ema` (the generator's tensors by name) and `latent_avg`. It has no settings, so the sizes of
the network are read off the tensors, each of which must then fit.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from i2s.errors import WeightFileError
from i2s.generators.base import Generator
from i2s.generators.file import config_errors
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.weights.load_state import Source, load_state, tensor_of


def convert(tree: Mapping[str, object]) -> Generator:
    """Convert the object graph of a rosinality file to the generator `g_ema`.

    Raises:
        WeightFileError: It is incomplete or of another architecture.
    """
    tensors = tree.get("g_ema")
    if not isinstance(tensors, Mapping) or not all(isinstance(name, str) for name in tensors):
        raise WeightFileError("Entry g_ema is not a dictionary of tensors: the file is damaged.")
    if "latent_avg" not in tree:
        raise WeightFileError(
            "The file has no latent_avg, the mean of w (it is a training checkpoint): use a released file."
        )
    tensors = dict(tensors) | {"latent_avg": tree["latent_avg"]}
    blocks = 1 + _count(tensors, r"to_rgbs\.(\d+)\.bias")
    first = ["conv1"] + [f"convs.{2 * k - 1}" for k in range(1, blocks)]  # the second layer of each resolution
    shape = _shape(tensors, "style.1.weight", 2)
    with config_errors():
        config = StyleGAN2Config(
            resolution=4 * 2 ** (blocks - 1),
            z_dim=shape[1],
            w_dim=shape[0],
            mapping_layers=_count(tensors, r"style\.(\d+)\.weight"),
            channels=[_shape(tensors, f"{name}.conv.weight", 5)[1] for name in first],
            scaled_epsilon=True,
        )
    blurs = [f"convs.{2 * k}.conv.blur.kernel" for k in range(blocks - 1)]
    blurs += [f"to_rgbs.{k}.upsample.kernel" for k in range(blocks - 1)]
    return load_state(StyleGAN2, config, tensors, stylegan2_entries(config, _filter(tensors, blurs)), unused=blurs)


def _count(tensors: Mapping[str, object], pattern: str) -> int:
    """Count the names of this pattern; gaps in their numbers are found when the tensors are loaded."""
    return min(sum(re.fullmatch(pattern, name) is not None for name in tensors), 64)


def _shape(tensors: Mapping[str, object], name: str, axes: int) -> list[int]:
    value = tensors.get(name)
    if not isinstance(value, Tensor) or value.ndim != axes:
        raise WeightFileError(
            f"Tensor {name} is missing or does not have {axes} axes: the file holds no StyleGAN2 generator."
        )
    return list(value.shape)


def _filter(tensors: Mapping[str, object], names: list[str]) -> Tensor:
    """Return the low-pass filter of all upsamplings, scaled to sum 1; the file has it times 4."""
    if not names:
        from i2s.generators.layers import fir_kernel

        return fir_kernel()
    kernel = tensor_of(tensors.get(names[0]), names[0])
    if list(kernel.shape) != [4, 4] or not torch.isfinite(kernel).all():
        raise WeightFileError(f"Tensor {names[0]} is not a 4x4 filter: i2s does not read this variant.")
    for name in names[1:]:
        if not torch.equal(tensor_of(tensors.get(name), name), kernel):
            raise WeightFileError(
                f"Tensor {name} is not the filter of the other layers: i2s does not read this variant."
            )
    return kernel.to(torch.float32) / 4


def stylegan2_entries(config: StyleGAN2Config, fir: Tensor) -> dict[str, Source | Tensor]:
    entries: dict[str, Source | Tensor] = {"mapping.w_mean": Source("latent_avg"), "synthesis.fir": fir}
    for k in range(config.mapping_layers):
        for part in ("weight", "bias"):
            entries[f"mapping.layers.{k}.{part}"] = Source(f"style.{k + 1}.{part}")
    entries["synthesis.const"] = Source("input.input", "1chw->chw")
    for k in range(len(config.channels)):
        here = f"synthesis.blocks.{k}"
        convs = {"conv1": "conv1"} if k == 0 else {"conv0": f"convs.{2 * k - 2}", "conv1": f"convs.{2 * k - 1}"}
        for ours, theirs in convs.items():
            noise = 0 if k == 0 else 2 * k - 1 + (ours == "conv1")
            entries |= _modulated(f"{here}.{ours}", f"{theirs}.conv")
            entries[f"{here}.{ours}.bias"] = Source(f"{theirs}.activate.bias")
            entries[f"{here}.{ours}.noise_strength"] = Source(f"{theirs}.noise.weight", "1->")
            entries[f"{here}.{ours}.noise"] = Source(f"noises.noise_{noise}", "11hw->hw")
        to_rgb = "to_rgb1" if k == 0 else f"to_rgbs.{k - 1}"
        entries |= _modulated(f"{here}.to_rgb", f"{to_rgb}.conv")
        entries[f"{here}.to_rgb.bias"] = Source(f"{to_rgb}.bias", "1c11->c")
    return entries


def _modulated(here: str, there: str) -> dict[str, Source]:
    return {
        f"{here}.weight": Source(f"{there}.weight", "1oihw->oihw"),
        f"{here}.affine.weight": Source(f"{there}.modulation.weight"),
        f"{here}.affine.bias": Source(f"{there}.modulation.bias"),
    }
