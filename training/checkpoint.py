"""Checkpoints of a training run: one safetensors file, replaced as a whole."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from i2s.errors import WeightFileError
from i2s.files import read_safetensors, write_safetensors

FILE = "checkpoint.safetensors"
FORMAT, VERSION = "i2s-training-checkpoint", 1
DISCRIMINATOR = "i2s-discriminator"


def save_checkpoint(folder: str | Path, tensors: dict[str, Tensor], state: dict) -> Path:
    """Write the checkpoint of a run; the one before stays until this one is complete and on the disk.

    Args:
        folder: Folder of the run.
        tensors: Weights, optimiser state, states of random number generators.
        state: Whatever else the run goes on from; JSON.

    Raises:
        OutputError: Disk full or no permission; the checkpoint before is untouched.
    """
    return write_safetensors(Path(folder) / FILE, tensors, FORMAT, VERSION, {"state": json.dumps(state)})


def load_checkpoint(folder: str | Path) -> tuple[dict[str, Tensor], dict] | None:
    """Return (tensors, state) of the checkpoint in `folder`, None if there is none.

    Raises:
        WeightFileError: The file is damaged or no checkpoint.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    advice = "remove it, or start a new run"
    tensors, metadata = read_safetensors(
        path, FORMAT, VERSION, WeightFileError, kind="a training checkpoint", advice=advice
    )
    try:
        state = json.loads(metadata["state"])
    except (KeyError, ValueError):
        state = None
    if not isinstance(state, dict):
        raise WeightFileError(f"{path} is damaged: {advice}.")
    return tensors, state


def save_discriminator(tensors: dict[str, Tensor], path: str | Path) -> Path:
    """Write a discriminator's state in half precision, from which another run can start.

    Raises:
        OutputError: The file cannot be written.
    """
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    return write_safetensors(path, half, DISCRIMINATOR, 1)


def load_discriminator(path: str | Path) -> dict[str, Tensor]:
    """Return the state that `save_discriminator` wrote, in float32.

    Raises:
        WeightFileError: The file is damaged or no discriminator.
    """
    tensors, _ = read_safetensors(
        path, DISCRIMINATOR, 1, WeightFileError, kind="a discriminator", advice="give one that export wrote"
    )
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def load_state_or_raise(network: nn.Module, tensors: dict[str, Tensor], folder: str | Path) -> None:
    """Load a checkpoint's tensors into a network.

    Raises:
        WeightFileError: They are another network's.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightFileError(
            f"The checkpoint in {folder} holds other networks than the {type(network).__name__} of this run: "
            "choose another folder."
        ) from error


def adam_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """State of the optimiser as a flat dict, `{parameter number}.{name}`."""
    state = optimizer.state_dict()["state"]
    return {f"{k}.{name}": torch.as_tensor(value) for k, entry in state.items() for name, value in entry.items()}


def restore_adam(optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    """Restore what `adam_tensors` returned; parameters without an entry start afresh."""
    state: dict = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
