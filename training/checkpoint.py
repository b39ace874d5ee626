"""Checkpoints that survive a kill: numbered folders of safetensors pieces, complete or not there at all."""

import json
import os
import re
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from i2s.errors import OutputError, WeightFileError, one_line

PIECE_BYTES = 15_000_000


def save_checkpoint(folder: str | Path, tensors: dict[str, Tensor], state: dict, keep: int = 1) -> Path:
    """Write tensors (pieces of at most 15 MB) and a JSON-able state as the newest checkpoint of `folder`.

    The pieces are written to a temporary folder that is renamed when complete; then older ones are removed, so that
    `keep` are left. OutputError (disk full, no permission) leaves the older ones as they are.
    """
    folder = Path(folder)
    older = _checkpoints(folder)
    final = folder / f"checkpoint-{(_number(older[-1]) if older else 0) + 1:06d}"
    temporary = folder / "writing"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        pieces = list(_pieces(tensors))
        for k, piece in enumerate(pieces):
            save_file(piece, temporary / f"piece-{k:02d}.safetensors")
        (temporary / "state.json").write_text(json.dumps({"pieces": len(pieces), "state": state}, indent=1))
        for file in temporary.iterdir():
            _to_disk(file)  # before the older ones go: also a power cut leaves one that is whole
        temporary.rename(final)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)  # it would keep a full disk full
        raise OutputError(f"No checkpoint can be written to {folder} ({one_line(error)}): free some space.") from error
    for path in older[: max(0, len(older) + 1 - keep)]:
        shutil.rmtree(path, ignore_errors=True)
    return final


def _to_disk(path: Path) -> None:
    """What was written to a file is on the disk when this returns."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def load_checkpoint(folder: str | Path) -> tuple[dict[str, Tensor], dict] | None:
    """(tensors, state) of the newest checkpoint in `folder`; None where there is none. WeightFileError if damaged."""
    found = [path for path in _checkpoints(Path(folder)) if (path / "state.json").is_file()]
    if not found:
        return None
    newest = found[-1]
    try:
        written = json.loads((newest / "state.json").read_text())
        if not isinstance(written, dict) or not isinstance(state := written.get("state", written), dict):
            raise ValueError("its state is no table")  # the first runs wrote the state alone
        tensors, pieces = {}, sorted(newest.glob("piece-*.safetensors"))
        for piece in pieces:
            tensors |= load_file(piece)
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightFileError(f"{newest} is damaged ({one_line(error)}): remove it, or start a new run.") from error
    if len(pieces) != written.get("pieces", len(pieces)):
        raise WeightFileError(f"{newest} is incomplete ({len(pieces)} pieces): remove it, or start a new run.")
    return tensors, state


def fill(network: nn.Module, tensors: dict[str, Tensor], folder: str | Path) -> None:
    """Put a checkpoint's tensors into a network; WeightFileError when they are another network's."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightFileError(
            f"The checkpoint in {folder} holds other networks than the {type(network).__name__} of this run: "
            "choose another folder."
        ) from error


def _checkpoints(folder: Path) -> list[Path]:
    """The numbered folders, oldest first."""
    return sorted((p for p in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", p.name)), key=_number)


def _number(path: Path) -> int:
    return int(path.name.split("-")[1])


def _pieces(tensors: dict[str, Tensor]):
    """Split by size; one tensor is never cut."""
    piece, size = {}, 0
    for name, tensor in tensors.items():
        bytes_ = tensor.numel() * tensor.element_size()
        if piece and size + bytes_ > PIECE_BYTES:
            yield piece
            piece, size = {}, 0
        piece[name] = tensor.detach().cpu().contiguous()
        size += bytes_
    yield piece


def adam_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """The optimiser's memory as a flat dict, `{parameter number}.{name}`."""
    state = optimizer.state_dict()["state"]
    return {f"{k}.{name}": torch.as_tensor(value) for k, entry in state.items() for name, value in entry.items()}


def restore_adam(optimizer: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    """Put back what `adam_tensors` gave; parameters without an entry start afresh."""
    state: dict = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
