"""Checkpoints that survive a kill: numbered folders of safetensors pieces, complete or not there at all."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

PIECE_BYTES = 15_000_000


def save_checkpoint(folder: str | Path, tensors: dict[str, Tensor], state: dict, keep: int = 1) -> Path:
    """Write tensors (pieces of at most 15 MB) and a JSON-able state as the newest checkpoint of `folder`.

    The pieces are written to a temporary folder that is renamed when complete; then older ones are removed.
    """
    folder = Path(folder)
    numbers = sorted(int(p.name.split("-")[1]) for p in folder.glob("checkpoint-*") if p.is_dir())
    final = folder / f"checkpoint-{(numbers[-1] if numbers else 0) + 1:06d}"
    temporary = folder / "writing"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for k, piece in enumerate(_pieces(tensors)):
        save_file(piece, temporary / f"piece-{k:02d}.safetensors")
    (temporary / "state.json").write_text(json.dumps(state, indent=1))
    temporary.rename(final)
    for number in numbers[: len(numbers) + 1 - keep]:
        shutil.rmtree(folder / f"checkpoint-{number:06d}", ignore_errors=True)
    return final


def load_checkpoint(folder: str | Path) -> tuple[dict[str, Tensor], dict] | None:
    """(tensors, state) of the newest checkpoint in `folder`; None where there is none."""
    found = sorted(p for p in Path(folder).glob("checkpoint-*") if (p / "state.json").is_file())
    if not found:
        return None
    tensors = {}
    for piece in sorted(found[-1].glob("piece-*.safetensors")):
        tensors |= load_file(piece)
    return tensors, json.loads((found[-1] / "state.json").read_text())


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
