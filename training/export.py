"""Export a run's checkpoint to the files that ship.

    python -m training export --run runs/cpu-64/best --out data/faces-64.safetensors \
        --encoder data/encoder-64.safetensors --text licence=MIT --text "data=3,616 faces, see faces-64.md"

The generator is the moving average of the run's, in half precision, with its mean latent, its noise maps and the
statistics of W; `--text` adds metadata.
"""

import argparse
import dataclasses
from pathlib import Path

import torch
from torch import nn

from i2s.encoder import Encoder, save_encoder
from i2s.errors import SettingsError
from i2s.files import with_prefix
from i2s.generators.base import Generator
from i2s.generators.file import save_generator
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.latents import latent_statistics
from training.checkpoint import load_checkpoint, load_state_or_raise, save_discriminator
from training.configs import TrainConfig
from training.warm_start import scale_latent_std


def read_run(folder: str | Path) -> tuple[StyleGAN2, Encoder, dict]:
    """Read (averaged generator, encoder, state) from the checkpoint of a run.

    Raises:
        SettingsError: There is none, or it is of another command.
        WeightFileError: It is damaged.
    """
    found = load_checkpoint(folder)
    if found is None:
        raise SettingsError(f"There is no checkpoint in {folder}: give the folder of a run.")
    tensors, state = found
    if not {"config", "phase", "images", "total"} <= state.keys():
        raise SettingsError(f"The checkpoint in {folder} is of another command: give the folder of a generator's run.")
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    config = TrainConfig(**{name: value for name, value in state["config"].items() if name in known})
    shape = StyleGAN2Config(config.resolution, config.z_dim, config.w_dim, channels=config.channels)
    networks = {"g_ema": StyleGAN2(shape), "e": Encoder(config.encoder_channels, config.w_dim)}
    for name, network in networks.items():
        load_state_or_raise(network, with_prefix(tensors, f"{name}."), folder)
        network.eval().requires_grad_(False)
    return networks["g_ema"], networks["e"], state


def finalize(generator: Generator, samples: int = 100_000, latent_std_scale: float = 1.0) -> Generator:
    """Round the weights to half precision, then compute the statistics of W; in place.

    In this order, so that mean and components are those of the rounded mapping network.

    Args:
        generator: The generator.
        samples: Random codes of the statistics.
        latent_std_scale: Factor of `scale_latent_std`; 1: none.
    """
    if latent_std_scale != 1:
        scale_latent_std(generator.mapping, latent_std_scale)
    round_to_half(generator)
    generator.latents = None
    with torch.no_grad():
        z = generator.sample_z(samples, seed=0)
        w = [generator.mapping(some)[:, 0].double().mean(0) for some in z.chunk(max(1, samples // 10_000))]
        generator.w_mean.copy_(torch.stack(w).mean(0))
    generator.latents = latent_statistics(generator, samples)
    return generator


def round_to_half(network: nn.Module) -> None:
    """Round each parameter to the nearest float16; it stays float32."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.half().float())


def training_text(state: dict) -> str:
    """Describe the run in one line, for the metadata."""
    adversarial = state["images"] / 1000 if state["phase"] in ("adversarial", "done") else 0.0
    rest = state["total"] / 1000 - adversarial
    text = f"{adversarial:.0f} thousand images adversarial" + (f", after {rest:.0f} as an auto-encoder" if rest else "")
    return text + (f"; Frechet distance {state['metric']:.0f}" if state.get("metric") else "")


def metadata_item(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def std_scale(text: str) -> float:
    """Parse a factor of 0.5 to 2."""
    if not 0.5 <= (value := float(text)) <= 2:
        raise argparse.ArgumentTypeError(f"{text} is not from 0.5 to 2; 1 changes nothing")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--run", type=Path, required=True, help="folder of the run, or its best/")
    parser.add_argument("--out", type=Path, required=True, help="file of the generator (.safetensors)")
    parser.add_argument("--encoder", type=Path, help="file of the encoder (.safetensors)")
    parser.add_argument("--discriminator", type=Path, help="file of the discriminator, to start another run with")
    parser.add_argument("--latent-std-scale", type=std_scale, default=1.0, help="spread of random codes (default 1)")
    parser.add_argument("--text", type=metadata_item, action="append", default=[], metavar="NAME=VALUE")


def run(options: argparse.Namespace) -> int:
    """Export; the exit code."""
    generator, encoder, state = read_run(options.run)
    metadata = {"training": training_text(state)} | dict(options.text)
    finalize(generator, latent_std_scale=options.latent_std_scale)
    files = [save_generator(generator, options.out, extra_metadata={"name": options.out.stem} | metadata)]
    if options.encoder is not None:
        files.append(save_encoder(encoder, options.encoder, metadata={"generator": options.out.stem} | metadata))
    if options.discriminator is not None:
        tensors, _ = load_checkpoint(options.run)
        files.append(save_discriminator(with_prefix(tensors, "d."), options.discriminator))
    for file in files:
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, {metadata['training']}")
    return 0
