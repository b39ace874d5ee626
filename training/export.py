"""From a run's checkpoint to the files that ship.

    python -m training.export --run runs/cpu-64/best --out data/faces-64.safetensors \
        --encoder data/encoder-64.safetensors --text licence=MIT --text "data=3,616 faces, see faces-64.md"

The generator is the moving average of the run's, in half precision, with its mean latent, its noise maps and the
statistics of W; `--text` adds lines for the model card to the files' metadata.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch
from torch import nn

from i2s.encoder import save_encoder
from i2s.errors import I2SError, SettingsError
from i2s.generators.file import save_generator
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.latents import latent_statistics
from training.checkpoint import fill, load_checkpoint
from training.configs import Preset
from training.discriminators import Encoder
from training.snapshot import save_snapshot
from training.warm_start import widen


def read_run(folder: str | Path) -> tuple[StyleGAN2, Encoder, dict]:
    """(averaged generator, encoder, state) of the newest checkpoint of a run. SettingsError, WeightFileError."""
    found = load_checkpoint(folder)
    if found is None:
        raise SettingsError(f"There is no checkpoint in {folder}: give the folder of a run.")
    tensors, state = found
    if not {"preset", "phase", "images", "total"} <= state.keys():
        raise SettingsError(f"The checkpoint in {folder} is of another command: give the folder of a generator's run.")
    known = {field.name for field in dataclasses.fields(Preset)}
    preset = Preset(**{name: value for name, value in state["preset"].items() if name in known})
    config = StyleGAN2Config(preset.resolution, preset.z_dim, preset.w_dim, channels=preset.channels)
    networks = {"average": StyleGAN2(config), "e": Encoder(preset.discriminator_channels, preset.w_dim)}
    for name, network in networks.items():
        own = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
        fill(network, own, folder)
        network.eval().requires_grad_(False)
    return networks["average"], networks["e"], state


def finish(generator: StyleGAN2, samples: int = 100_000, spread: float = 1.0) -> StyleGAN2:
    """The generator as it will be read again: weights rounded to half precision, then the statistics of its W.

    In this order, so that mean and components are those of the rounded mapping network. Changes it in place.
    spread: how much wider random codes are drawn first, see `training.warm_start.widen`.
    """
    if spread != 1:
        widen(generator.mapping, spread)
    round_to_half(generator)
    generator.latents = None
    with torch.no_grad():
        z = generator.sample_z(samples, seed=0)
        w = [generator.mapping(some)[:, 0].double().mean(0) for some in z.chunk(max(1, samples // 10_000))]
        generator.w_mean.copy_(torch.stack(w).mean(0))
    generator.latents = latent_statistics(generator, samples)
    return generator


def round_to_half(network: nn.Module) -> None:
    """Round each trained weight to the nearest float16; it stays float32."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.half().float())


def training_text(state: dict) -> str:
    """One line about the run, for the metadata."""
    adversarial = state["images"] / 1000 if state["phase"] in ("adversarial", "done") else 0.0
    rest = state["total"] / 1000 - adversarial
    text = f"{adversarial:.0f} thousand images adversarial" + (f", after {rest:.0f} as an auto-encoder" if rest else "")
    return text + (f"; Frechet distance {state['metric']:.0f}" if state.get("metric") else "")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="file of the generator (.safetensors)")
    parser.add_argument("--encoder", type=Path, help="file of the encoder (.safetensors)")
    parser.add_argument("--snapshot", type=Path, help="file from which training can go on elsewhere (.safetensors)")
    parser.add_argument("--spread", type=float, default=1.0, help="random codes so many times as far from the mean")
    parser.add_argument("--text", action="append", default=[], metavar="NAME=VALUE", help="a line of metadata")
    options = parser.parse_args(arguments)
    wrong = [text for text in options.text if "=" not in text]
    if wrong:
        parser.error(f"--text is {wrong[0]!r}: give NAME=VALUE")
    if not 0.5 <= options.spread <= 2:
        parser.error(f"--spread is {options.spread}: it is from 0.5 to 2, and 1 changes nothing")
    try:
        generator, encoder, state = read_run(options.run)
        texts = {"training": training_text(state)} | dict(text.split("=", 1) for text in options.text)
        finish(generator, spread=options.spread)
        files = [save_generator(generator, options.out, extra_metadata={"name": options.out.stem} | texts)]
        if options.encoder is not None:
            files.append(save_encoder(encoder, options.encoder, notes={"generator": options.out.stem} | texts))
        if options.snapshot is not None:
            files.append(save_snapshot(options.run, options.snapshot))
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for file in files:
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, {texts['training']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
