"""The result of an embedding, and its file: one safetensors file that draws the same image again, bit for bit."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from i2s.errors import LatentError, OutputError
from i2s.files import write_atomically

FORMAT, VERSION = "i2s-embedding", 1


@dataclass(frozen=True)
class EmbedResult:
    """Codes, images and history of N embedded photos.

    w_plus: [N, num_ws, w_dim], float32. image: [N, 3, R, R], what the generator draws of it, about [-1, 1].
    target: [N, 3, R, R], the photos as compared. noise: the stored maps that were used. history: {term: [steps + 1, N]},
    the loss of the code before each update and of the last. snapshot_steps, snapshots: some codes on the way,
    [S, N, num_ws, w_dim]. stopped: why it ended early, or "".
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
        """The result of photo k alone, as if it had been embedded by itself."""
        row = slice(k, k + 1)
        return dataclasses.replace(
            self,
            w_plus=self.w_plus[row],
            image=self.image[row],
            target=self.target[row],
            history={term: values[:, row] for term, values in self.history.items()},
            snapshots=self.snapshots[:, row],
        )

    def render(self, generator) -> Tensor:
        """The image of the code with the noise that was used, [N, 3, R, R]; the same as `image` with the same generator."""
        noise = [n.to(generator.device) for n in self.noise]
        with torch.no_grad():
            return generator.synthesis(self.w_plus.to(generator.device), noise if noise else "const")

    def save(self, path: str | Path) -> Path:
        """Write all of it to one safetensors file; an existing file is replaced only when the new one is complete."""
        tensors = {"w_plus": self.w_plus, "image": self.image, "target": self.target, "snapshots": self.snapshots}
        tensors |= {f"noise.{k}": n for k, n in enumerate(self.noise)}
        tensors |= {f"history.{name}": values for name, values in self.history.items()}
        notes = {
            "settings": dataclasses.asdict(self.settings),
            "snapshot_steps": self.snapshot_steps,
            "generator": self.generator,
            "perceptual": self.perceptual,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "terms": list(self.history),
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
                tensors = {name: file.get_tensor(name) for name in file.keys()}
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
            )
        except FileNotFoundError:
            raise LatentError(f"There is no file {path}: give the file that `i2s embed` wrote.") from None
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, OSError) as error:
            if isinstance(error, OutputError):
                raise
            raise LatentError(f"{path} is broken and cannot be read as an embedding: embed the photo again.") from error
