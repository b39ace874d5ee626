"""What an embedding leaves behind: losses, snapshots, and each photo's newest code and image."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from i2s.embedding.optim import as_dict
from i2s.embedding.result import EmbedResult
from i2s.embedding.settings import EmbedSettings
from i2s.embedding.stages import Stage, Synthesis
from i2s.embedding.stopping import Stopper
from i2s.errors import LatentError
from i2s.generators.base import Generator
from i2s.images import quantize

FRAME_SIZE = 256  # px at most of a frame of the video


@dataclass(frozen=True)
class Step:
    """What a callback receives after each comparison: code, image and loss belong together."""

    # updates made so far
    step: int
    # updates that are planned; an estimate if a budget decides
    steps: int
    # {name: [N]}, weighted
    terms: dict[str, Tensor]
    # [N, num_ws, w_dim]
    w_plus: Tensor
    # [N, 3, R, R] in about [-1, 1]
    image: Tensor
    # since the beginning
    seconds: float
    # "code", "noise" or "tuning"
    stage: str = "code"


class History:
    """Keeps what the optimisation of N photos produces; photos that are done keep what they had.

    As a context it shows the progress bar.

    Args:
        settings: The settings.
        count: Photos, N.
        generator: The generator.
        stopper: Its clock is read.
        callback: Called with a `Step` after each comparison.
        progress: Show a progress bar.

    Attributes:
        terms: Losses {name: [N]} of each step.
        w_plus: Newest codes [N, num_ws, w_dim], None before the first.
        image: Their images [N, 3, R, R].
        noise: Maps of each photo [N, 1, H, W] if they are optimised, else [].
        way: How the newest images were generated, in words.
        tuned: {photo: {name: weight}} of the synthesis networks that were tuned.
        photo_steps: Updates of each photo.
        snapshots: {step: codes}.
        frames: {step: images, uint8 [N, 3, r, r]}.
    """

    def __init__(
        self,
        settings: EmbedSettings,
        count: int,
        generator: Generator,
        stopper: Stopper,
        callback: Callable[[Step], None] | None,
        progress: bool,
    ):
        self.settings = settings
        self.count = count
        self.generator = generator
        self.stopper = stopper
        self.callback = callback
        self.terms: list[dict[str, Tensor]] = []
        self.w_plus: Tensor | None = None
        self.image: Tensor | None = None
        self.noise: list[Tensor] = []
        self.way = ""
        self.tuned: dict[int, dict[str, Tensor]] = {}
        self.photo_steps = [0] * count
        self.snapshots: dict[int, Tensor] = {}
        self.frames: dict[int, Tensor] = {}
        self.time_to_first_image: float | None = None  # seconds
        self.full_batch = True  # whether the newest images were generated as one batch of all photos
        self.total_steps = settings.total_steps
        planned = settings.snapshots if self.total_steps else 0
        steps = torch.linspace(0, self.total_steps or 0, planned, dtype=torch.float32, device="cpu")
        self.snapshot_steps = {round(float(step)) for step in steps}
        label = f"embedding {count} photo" + ("s" if count > 1 else "")
        self.bar = tqdm(total=self.total_steps, desc=label, disable=not progress, leave=False)

    def __enter__(self) -> "History":
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = self.stopper.elapsed()
        self.bar.close()

    def begin(self, stage: Stage) -> int:
        """Begin a stage; its first entry takes the place of the last one of its photos.

        Returns:
            Updates of the stages before.
        """
        if stage.has_noise and not self.noise:
            self.noise = [noise.detach().clone() for noise in stage.noise]
        return max(self.photo_steps[k] for k in stage.rows.tolist())

    def append(
        self,
        step: int,
        stage: Stage,
        synthesis: Synthesis,
        terms: dict[str, Tensor],
        finite: Tensor,
        notify: bool = True,
    ) -> None:
        """Add the losses, codes and images of the photos of a stage.

        Args:
            step: Updates made, of all stages.
            stage: Its rows are these photos.
            synthesis: Their codes, noise maps and images.
            terms: {name: [n]}.
            finite: Which of their losses are finite, [n]; the other photos keep what they had.
            notify: Call the callback.

        Raises:
            LatentError: A loss is not finite before there is any image.
        """
        rows = stage.rows
        w_plus, noise, image = synthesis
        self.way = stage.way

        # Leave out the photos whose loss is no number
        if not finite.all():
            if self.w_plus is None:
                raise LatentError(
                    "The embedding stopped before its first image (the loss was no longer a finite number): "
                    "look at the initial code."
                )
            if not finite.any():
                return
            rows, w_plus, image = rows[finite], w_plus[finite], image[finite]
            noise = [maps[finite] for maps in noise]
            terms = {name: value[finite] for name, value in terms.items()}
        self.full_batch = len(rows) == self.count

        # Merge the others into what there is
        self._add_terms(step, rows, {name: value.detach() for name, value in terms.items()})
        self.w_plus = self._merged(self.w_plus, rows, w_plus.detach().clone())
        self.image = self._merged(self.image, rows, image.detach())
        if stage.has_noise:
            self.noise = [self._merged(old, rows, new.detach().clone()) for old, new in zip(self.noise, noise)]
        for k in range(self.count) if self.full_batch else rows.tolist():
            self.photo_steps[k] = step

        # Take a snapshot, and report
        if self.time_to_first_image is None:
            self.time_to_first_image = self.stopper.elapsed()
        share = self._budget_share()
        if self._is_snapshot(step, share):
            self._keep_snapshot(step, rows)
        self.bar.update(step - self.bar.n)
        if self.callback is not None and notify:
            steps = self.total_steps or (round(step / share) if share else step)
            newest = self.terms[step], self.w_plus, self.image
            self.callback(Step(step, steps, *newest, self.stopper.elapsed(), stage.name))

    def keep_tuned(self, k: int, weights: dict[str, Tensor]) -> None:
        """Keep the weights that were tuned for photo k."""
        self.tuned[k] = weights

    def discard_tuning(self, k: int, step: int) -> None:
        """Go back to the code and image that photo k had at `step`, before its tuning."""
        self.photo_steps[k] = step
        self.full_batch = False  # the newest images are not those of the pivots

    def _merged(self, old: Tensor | None, rows: Tensor, new: Tensor) -> Tensor:
        return new if self.full_batch else old.index_copy(0, rows, new)

    def _add_terms(self, step: int, rows: Tensor, terms: dict[str, Tensor]) -> None:
        """Photos that are done keep their values; a term that a stage does not have counts as 0."""
        if not self.full_batch:
            past = self.terms[min(step, len(self.terms) - 1)]
            zero = torch.zeros_like(next(iter(terms.values())))  # [n]
            names = dict.fromkeys([*past, *terms])
            full = {name: past[name] if name in past else zero.new_zeros(self.count) for name in names}
            terms = {name: full[name].index_copy(0, rows, terms.get(name, zero)) for name in names}
        self.terms[step:] = [terms, *self.terms[step + 1 :]]

    def _budget_share(self) -> float:
        """Return how much of the budget of all stages is over, 0 to 1, counted from the first image on."""
        if self.settings.budget is None:
            return 1.0
        left = self.settings.budget - self.time_to_first_image
        return min(1.0, (self.stopper.elapsed() - self.time_to_first_image) / left) if left > 0 else 1.0

    def _is_snapshot(self, step: int, share: float) -> bool:
        if self.total_steps:
            return step in self.snapshot_steps
        if step in self.snapshots:  # of a photo that was tuned before
            return True
        made = len(self.snapshots)
        wanted = self.settings.snapshots
        return step > max(self.snapshots, default=-1) and made < wanted and share * (wanted - 1) >= made

    def _keep_snapshot(self, step: int, rows: Tensor) -> None:
        w_plus = self.w_plus.cpu()
        frame = _frame(self.image)
        if step in self.snapshots and not self.full_batch:  # photos that were tuned before keep what they were then
            rows = rows.cpu()
            w_plus = self.snapshots[step].index_copy(0, rows, w_plus[rows])
            frame = self.frames[step].index_copy(0, rows, frame[rows])
        self.snapshots[step] = w_plus
        self.frames[step] = frame

    def _finish(self, image: Tensor) -> None:
        """Add the last snapshot; in those after its own last step a photo is what it ended as."""
        last = len(self.terms) - 1
        self.snapshots[last] = self.w_plus.cpu()
        self.frames[last] = _frame(image)
        for step, frame in self.frames.items():
            over = [k for k, end in enumerate(self.photo_steps) if end < step < last]
            frame[over] = self.frames[last][over]

    def result(self, photos: Tensor, perceptual: str, loss: str, task: str, notices: list[str]) -> EmbedResult:
        """Return all of it, on the CPU.

        Args:
            photos: [N, 3, R, R].
            perceptual: Networks whose features were compared.
            loss: Terms of the loss, in words.
            task: The degradation, in words.
            notices: What could not be done as asked.
        """
        self._finish(self.image)
        steps = sorted(self.snapshots)
        found = EmbedResult(
            w_plus=self.w_plus.contiguous().cpu(),
            image=self.image.float().cpu(),
            target=photos.float().cpu(),
            noise=[noise.cpu() for noise in self.noise or self.generator.noise_maps()],
            history=self._curves(),
            snapshot_steps=steps,
            snapshots=torch.stack([self.snapshots[step] for step in steps]),
            settings=self.settings,
            generator=self.generator.describe(),
            perceptual=perceptual,
            seconds=self.seconds,
            stopped=self.stopper.stopped(),
            frames=torch.stack([self.frames[step] for step in steps]),
            photo_steps=list(self.photo_steps),
            endings=self.stopper.endings(),
            tuned=[self.tuned.get(k, {}) for k in range(self.count)] if self.tuned else [],
            loss_terms=loss,
            task=task,
            notices=list(notices),
            way=self.way,
        )
        if self.full_batch and not self.tuned:
            return found
        # photos left the batch on the way: the image of all of them as `render` draws it
        image = found.render(self.generator).float().cpu()
        self._finish(image)
        return replace(found, image=image, frames=torch.stack([self.frames[step] for step in steps]))

    def _stacked(self) -> dict[str, Tensor]:
        """Return {term: [steps + 1, N]}; 0 where a stage does not have a term."""
        names = dict.fromkeys(name for terms in self.terms for name in terms)
        like = {name: torch.zeros_like(value) for terms in self.terms for name, value in terms.items()}
        return {name: torch.stack([terms.get(name, like[name]) for terms in self.terms]) for name in names}

    def _curves(self) -> dict[str, Tensor]:
        """Return {term: [steps + 1, N]}; after its last step a photo's values stay as they are."""
        curves = {name: curve.cpu() for name, curve in self._stacked().items()}
        for curve in curves.values():
            for k, last in enumerate(self.photo_steps):
                curve[last:, k] = curve[last, k].clone()
        return curves

    def state_dict(self) -> dict:
        """Return tensors and numbers from which `load_state_dict` goes on."""
        curves = self._stacked()
        return {
            "w_plus": self.w_plus,
            "image": self.image,
            "noise": as_dict(self.noise),
            "snapshots": {str(step): w_plus for step, w_plus in self.snapshots.items()},
            "frames": {str(step): frame for step, frame in self.frames.items()},
            "tuned": {str(k): weights for k, weights in self.tuned.items()},
            "terms": curves,
            "names": list(curves),
            "photo_steps": self.photo_steps,
            "time_to_first_image": self.time_to_first_image,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on as the history that `state` was taken of."""
        device = self.generator.device
        self.w_plus = state["w_plus"].to(device)
        self.image = state["image"].to(device)
        noise = state.get("noise", {})
        self.noise = [noise[str(k)].to(device) for k in range(len(noise))]
        self.snapshots = {int(step): w_plus for step, w_plus in state.get("snapshots", {}).items()}
        self.frames = {int(step): frame for step, frame in state.get("frames", {}).items()}
        for k, weights in state.get("tuned", {}).items():
            self.tuned[int(k)] = {name: weight.to(device) for name, weight in weights.items()}
        curves = {name: state["terms"][name].to(device) for name in state["names"]}  # in the order of the terms
        length = len(next(iter(curves.values())))
        self.terms = [{name: curve[step] for name, curve in curves.items()} for step in range(length)]
        self.photo_steps = list(state["photo_steps"])
        self.time_to_first_image = state["time_to_first_image"]


def _frame(image: Tensor) -> Tensor:
    """Reduce images to frames of the video, uint8 [N, 3, r, r], on the CPU."""
    image = image.float()
    if image.shape[-1] > FRAME_SIZE:
        image = F.interpolate(image, (FRAME_SIZE, FRAME_SIZE), mode="area")
    return quantize(image).cpu()
