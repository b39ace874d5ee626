"""Train, distil, measure and export the networks of this project: `python -m training COMMAND --help`."""

import argparse
import importlib
import sys

from i2s.device import OutOfMemoryError
from i2s.errors import DeviceError, I2SError

# Each command is a module with add_arguments(parser) and run(options), which returns the exit code
COMMANDS = {
    "train": "train a generator on a zip of faces",
    "distill-adain": "distil a StyleGAN1 from a StyleGAN2",
    "distill-perceptual": "distil the slim perceptual network from its teachers",
    "evaluate": "measure a generator: metrics, tables and contact sheets",
    "evaluate-perceptual": "measure the slim perceptual network against its teachers",
    "export": "export a run's checkpoint to the files that ship",
    "people": "embed the people of lesson 5",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    listed = "\n".join(f"  {name:<22}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=f"commands:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the above; has its own --help")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="of the command")
    options = parser.parse_args(arguments)

    # Only the command's module is imported: training needs neither notebooks nor plots
    command = options.command
    module = importlib.import_module(f"training.{command.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"python -m training {command}", description=f"{COMMANDS[command]}.")
    module.add_arguments(parser)
    try:
        return module.run(parser.parse_args(options.arguments))
    except OutOfMemoryError:
        print(f"The device has too little memory for {command}: free some of it.", file=sys.stderr)
        return DeviceError.exit_code
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
