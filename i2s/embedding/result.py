"""The result of an embedding, and its file: one safetensors file that draws the same image again, bit for bit."""

import copy
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from i2s.errors import LatentError
from i2s.files import write_atomically
from i2s.tensors import read_tensors

FORMAT, VERSION = "i2s-embedding", 2
ADDED = ("photo_steps", "endings", "loss_terms", "task", "notices")  # notes that files of version 1 lack


@dataclass(frozen=True)
class EmbedResult:
    """Codes, images and history of N embedded photos.

    w_plus: [N, num_ws, w_dim], float32. image: [N, 3, R, R], what the generator draws of it, about [-1, 1].
    target: [N, 3, R, R], the photos.
    noise: the maps that were used: the stored ones, [H, W], or those found for each photo, [N, 1, H, W].
    history: {term: [steps + 1, N]}, the loss of the code before each update and of the last; where a further stage
    starts, by its loss. photo_steps: updates of each photo, after which its values stay as they are.
    snapshot_steps, snapshots: some codes on the way, [S, N, num_ws, w_dim].
    frames: the images of the snapshots, uint8 [S, N, 3, r, r], r at most 256.
    stopped: why it ended early, or "". endings: for each photo "settled" where its loss had, what went wrong, or "".
    tuned: for each photo the weights of the synthesis network that were tuned for it, {} for none.
    perceptual, loss_terms, task: what it was compared by, and through which degradation.
    notices: what could not be done as asked.
    """

    w_plus: Tensor
    image: Tensor
    target: Tensor
    noise: list[Tensor]
    history: dict[str, Tensor]
    snapshot_steps: list[int]
    snapshots: Tensor
    settings: object
    generator: str
    perceptual: str
    seconds: float
    stopped: str = ""
    frames: Tensor | None = None
    photo_steps: list[int] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    tuned: list[dict[str, Tensor]] = field(default_factory=list)
    loss_terms: str = ""
    task: str = ""
    notices: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.w_plus)

    @property
    def loss(self) -> Tensor:
        """The weighted sum of all terms, [steps + 1, N]."""
        return torch.stack(list(self.history.values())).sum(dim=0)

    @property
    def steps(self) -> int:
        """Updates made."""
        return len(self.loss) - 1

    def select(self, k: int) -> "EmbedResult":
        """The result of photo k alone, as if it had been embedded by itself; -1 is the last photo. IndexError."""
        k = range(len(self))[k]
        row = slice(k, k + 1)
        last = self.photo_steps[k] if self.photo_steps else self.steps
        # the snapshots until its own last step, which the newest one shows
        kept = [s for s, step in enumerate(self.snapshot_steps) if step < last] + [len(self.snapshot_steps) - 1]
        of_all = not self.endings or self.stopped == "interrupted"
        return dataclasses.replace(
            self,
            stopped=self.stopped if of_all else self.endings[k].replace("settled", ""),
            w_plus=self.w_plus[row],
            image=self.image[row],
            target=self.target[row],
            noise=[noise[row] if noise.ndim == 4 else noise for noise in self.noise],
            history={term: values[: last + 1, row] for term, values in self.history.items()},
            snapshot_steps=[min(self.snapshot_steps[s], last) for s in kept],
            snapshots=self.snapshots[kept][:, row],
            frames=None if self.frames is None else self.frames[kept][:, row],
            photo_steps=self.photo_steps[row],
            endings=self.endings[row],
            tuned=self.tuned[row],
        )

    def render(self, generator) -> Tensor:
        """The image of the code with the noise that was used, [N, 3, R, R].

        The same as `image` with the same generator. A photo for which weights were tuned is drawn with those.
        """
        if any(self.tuned):
            singles = (dataclasses.replace(self.select(k), tuned=[]) for k in range(len(self)))
            return torch.cat([one.render(self.tuned_generator(generator, k)) for k, one in enumerate(singles)])
        noise = [n.to(generator.device) for n in self.noise]
        with torch.no_grad():
            return generator.synthesis(self.w_plus.to(generator.device), noise if noise else "const")

    def tuned_generator(self, generator, k: int = 0):
        """A copy of the generator with the weights that were tuned for photo k; itself where none were.

        LatentError when they are of another generator.
        """
        if not self.tuned or not self.tuned[k]:
            return generator
        tuned = copy.deepcopy(generator)
        own = dict(tuned.synthesis.named_parameters())
        if {name: p.shape for name, p in own.items()} != {name: p.shape for name, p in self.tuned[k].items()}:
            raise LatentError(f"The weights were tuned for another generator ({self.generator}): load that one.")
        tuned.synthesis.load_state_dict(self.tuned[k], strict=False)
        return tuned.requires_grad_(False)

    def save(self, path: str | Path) -> Path:
        """Write all of it to one safetensors file; an existing file is replaced only when the new one is
        complete.
        """
        tensors = {"w_plus": self.w_plus, "image": self.image, "target": self.target, "snapshots": self.snapshots}
        tensors |= {f"noise.{k}": n for k, n in enumerate(self.noise)}
        tensors |= {f"history.{name}": values for name, values in self.history.items()}
        tensors |= {f"tuned.{k}.{name}": weight for k, own in enumerate(self.tuned) for name, weight in own.items()}
        if self.frames is not None:
            tensors["frames"] = self.frames
        notes = {
            "settings": dataclasses.asdict(self.settings),
            "snapshot_steps": self.snapshot_steps,
            "generator": self.generator,
            "perceptual": self.perceptual,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "terms": list(self.history),
            "photo_steps": self.photo_steps,
            "endings": self.endings,
            "tuned": len(self.tuned),
            "loss_terms": self.loss_terms,
            "task": self.task,
            "notices": self.notices,
        }
        metadata = {"format": FORMAT, "version": str(VERSION), "result": json.dumps(notes)}
        return write_atomically(path, save({k: v.contiguous() for k, v in tensors.items()}, metadata))

    @classmethod
    def load(cls, path: str | Path) -> "EmbedResult":
        """Read what `save` wrote. LatentError when the file is missing, broken or something else."""
        from i2s.embedding import EmbedSettings

        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise LatentError(f"{path} is not an embedding saved by i2s: give the file that `i2s embed` wrote.")
                if int(metadata["version"]) > VERSION:
                    raise LatentError(f"{path} was written by a newer i2s: update i2s to read it.")
                notes = json.loads(metadata["result"])
                tensors = read_tensors(file)
            count = sum(name.startswith("noise.") for name in tensors)
            return cls(
                w_plus=tensors["w_plus"],
                image=tensors["image"],
                target=tensors["target"],
                noise=[tensors[f"noise.{k}"] for k in range(count)],
                history={term: tensors[f"history.{term}"] for term in notes["terms"]},
                snapshot_steps=notes["snapshot_steps"],
                snapshots=tensors["snapshots"],
                settings=EmbedSettings(**notes["settings"]),
                generator=notes["generator"],
                perceptual=notes["perceptual"],
                seconds=notes["seconds"],
                stopped=notes["stopped"],
                frames=tensors.get("frames"),
                tuned=_tuned(tensors, notes.get("tuned", 0)),
                **{name: notes[name] for name in ADDED if name in notes},
            )
        except FileNotFoundError:
            raise LatentError(f"There is no file {path}: give the file that `i2s embed` wrote.") from None
        except LatentError:
            raise
        except (SafetensorError, LookupError, TypeError, ValueError, OSError) as error:
            raise LatentError(f"{path} is broken and cannot be read as an embedding: embed the photo again.") from error


def _tuned(tensors: dict[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """The tuned weights of each of `count` photos, out of a file's tensors."""
    found: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for name, tensor in tensors.items():
        if name.startswith("tuned."):
            _, k, weight = name.split(".", 2)
            found[int(k)][weight] = tensor
    return found
