"""Train a generator on a zip of faces: `python -m training train cpu-64 --faces faces.zip ... --run runs/cpu-64`.

Repeated, the command goes on from the checkpoint of the run's folder; killed, it loses at most the steps since then.
"""

import argparse
import functools
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from i2s.device import choose_device
from i2s.encoder import load_encoder
from i2s.errors import SettingsError
from i2s.generators import load_generator
from training.checkpoint import load_discriminator
from training.configs import CONFIGS
from training.dataset import load_faces
from training.features import VGG19, SqueezeNet
from training.metrics import MIN_FACES
from training.trainer import Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("config", choices=sorted(CONFIGS), help="configuration (training/configs.py)")
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned face images")
    parser.add_argument("--features", type=Path, required=True, help="SqueezeNet 1.1 weights (safetensors)")
    parser.add_argument("--vgg", type=Path, help="VGG-19 weights, for a projected discriminator")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run: checkpoints, log, contact sheets")
    parser.add_argument("--start", type=Path, help="weight file of a trained generator that a new run begins with")
    parser.add_argument("--start-encoder", type=Path, help="its encoder: the run begins with the adversarial phase")
    parser.add_argument("--start-discriminator", type=Path, help="and its discriminator (of export --discriminator)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long (default: at the end)")
    parser.add_argument("--checkpoint-minutes", type=float, default=3.0, help="interval of checkpoints (default 3)")
    parser.add_argument("--device", help="cpu or cuda (default: cuda if there is one)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and random numbers (default 0)")


def run(options: argparse.Namespace) -> int:
    """Train; the exit code."""
    config = CONFIGS[options.config]
    device = choose_device(options.device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    feature_net = SqueezeNet(options.features)
    vgg = VGG19(options.vgg) if options.vgg else None
    if (options.start_encoder or options.start_discriminator) and not (options.start and options.start_encoder):
        raise SettingsError("--start-discriminator needs --start-encoder, and both need --start: give all of them.")
    start = load_generator(options.start) if options.start else None
    faces = load_faces(options.faces, config.resolution, MIN_FACES)
    trainer = Trainer(config, faces, feature_net, options.run, device, options.seed, vgg, start)
    if options.start_encoder and not trainer.state["total"]:
        discriminator = options.start_discriminator and load_discriminator(options.start_discriminator)
        trainer.start_adversarial(load_encoder(options.start_encoder), discriminator)
    report = functools.partial(print, flush=True)
    state = trainer.state
    report(f"{options.config} on {device}: {state['phase']}, {state['total'] / 1000:.0f} kimg so far")
    with stopped_by_signals(trainer) as received:
        trainer.train(options.minutes * 60, options.checkpoint_minutes * 60, report)
    if received:
        report("Stopped; the checkpoint is written, and the same command goes on from it.")
        return 128 + received[0]
    return 0


@contextmanager
def stopped_by_signals(trainer: Trainer) -> Iterator[list[int]]:
    """Let the first Ctrl-C or SIGTERM end training after the current step, a second one end all.

    Yields the signals received.
    """
    received = []

    def handle(number: int, frame: object) -> None:
        received.append(number)
        trainer.stop()
        signal.signal(number, before[number])

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
