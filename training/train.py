"""Train the course's generator: `python -m training.train --preset cpu-64 --faces faces.zip --run runs/cpu-64`.

One command, ready to be repeated: it goes on from the newest checkpoint of the run's folder, stops after
`--minutes`, and loses at most the steps since the last checkpoint when it is killed.
"""

import argparse
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import torch

from i2s.device import OutOfMemoryError
from i2s.errors import DeviceError, I2SError, one_line
from training.configs import PRESETS
from training.dataset import load_faces
from training.features import VGG19, SqueezeNet
from training.metrics import LEAST_FACES
from training.snapshot import start_from
from training.trainer import Trainer


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), required=True)
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned face pictures")
    parser.add_argument("--features", type=Path, required=True, help="SqueezeNet 1.1 weights (safetensors)")
    parser.add_argument("--vgg", type=Path, help="VGG-19 weights, for a preset with a projected discriminator")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run: checkpoints, log, sheets")
    parser.add_argument("--start", type=Path, nargs=3, metavar=("SNAPSHOT", "GENERATOR", "ENCODER"),
                        help="three shipped files from which a new run folder goes on")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=9.5, help="stop after so long (default 9.5)")
    parser.add_argument("--checkpoint-minutes", type=float, default=3.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    say = lambda text: print(text, flush=True)  # noqa: E731
    try:
        preset = PRESETS[options.preset]
        check_device(options.device)
        features = SqueezeNet(options.features)
        vgg = VGG19(options.vgg) if options.vgg else None
        faces = load_faces(options.faces, preset.resolution, LEAST_FACES)
        trainer = Trainer(preset, faces, features, options.run, options.device, options.seed, vgg)
        if options.start and trainer.state["total"] == 0:
            start_from(trainer, *options.start)
        state = trainer.state
        say(f"{options.preset} on {options.device}: {state['phase']}, {state['total'] / 1000:.0f} kimg so far")
        with stopped_by_signals(trainer) as received:
            trainer.train(options.minutes * 60, options.checkpoint_minutes * 60, say)
    except OutOfMemoryError:
        print(f"{options.device} has too little memory for {options.preset}: free some of it.", file=sys.stderr)
        return DeviceError.exit_code
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if received:
        say("Stopped; the checkpoint is written, and the same command goes on from it.")
        return 128 + received[0]
    return 0


def check_device(name: str) -> None:
    """DeviceError unless torch can compute on it."""
    try:
        torch.ones(1, device=name).sum().item()
    except (RuntimeError, AssertionError) as error:
        reason = one_line(error).rstrip(".")
        raise DeviceError(f"{name} cannot be used ({reason}): give --device cpu or cuda.") from error


@contextmanager
def stopped_by_signals(trainer: Trainer):
    """The first Ctrl-C or SIGTERM lets the step under way end, a second one ends all. Yields the signals received."""
    received = []

    def handle(number, frame):
        received.append(number)
        trainer.stop()
        signal.signal(number, before[number])

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
