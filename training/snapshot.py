"""One small file from which a run can go on elsewhere: generator and discriminator in half precision.

What ships anyway is not stored twice: the moving average is the shipped generator, the encoder the shipped encoder.
The optimisers start afresh.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from i2s.encoder import load_encoder
from i2s.errors import SettingsError, WeightFileError, one_line
from i2s.files import write_atomically
from i2s.generators import load_generator
from training.checkpoint import load_checkpoint
from training.trainer import Trainer

FORMAT = "i2s-training-snapshot"
PARTS = ("g.", "d.")
KEPT = ("phase", "images", "total", "seconds", "augment")


def save_snapshot(run: str | Path, path: str | Path) -> Path:
    """Write the newest checkpoint of `run` as a snapshot. SettingsError (no checkpoint), OutputError."""
    found = load_checkpoint(run)
    if found is None:
        raise SettingsError(f"There is no checkpoint in {run}: give the folder of a run.")
    tensors, state = found
    small = {name: _half(value) for name, value in tensors.items() if name.startswith(PARTS)}
    metadata = {"format": FORMAT, "state": json.dumps({name: state[name] for name in KEPT})}
    return write_atomically(path, save(small, metadata))


def start_from(trainer: Trainer, path: str | Path, generator: str | Path, encoder: str | Path) -> None:
    """Put a fresh trainer where the snapshot was taken; `generator` and `encoder` are the files shipped with it.

    Errors: WeightFileError when a file is no such file, SettingsError when its networks are not the preset's.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: _full(file.get_tensor(name)) for name in file.keys()}
        known = metadata.get("format") == FORMAT
        state = {name: json.loads(metadata["state"])[name] for name in KEPT} if known else {}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightFileError(f"{path} cannot be read ({one_line(error)}): fetch it again.") from error
    if not known:
        raise WeightFileError(f"{path} is not a snapshot of a training run: give one that `export --snapshot` wrote.")
    part = lambda letter: {k[2:]: v for k, v in tensors.items() if k.startswith(letter)}  # noqa: E731
    try:
        trainer.generator.load_state_dict(part("g."))
        trainer.discriminator.load_state_dict(part("d."))
        trainer.average.load_state_dict(load_generator(generator).state_dict())
        trainer.encoder.load_state_dict(load_encoder(encoder).state_dict())
    except RuntimeError as error:
        reason = one_line(error)
        raise SettingsError(f"{path} holds networks of another preset ({reason}): choose that preset.") from error
    trainer.augment.p = state.pop("augment")
    trainer.state |= state


def _half(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def _full(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value
