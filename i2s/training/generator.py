"""Train the course's generator: `python -m i2s.training.generator --preset cpu-64 --faces faces.zip --run runs/cpu-64`.

One command, ready to be repeated: it goes on from the newest checkpoint of the run's folder, stops after
`--minutes`, and loses at most the steps since the last checkpoint when it is killed.
"""

import argparse
import signal
import sys
from pathlib import Path

import torch

from i2s.errors import I2SError
from i2s.training.dataset import load_faces
from i2s.training.features import SqueezeNet
from i2s.training.presets import PRESETS
from i2s.training.trainer import Trainer


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m i2s.training.generator", description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), required=True)
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned face pictures")
    parser.add_argument("--features", type=Path, required=True, help="SqueezeNet 1.1 weights (safetensors)")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run: checkpoints, log, sheets")
    parser.add_argument("--minutes", type=float, default=9.5, help="stop after so long (default 9.5)")
    parser.add_argument("--checkpoint-minutes", type=float, default=3.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so the checkpoint is written
    try:
        preset = PRESETS[options.preset]
        faces = load_faces(options.faces, preset.resolution)
        trainer = Trainer(preset, faces, SqueezeNet(options.features), options.run, options.device, options.seed)
        say = lambda text: print(text, flush=True)  # noqa: E731
        say(f"{options.preset} on {options.device}: {trainer.state['phase']}, {trainer.state['total'] / 1000:.0f} kimg so far")
        trainer.train(options.minutes * 60, options.checkpoint_minutes * 60, say)
    except KeyboardInterrupt:
        print("Stopped; the checkpoint is written, and the same command goes on from it.")
        return 130
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
