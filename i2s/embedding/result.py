"""The result of an embedding, and its file: one safetensors file that draws the same image again, bit for bit."""

import copy
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from i2s.embedding.settings import EmbedSettings
from i2s.embedding.stopping import StopReason
from i2s.errors import LatentError
from i2s.files import read_safetensors, with_prefix, write_safetensors
from i2s.generators.base import Generator

FORMAT, VERSION = "i2s-embedding", 2
_interrupted: "EmbedResult | None" = None  # of the newest embedding that Ctrl-C ended
PLAIN = ("snapshot_steps", "generator", "perceptual", "seconds", "stopped")  # fields that are JSON as they are
ADDED = ("photo_steps", "endings", "loss_terms", "task", "notices", "way")  # the same, which files of version 1 lack


@dataclass(frozen=True)
class EmbedResult:
    """Codes, images and history of N embedded photos."""

    # [N, num_ws, w_dim], float32
    w_plus: Tensor
    # [N, 3, R, R], what the generator draws of the codes, in about [-1, 1]
    image: Tensor
    # [N, 3, R, R], the photos
    target: Tensor
    # maps that were used: the stored ones, [H, W], or those optimised for each photo, [N, 1, H, W]
    noise: list[Tensor]
    # {term: [steps + 1, N]}: loss of the code before each update and of the last; where a further stage starts, by its
    # loss
    history: dict[str, Tensor]
    # steps of the snapshots
    snapshot_steps: list[int]
    # codes on the way, [S, N, num_ws, w_dim]
    snapshots: Tensor
    # settings of the embedding
    settings: EmbedSettings
    # the generator, in words
    generator: str
    # networks whose features were compared, in words; "" for none
    perceptual: str
    # seconds that it took
    seconds: float
    # why it ended early, or ""
    stopped: str = ""
    # images of the snapshots, uint8 [S, N, 3, r, r], r at most 256
    frames: Tensor | None = None
    # updates of each photo, after which its values stay as they are
    photo_steps: list[int] = field(default_factory=list)
    # for each photo "settled" if its loss had, what went wrong, or ""
    endings: list[str] = field(default_factory=list)
    # for each photo the weights of the synthesis network that were tuned for it, {} for none
    tuned: list[dict[str, Tensor]] = field(default_factory=list)
    # terms of the loss, in words
    loss_terms: str = ""
    # degradation through which it was compared, in words
    task: str = ""
    # what could not be done as asked
    notices: list[str] = field(default_factory=list)
    # how the images were generated, in words: device, precision, and on CUDA whether by a graph, or why not
    way: str = ""

    def __len__(self) -> int:
        return len(self.w_plus)

    @property
    def loss(self) -> Tensor:
        """Weighted sum of all terms, [steps + 1, N]."""
        return torch.stack(list(self.history.values())).sum(dim=0)

    @property
    def steps(self) -> int:
        """Updates made."""
        return len(self.loss) - 1

    @property
    def interrupted(self) -> bool:
        """True if Ctrl-C ended it."""
        return self.stopped == StopReason.INTERRUPTED.value

    def select(self, k: int) -> "EmbedResult":
        """Return the result of photo k alone, as if it had been embedded by itself; -1 is the last photo.

        Raises:
            IndexError: There is no such photo.
        """
        k = range(len(self))[k]
        row = slice(k, k + 1)
        last = self.photo_steps[k] if self.photo_steps else self.steps
        # the snapshots until its own last step, which the newest one shows
        kept = [s for s, step in enumerate(self.snapshot_steps) if step < last] + [len(self.snapshot_steps) - 1]
        stopped = self.stopped
        if self.endings and not self.interrupted:
            stopped = "" if self.endings[k] == StopReason.SETTLED.value else self.endings[k]
        return dataclasses.replace(
            self,
            stopped=stopped,
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

    def render(self, generator: Generator) -> Tensor:
        """Return the images of the codes with the noise that was used, [N, 3, R, R].

        The same as `image` with the same generator. A photo for which weights were tuned is drawn with those.
        """
        if any(self.tuned):
            singles = (dataclasses.replace(self.select(k), tuned=[]) for k in range(len(self)))
            return torch.cat([one.render(self.tuned_generator(generator, k)) for k, one in enumerate(singles)])
        noise = [n.to(generator.device) for n in self.noise]
        with torch.no_grad():
            return generator.synthesis(self.w_plus.to(generator.device), noise if noise else "const")

    def tuned_generator(self, generator: Generator, k: int = 0) -> Generator:
        """Return a copy of the generator with the weights that were tuned for photo k; itself if none were.

        Raises:
            LatentError: The weights are of another generator.
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
        """Write all of it to one safetensors file; an existing file is replaced when the new one is complete.

        `i2s.weights.write_latents(result.w_plus, "w.npz")` writes the codes alone, for other tools.

        Raises:
            OutputError: The file cannot be written.
        """
        tensors = {"w_plus": self.w_plus, "image": self.image, "target": self.target, "snapshots": self.snapshots}
        tensors |= {f"noise.{k}": n for k, n in enumerate(self.noise)}
        tensors |= {f"history.{name}": values for name, values in self.history.items()}
        tensors |= {f"tuned.{k}.{name}": weight for k, own in enumerate(self.tuned) for name, weight in own.items()}
        if self.frames is not None:
            tensors["frames"] = self.frames
        facts = {name: getattr(self, name) for name in PLAIN + ADDED}
        facts |= {"settings": dataclasses.asdict(self.settings), "terms": list(self.history), "tuned": len(self.tuned)}
        return write_safetensors(path, tensors, FORMAT, VERSION, {"result": json.dumps(facts)})

    @classmethod
    def load(cls, path: str | Path) -> "EmbedResult":
        """Read what `save` wrote.

        Raises:
            LatentError: The file is missing, broken or something else.
        """
        advice = "give the file that `i2s embed` wrote"
        tensors, metadata = read_safetensors(path, FORMAT, VERSION, LatentError, kind="an embedding", advice=advice)
        try:
            facts = json.loads(metadata["result"])
            return cls(
                w_plus=tensors["w_plus"],
                image=tensors["image"],
                target=tensors["target"],
                noise=[tensors[f"noise.{k}"] for k in range(len(with_prefix(tensors, "noise.")))],
                history={term: tensors[f"history.{term}"] for term in facts["terms"]},
                snapshots=tensors["snapshots"],
                settings=EmbedSettings(**facts["settings"]),
                frames=tensors.get("frames"),
                tuned=_tuned(tensors, facts.get("tuned", 0)),
                **{name: facts[name] for name in PLAIN},
                **{name: facts[name] for name in ADDED if name in facts},
            )
        except (LookupError, TypeError, ValueError) as error:
            raise LatentError(f"{path} is broken and cannot be read as an embedding: embed the photo again.") from error


class EmbedInterrupted(KeyboardInterrupt):
    """Raised by `embed` on Ctrl-C, so that a cell or a loop ends too; nothing that was found is lost.

    Args:
        result: What was found until then; also returned by `interrupted_result()`.
    """

    def __init__(self, result: EmbedResult):
        global _interrupted
        planned = result.settings.total_steps
        self.result = _interrupted = result
        super().__init__(
            f"stopped after step {result.steps}{f' of {planned}' if planned else ''}: "
            "i2s.embedding.interrupted_result() returns what was found"
        )


def interrupted_result() -> EmbedResult:
    """Return what the embedding that Ctrl-C ended last had found.

    Raises:
        LatentError: None was interrupted.
    """
    if _interrupted is None:
        raise LatentError("No embedding was interrupted: there is no result of one.")
    return _interrupted


def _tuned(tensors: dict[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """Return the tuned weights of each of `count` photos, out of a file's tensors."""
    found: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for name, tensor in with_prefix(tensors, "tuned.").items():
        k, weight = name.split(".", 1)
        found[int(k)][weight] = tensor
    return found
