"""When an optimisation ends: its steps, its seconds, its patience, or a loss that is no number."""

import time
from enum import Enum

import torch
from torch import Tensor

from i2s.embedding.settings import EmbedSettings


class StopReason(Enum):
    """Why the optimisation of a photo ended before its last step; the values stand in result files."""

    NONE = ""
    SETTLED = "settled"  # the loss falls no more, or is as low as it needs to be
    INTERRUPTED = "interrupted"  # by Ctrl-C
    NOT_FINITE = "the loss was no longer a finite number"


class Stopper:
    """Ends the stages of an embedding, and each photo's part in them.

    Args:
        settings: Their `budget`, `patience` and `min_improvement`.
        count: Photos.
        device: Where their losses are.

    Attributes:
        step: Updates made in this stage.
        step_offset: Updates made in the stages before.
        reasons: Why each photo stopped.
        interrupted: True after Ctrl-C.
    """

    def __init__(self, settings: EmbedSettings, count: int, device: torch.device):
        self.settings = settings
        self.reasons = [StopReason.NONE] * count
        self.failed_at = [0] * count  # the step at which a loss was not finite
        self.interrupted = False
        self.best = torch.full([count], torch.inf, device=device)  # lowest losses of this stage
        self.best_step = torch.zeros(count, dtype=torch.long, device=device)
        self.started = self.stage_started = time.perf_counter()
        self.seconds: float | None = None  # of this stage
        self.steps: int | None = None
        self.step = 0
        self.step_offset = 0

    def elapsed(self) -> float:
        """Return the seconds since the beginning, those before a checkpoint included."""
        return time.perf_counter() - self.started

    @property
    def total_step(self) -> int:
        """Updates made in all stages so far."""
        return self.step_offset + self.step

    def begin(self, steps: int | None, step_offset: int, parts: int) -> None:
        """Begin a stage.

        Args:
            steps: Its updates; None for as many as its seconds allow.
            step_offset: Updates of the stages before.
            parts: Stages that share what is left of the budget, this one included.
        """
        budget = self.settings.budget
        self.stage_started = time.perf_counter()
        self.seconds = None if budget is None else (budget - self.elapsed()) / parts
        self.steps = steps
        self.step = 0
        self.step_offset = step_offset
        self.best.fill_(torch.inf)
        self.best_step.zero_()

    def progress(self) -> float:
        """Return how much of the stage is over, 0 to 1: by steps or by the clock, whichever is further."""
        by_steps = self.step / self.steps if self.steps else 0.0
        by_clock = 0.0
        if self.seconds is not None:
            by_clock = (time.perf_counter() - self.stage_started) / max(self.seconds, 1e-9)
        return min(1.0, max(by_steps, by_clock))

    def check(self, rows: Tensor, losses: Tensor, reached: Tensor) -> Tensor:
        """Decide which photos go on, and note why the others do not.

        Args:
            rows: Numbers of the photos in the batch, [n].
            losses: Their losses, [n].
            reached: True where a photo is as good as it needs to be, [n].

        Returns:
            [n] of bool.
        """
        losses = losses.detach()
        finite = torch.isfinite(losses)
        settled = reached | self._out_of_patience(rows, losses)
        active = finite & ~settled
        if not active.all():
            for k in rows[finite & settled].tolist():
                self.reasons[k] = StopReason.SETTLED
            for k in rows[~finite].tolist():
                self.reasons[k] = StopReason.NOT_FINITE
                self.failed_at[k] = self.total_step
        return active

    def _out_of_patience(self, rows: Tensor, losses: Tensor) -> Tensor:
        """True where a loss has not fallen by the share `min_improvement` for `patience` steps, [n]."""
        if not self.settings.patience:
            return torch.zeros_like(losses, dtype=torch.bool)
        best = self.best[rows]
        better = losses < best * (1 - self.settings.min_improvement)
        self.best[rows] = torch.where(better, losses.to(best), best)
        self.best_step[rows] = torch.where(better, self.step, self.best_step[rows])
        return self.step - self.best_step[rows] >= self.settings.patience

    def endings(self) -> list[str]:
        """Return why each photo ended, in words for people."""
        failed = StopReason.NOT_FINITE
        pairs = zip(self.reasons, self.failed_at)
        return [reason.value + (f" at step {step}" if reason is failed else "") for reason, step in pairs]

    def stopped(self) -> str:
        """Return why the whole embedding ended early, in words, or ""."""
        if self.interrupted:
            return StopReason.INTERRUPTED.value
        pairs = zip(self.reasons, self.endings())
        return next((ending for reason, ending in pairs if reason is StopReason.NOT_FINITE), "")

    def state_dict(self) -> dict:
        """Return tensors and numbers from which `load_state_dict` goes on."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "reasons": [reason.value for reason in self.reasons],
            "failed_at": self.failed_at,
            "step": self.step,
            "steps": self.steps,
            "step_offset": self.step_offset,
            "seconds": self.seconds,
            "elapsed": self.elapsed(),
            "stage_elapsed": time.perf_counter() - self.stage_started,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on as the stopper that `state` was taken of; the clocks go on from then."""
        self.best.copy_(state["best"])
        self.best_step.copy_(state["best_step"])
        self.reasons = [StopReason(value) for value in state["reasons"]]
        self.failed_at = list(state["failed_at"])
        self.step = state["step"]
        self.steps = state["steps"]
        self.step_offset = state["step_offset"]
        self.seconds = state["seconds"]
        self.started = time.perf_counter() - state["elapsed"]
        self.stage_started = time.perf_counter() - state["stage_elapsed"]
