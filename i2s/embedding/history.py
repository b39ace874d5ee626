"""What a search leaves behind: the history of its loss, snapshots, and each photo's newest code and image."""

import time
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from i2s.embedding.result import EmbedResult
from i2s.embedding.settings import EmbedSettings
from i2s.embedding.stages import Drawn, Stage
from i2s.errors import LatentError
from i2s.generators.base import Generator

FRAME = 256  # px at most of a picture of the film
SETTLED = "settled"
NOT_FINITE = "the loss was no longer a finite number"


@dataclass(frozen=True)
class Step:
    """What a callback sees after each comparison: code, image and loss belong together.

    step: updates made so far, of `steps` planned (an estimate where a budget decides). terms: {name: [N]}.
    w_plus: [N, num_ws, w_dim]. image: [N, 3, R, R] in about [-1, 1]. stage: "code", "noise" or "tuning".
    """

    step: int
    steps: int
    terms: dict[str, Tensor]
    w_plus: Tensor
    image: Tensor
    seconds: float
    stage: str = "code"


class Recorder:
    """Keeps, for N photos, what their search produces; photos that are done keep what they had.

    As a context it runs the clock and the progress bar. `notices`: what the user should know about the run.
    """

    def __init__(self, settings: EmbedSettings, count: int, generator: Generator, callback, progress: bool):
        self.settings, self.count, self.generator, self.callback = settings, count, generator, callback
        self.history: list[dict[str, Tensor]] = []  # of each step, {name: [N]}
        self.snapshots: dict[int, Tensor] = {}
        self.frames: dict[int, Tensor] = {}
        self.w_plus = self.image = None
        self.noise: list[Tensor] = []  # of each photo where they are searched for, else []
        self.tuned: dict[int, dict[str, Tensor]] = {}
        self.photo_steps = [0] * count
        self.endings = [""] * count
        self.notices: list[str] = []
        self.stopped = ""
        self.base = 0  # steps of the stages before
        self.first: float | None = None  # seconds before the first image
        self.everyone = True  # whether the newest images were drawn as one batch of all photos
        self.total = planned_steps(settings)
        wanted = torch.linspace(0, self.total, settings.snapshots) if self.total and settings.snapshots else []
        self.wanted = {round(float(step)) for step in wanted}
        label = f"embedding {count} photo" + ("s" if count > 1 else "")
        self.bar = tqdm(total=self.total, desc=label, disable=not progress, leave=False)
        self.started = time.perf_counter()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_) -> None:
        self.seconds = self.elapsed()
        self.bar.close()

    def elapsed(self) -> float:
        return time.perf_counter() - self.started

    def begin(self, stage: Stage) -> None:
        """A stage starts where its photos are; its first entry in the history takes the place of their last."""
        self.base = max(self.photo_steps[k] for k in stage.rows.tolist())
        if stage.searches_noise and not self.noise:
            self.noise = [noise.detach().clone() for noise in stage.noise]

    def end(self, rows: Tensor, why: str) -> None:
        """The search for these photos ended before its last step."""
        for k in rows.tolist():
            self.endings[k] = why

    def add(self, step: int, stage: Stage, good: Tensor, drawn: Drawn, terms: dict[str, Tensor]) -> None:
        """Step `step` of a stage; its photos that are not `good` keep what they had."""
        step += self.base
        rows, (w_plus, noise, image) = stage.rows, drawn
        if not good.all():
            self.end(rows[~good], f"{NOT_FINITE} at step {step}")
            if self.w_plus is None:
                raise LatentError(
                    f"The embedding stopped before its first image ({NOT_FINITE}): look at the initial code."
                )
            if not good.any():
                return
            rows, w_plus, image, noise = rows[good], w_plus[good], image[good], [n[good] for n in noise]
            terms = {name: value[good] for name, value in terms.items()}
        self.everyone = len(rows) == self.count
        self._add_terms(step, rows, {name: value.detach() for name, value in terms.items()})
        self.w_plus = self._merged(self.w_plus, rows, w_plus.detach().clone())
        self.image = self._merged(self.image, rows, image.detach())
        if stage.searches_noise:
            self.noise = [self._merged(old, rows, new.detach().clone()) for old, new in zip(self.noise, noise)]
        for k in range(self.count) if self.everyone else rows.tolist():
            self.photo_steps[k] = step
        if self.first is None:
            self.first = self.elapsed()
        t = self._share()
        if self._is_wanted(step, t):
            self._keep_snapshot(step, rows)
        self.bar.update(step - self.bar.n)
        if self.callback is not None:
            steps = self.total or (round(step / t) if t else step)
            seen = self.history[step], self.w_plus, self.image
            self.callback(Step(step, steps, *seen, self.elapsed(), stage.name))

    def _merged(self, old: Tensor | None, rows: Tensor, new: Tensor) -> Tensor:
        return new if self.everyone else old.index_copy(0, rows, new)

    def _add_terms(self, step: int, rows: Tensor, terms: dict[str, Tensor]) -> None:
        """Photos that are done keep their values; what a stage does not weigh counts as 0."""
        if not self.everyone:
            past = self.history[min(step, len(self.history) - 1)]
            zero = torch.zeros_like(next(iter(terms.values())))  # [n]
            names = dict.fromkeys([*past, *terms])
            full = {name: past[name] if name in past else zero.new_zeros(self.count) for name in names}
            terms = {name: full[name].index_copy(0, rows, terms.get(name, zero)) for name in names}
        self.history[step:] = [terms, *self.history[step + 1 :]]

    def _share(self) -> float:
        """How much of the budget is over, 0 to 1, counted from the first image on; of all stages."""
        if self.settings.budget is None:
            return 1.0
        left = self.settings.budget - self.first
        return min(1.0, (self.elapsed() - self.first) / left) if left > 0 else 1.0

    def _is_wanted(self, step: int, t: float) -> bool:
        if self.total:
            return step in self.wanted
        if step in self.snapshots:  # of a photo that was tuned before
            return True
        made, wanted = len(self.snapshots), self.settings.snapshots
        return step > max(self.snapshots, default=-1) and made < wanted and t * (wanted - 1) >= made

    def _keep_snapshot(self, step: int, rows: Tensor) -> None:
        w_plus, frame = self.w_plus.cpu(), _frame(self.image)
        if step in self.snapshots and not self.everyone:  # photos that were tuned before keep what they were then
            rows = rows.cpu()
            w_plus = self.snapshots[step].index_copy(0, rows, w_plus[rows])
            frame = self.frames[step].index_copy(0, rows, frame[rows])
        self.snapshots[step], self.frames[step] = w_plus, frame

    def _finish(self, image: Tensor) -> None:
        """The last snapshot; and in those after its own last step a photo is what it ended as."""
        last = len(self.history) - 1
        self.snapshots[last], self.frames[last] = self.w_plus.cpu(), _frame(image)
        for step, frame in self.frames.items():
            over = [k for k, end in enumerate(self.photo_steps) if end < step < last]
            frame[over] = self.frames[last][over]

    def result(self, photos: Tensor, perceptual: str, loss: str, task: str) -> EmbedResult:
        """All of it, on the CPU."""
        self._finish(self.image)
        steps = sorted(self.snapshots)
        bad = next((why for why in self.endings if why.startswith(NOT_FINITE)), "")
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
            stopped=self.stopped or bad,
            frames=torch.stack([self.frames[step] for step in steps]),
            photo_steps=list(self.photo_steps),
            endings=list(self.endings),
            tuned=[self.tuned.get(k, {}) for k in range(self.count)] if self.tuned else [],
            loss_terms=loss,
            task=task,
            notices=list(self.notices),
        )
        if self.everyone and not self.tuned:
            return found
        # photos left the batch on the way: the image of all of them as `render` draws it
        image = found.render(self.generator).float().cpu()
        self._finish(image)
        return replace(found, image=image, frames=torch.stack([self.frames[step] for step in steps]))

    def _curves(self) -> dict[str, Tensor]:
        """{term: [steps + 1, N]}; after its last step a photo's values stay as they are."""
        names = dict.fromkeys(name for terms in self.history for name in terms)
        curves = {}
        for name in names:
            like = next(terms[name] for terms in self.history if name in terms)
            curve = torch.stack([terms.get(name, torch.zeros_like(like)) for terms in self.history]).cpu()
            for k, last in enumerate(self.photo_steps):
                curve[last:, k] = curve[last, k].clone()
            curves[name] = curve
        return curves

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Tensors and notes from which `restore` goes on."""
        tensors = {"w_plus": self.w_plus, "image": self.image}
        tensors |= {f"noise.{k}": noise for k, noise in enumerate(self.noise)}
        tensors |= {f"snapshot.{step}": w_plus for step, w_plus in self.snapshots.items()}
        tensors |= {f"frame.{step}": frame for step, frame in self.frames.items()}
        tensors |= {f"tuned.{k}.{name}": tensor for k, own in self.tuned.items() for name, tensor in own.items()}
        names = dict.fromkeys(name for terms in self.history for name in terms)
        for name in names:
            like = next(terms[name] for terms in self.history if name in terms)
            tensors[f"history.{name}"] = torch.stack(
                [terms.get(name, torch.zeros_like(like)) for terms in self.history]
            )
        notes = {
            "terms": list(names),
            "photo_steps": self.photo_steps,
            "endings": self.endings,
            "seconds": self.elapsed(),
            "base": self.base,
            "first": self.first,
        }
        return tensors, notes

    def restore(self, tensors: dict[str, Tensor], notes: dict) -> None:
        """Go on where `state` was taken."""
        device = self.generator.device
        self.w_plus, self.image = tensors["w_plus"].to(device), tensors["image"].to(device)
        count = sum(name.startswith("noise.") for name in tensors)
        self.noise = [tensors[f"noise.{k}"].to(device) for k in range(count)]
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind in ("snapshot", "frame"):
                (self.snapshots if kind == "snapshot" else self.frames)[int(rest)] = tensor
            elif kind == "tuned":
                k, _, weight = rest.partition(".")
                self.tuned.setdefault(int(k), {})[weight] = tensor.to(device)
        curves = {name: tensors[f"history.{name}"].to(device) for name in notes["terms"]}
        length = len(next(iter(curves.values())))
        self.history = [{name: curve[step] for name, curve in curves.items()} for step in range(length)]
        self.photo_steps, self.endings, self.base = list(notes["photo_steps"]), list(notes["endings"]), notes["base"]
        self.started, self.first = time.perf_counter() - notes["seconds"], notes.get("first")


def _frame(image: Tensor) -> Tensor:
    """The images as small pictures for the film, uint8 [N, 3, r, r]."""
    image = image.float()
    if image.shape[-1] > FRAME:
        image = F.interpolate(image, (FRAME, FRAME), mode="area")
    return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def planned_steps(settings: EmbedSettings) -> int | None:
    """Updates of all stages, or None where a budget alone decides."""
    if settings.steps is None:
        return None
    return settings.steps + sum(
        stage.steps for stage in (settings.noise, settings.tuning) if stage and stage_follows(stage)
    )


def stage_follows(stage) -> bool:
    """Whether these settings are of a stage of its own: noise that is searched for jointly is none."""
    return getattr(stage, "when", "after") == "after"
