"""Checkpoints: one file, from which a search that was killed goes on as if it had not been."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from i2s.errors import LatentError, OutputError, SettingsError
from i2s.files import digest, write_atomically
from i2s.losses import Sum
from i2s.tensors import read_tensors

FORMAT, VERSION = "i2s-checkpoint", 1


@dataclass(frozen=True)
class Saved:
    """A stage as a checkpoint holds it; see `loop.Search.state`."""

    tensors: dict[str, Tensor]
    notes: dict


class Checkpoint:
    """Writes the state of a run to `path` every `every` steps; does nothing without a path.

    identity: {what: text}, what the run depends on (`identity_of`); a file of another run is refused. The
    stages of a run are numbered; `stage` is the one that is being searched.
    """

    def __init__(self, path: str | Path | None, every: int, identity: dict[str, str]):
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise SettingsError(f"checkpoint_every is {every!r}, but must be a whole number of at least 1.")
        self.path, self.every, self.identity = None if path is None else Path(path), every, identity
        if self.path is not None and self.path.is_dir():
            raise OutputError(f"The checkpoint {self.path} is a folder: give the name of a file.")
        self.stage = self.updates = 0
        self._saved: Saved | None = None

    def exists(self) -> bool:
        """Whether there is something to go on from."""
        return self.path is not None and self.path.exists()

    def due(self) -> bool:
        """Whether, one more update having been made, it is time to write."""
        self.updates += 1
        return self.path is not None and self.updates % self.every == 0

    def write(self, progress: tuple[dict, dict], record: tuple[dict, dict]) -> None:
        """The whole state, as `loop.Search.state` and `Recorder.state` give it, or the file from before."""
        tensors = {f"search.{name}": tensor for name, tensor in progress[0].items()}
        tensors |= {f"record.{name}": tensor for name, tensor in record[0].items()}
        notes = {"stage": self.stage, "updates": self.updates, "search": progress[1], "record": record[1]}
        metadata = {"format": FORMAT, "version": str(VERSION), "identity": json.dumps(self.identity)}
        # a copy of each, as safetensors takes no two tensors of one memory
        whole = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
        write_atomically(self.path, save(whole, metadata | {"notes": json.dumps(notes)}))

    def read(self) -> tuple[dict[str, Tensor], dict]:
        """What `Recorder.restore` takes; `take` then gives the stage its part.

        LatentError when the file is missing, broken or no checkpoint; SettingsError when it is of another run.
        """
        try:
            with safe_open(str(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise LatentError(
                        f"{self.path} is not a checkpoint of i2s: give the file that embed(checkpoint=...) wrote."
                    )
                if int(metadata["version"]) > VERSION:
                    raise LatentError(f"{self.path} was written by a newer i2s: update i2s to go on from it.")
                self._check(json.loads(metadata["identity"]))
                notes = json.loads(metadata["notes"])
                tensors = read_tensors(file)
            parts = [
                {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
                for prefix in ("search.", "record.")
            ]
            self.stage, self.updates = notes["stage"], notes["updates"]
            self._saved = Saved(parts[0], notes["search"])
            return parts[1], notes["record"]
        except FileNotFoundError:
            raise LatentError(f"There is no checkpoint {self.path}: start without resume.") from None
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            if isinstance(error, (LatentError, SettingsError)):
                raise
            raise LatentError(
                f"The checkpoint {self.path} is broken and cannot be read: start without resume."
            ) from error

    def take(self) -> Saved | None:
        """What was read, once: for the stage that the run goes on with."""
        saved, self._saved = self._saved, None
        return saved

    def _check(self, theirs: dict[str, str]) -> None:
        other = [what for what in self.identity if theirs.get(what) != self.identity[what]]
        if other:
            raise SettingsError(
                f"The checkpoint {self.path} is of a run with other {' and '.join(other)}: "
                "give those of that run, or start without resume."
            )


def identity_of(
    photos: Tensor, generator, settings, loss: str, task: str, extra: Iterable[Tensor | None]
) -> dict[str, str]:
    """What a run's result depends on, each as a short text; tensors by the SHA-256 of their bytes."""
    return {
        "photos": digest([photos]),
        "generator": digest(generator.state_dict().values()),
        "settings": json.dumps(asdict(settings), sort_keys=True),
        "loss": loss,
        "task": task,
        "initial code or mask": digest(tensor for tensor in extra if tensor is not None),
    }


def described(part) -> str:
    """A loss or degradation as text: its class and settings, which are the same in another process."""
    if isinstance(part, Tensor):
        return digest([part])[:16]
    if hasattr(part, "describe"):
        return part.describe()
    if isinstance(part, Sum):
        return described(part.terms)
    if isinstance(part, (list, tuple)):
        return f"({', '.join(map(described, part))})"
    if part is None or isinstance(part, (bool, int, float, str, dict)):
        return repr(part)
    if hasattr(part, "__qualname__"):  # a function
        return part.__qualname__
    if isinstance(part, torch.nn.Module) or not hasattr(part, "__dict__"):
        return type(part).__name__
    return f"{type(part).__name__}({', '.join(f'{name}={described(value)}' for name, value in vars(part).items())})"
