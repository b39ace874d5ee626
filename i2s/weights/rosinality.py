"""StyleGAN2 generators from the .pt files of the rosinality implementation, and of what builds on it.

Such a file is a dict of `g_ema` (the generator's tensors by name) and `latent_avg`, the mean of w. It has no settings,
so the sizes of the network are read off the tensors, each of which must then fit. Three more forms of it are read: the
bare `state_dict`; checkpoints of pSp, e4e and ReStyle, in whose `state_dict` the generator is the `decoder`; and
checkpoints of training, which lack `latent_avg` (the mean of many codes takes its place). Older files lack the noise
maps, which that implementation then draws anew for each image; here they are drawn once.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from i2s.errors import WeightFileError
from i2s.generators.base import Generator
from i2s.generators.file import config_errors
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.weights.load_state import Source, grey_as_rgb, load_state, tensor_of

FIRST = "style.1.weight"  # every such generator has it


def recognizes(tree: Mapping[str, object]) -> bool:
    """True if an object graph is in one of the forms that `convert` reads."""
    return "g_ema" in tree or FIRST in _generator_in(tree.get("state_dict", tree))


def convert(tree: Mapping[str, object]) -> Generator:
    """Convert the object graph of a file to its generator.

    Raises:
        WeightFileError: It is incomplete or of another architecture.
    """
    tensors = tree["g_ema"] if "g_ema" in tree else tree.get("state_dict", tree)
    if not isinstance(tensors, Mapping) or not all(isinstance(name, str) for name in tensors):
        raise WeightFileError("Entry g_ema is not a dictionary of tensors: the file is damaged.")
    tensors = _generator_in(tensors)
    tensors.pop("latent_avg", None)
    blocks = 1 + _count(tensors, r"to_rgbs\.(\d+)\.bias")
    depth = _count(tensors, r"style\.(\d+)\.weight")
    second = ["conv1"] + [f"convs.{2 * k - 1}" for k in range(1, blocks)]  # the second layer of each resolution
    width, z_dim = _shape(tensors, FIRST, 2)
    w_dim = _shape(tensors, f"style.{max(depth, 1)}.weight", 2)[0]
    with config_errors():
        config = StyleGAN2Config(
            resolution=4 * 2 ** (blocks - 1),
            z_dim=z_dim,
            w_dim=w_dim,
            mapping_layers=depth,
            mapping_width=None if width == w_dim else width,
            channels=[_shape(tensors, f"{name}.conv.weight", 5)[1] for name in second],
            scaled_epsilon=True,
        )
    blurs = [f"convs.{2 * k}.conv.blur.kernel" for k in range(blocks - 1)]
    blurs += [f"to_rgbs.{k}.upsample.kernel" for k in range(blocks - 1)]
    entries = stylegan2_entries(config, _filter(tensors, blurs))
    if _shape(tensors, "to_rgb1.bias", 4)[1] == 1:
        names = ["to_rgb1"] + [f"to_rgbs.{k}" for k in range(blocks - 1)]
        tensors = grey_as_rgb(tensors, {f"{name}.{part}": 1 for name in names for part in ("conv.weight", "bias")})
    if not any(name.startswith("noises.") for name in tensors):
        entries |= _noise_maps(entries)
    average = _average(tree.get("latent_avg"), w_dim)
    if average is None:
        entries["mapping.w_mean"] = torch.zeros(w_dim, dtype=torch.float32, device="cpu")
    else:
        tensors["latent_avg"] = average
    generator = load_state(StyleGAN2, config, tensors, entries, unused=blurs)
    if average is None:
        generator.mapping.w_mean.copy_(generator.mapping.mean())
    return generator


def _generator_in(tensors: object) -> dict[str, object]:
    """Return the generator's tensors under their plain names: without `module.`, only those of a `decoder.`."""
    if not isinstance(tensors, Mapping) or not all(isinstance(name, str) for name in tensors):
        return {}
    found = dict(tensors)
    for prefix, others_too in (("module.", False), ("decoder.", True)):
        inside = {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
        if inside and (others_too or len(inside) == len(found)):
            found = inside
    return found


def _average(value: object, w_dim: int) -> object:
    """Return `latent_avg` as one w; None if there is none, or one for each row that are not all the same."""
    if value is None:
        return None
    rows = tensor_of(value, "latent_avg")
    if not 1 <= rows.ndim <= 3 or rows.shape[-1] != w_dim or not rows.numel():
        raise WeightFileError(f"Tensor latent_avg has shape {list(rows.shape)}, but the mean of w is [{w_dim}].")
    rows = rows.reshape(-1, w_dim)
    if not torch.isfinite(rows).all():
        raise WeightFileError("Tensor latent_avg holds NaN or infinity: the file is damaged.")
    return rows[0] if torch.allclose(rows, rows[0], atol=1e-6) else None


def _noise_maps(entries: Mapping[str, Source | Tensor]) -> dict[str, Tensor]:
    """Draw a noise map for each layer, the same ones each time."""
    rng = torch.Generator().manual_seed(0)
    names = [name for name in entries if name.endswith(".noise")]
    like = {"generator": rng, "dtype": torch.float32, "device": "cpu"}
    return {name: torch.randn([4 * 2 ** int(name.split(".")[2])] * 2, **like) for name in names}


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
