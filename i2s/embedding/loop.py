"""Steps 2 to 5: generate, compare, update, and again, until the steps or the seconds are used up."""

import time

import torch
from torch import Tensor

from i2s.embedding.checkpoints import Checkpoint, Saved
from i2s.embedding.objective import Objective
from i2s.embedding.recorder import SETTLED, Recorder
from i2s.embedding.schedules import SCHEDULES
from i2s.embedding.settings import EmbedSettings
from i2s.embedding.stages import Stage


def descend(
    stage: Stage,
    objective: Objective,
    settings: EmbedSettings,
    recorder: Recorder,
    checkpoint: Checkpoint,
    seconds: float | None = None,
) -> None:
    """Gradient descent by Adam on the photos of `objective`, which are those of the stage.

    `recorder.add` sees each code with its own image and loss, the last one included. A photo that is done (its loss
    has settled, or is as low as it needs to be, or is no number any more) leaves the batch. seconds: for this stage.
    """
    search = Search(stage, objective, settings, seconds)
    if (saved := checkpoint.take()) is not None:
        search.restore(saved)
    else:
        recorder.begin(stage)
    rate = SCHEDULES[stage.schedule]

    while len(stage.rows):
        t = search.share()
        with torch.set_grad_enabled(t < 1):
            w_plus, noise, images = drawn = stage.draw(search.step, t)  # 2. generate
            terms = search.objective(images, w_plus, noise)  # 3. compare: {name: [n]}
            total = sum(terms.values())  # [n]
        finite = torch.isfinite(total)
        recorder.add(search.step, t, stage, finite, drawn, terms)
        if t >= 1:
            return
        done = search.settled(total) | stage.reached(terms)
        recorder.end(stage.rows[done & finite], SETTLED)
        going = finite & ~done
        if not going.any():
            return
        for group in search.adam.param_groups:
            group["lr"] = group["initial_lr"] * rate(t)
        search.adam.zero_grad(set_to_none=True)
        total.sum().backward()  # each photo's gradient is its own
        search.adam.step()  # 4. update
        stage.updated()
        if not going.all():
            search.keep(going.nonzero().squeeze(1))
        search.step += 1
        if checkpoint.due():
            checkpoint.write(search.state(), recorder.state())


class Search:
    """What the loop holds of one stage: Adam, the photos' features, the clock, and when each loss last fell by enough."""

    def __init__(self, stage: Stage, objective: Objective, settings: EmbedSettings, seconds: float | None):
        self.stage, self.objective, self.settings, self.seconds = stage, objective, settings, seconds
        self.adam = self._adam()
        self.step = 0
        self.started = time.perf_counter()
        self.best = torch.full([len(stage.rows)], torch.inf, device=stage.rows.device)
        self.best_step = torch.zeros_like(stage.rows)

    def _adam(self) -> torch.optim.Adam:
        groups = [{**group, "initial_lr": group["lr"]} for group in self.stage.groups()]
        return torch.optim.Adam(groups, betas=self.settings.betas, eps=self.settings.epsilon)

    def _variables(self) -> list[Tensor]:
        return [tensor for group in self.adam.param_groups for tensor in group["params"]]

    def share(self) -> float:
        """How much of the stage is over, 0 to 1: by steps or by the clock, whichever is further."""
        by_steps = self.step / self.stage.steps if self.stage.steps else 0.0
        by_clock = 0.0 if self.seconds is None else (time.perf_counter() - self.started) / max(self.seconds, 1e-9)
        return min(1.0, max(by_steps, by_clock))

    def settled(self, total: Tensor) -> Tensor:
        """Which photos' losses have not fallen by the share `min_improvement` for `patience` steps: [n] of bool."""
        if not self.settings.patience:
            return torch.zeros_like(total, dtype=torch.bool)
        better = total.detach() < self.best * (1 - self.settings.min_improvement)
        self.best = torch.where(better, total.detach().to(self.best), self.best)
        self.best_step = torch.where(better, self.step, self.best_step)
        return self.step - self.best_step >= self.settings.patience

    def keep(self, rows: Tensor) -> None:
        """Go on with the photos `rows` of the batch: their variables, moments and features."""
        old = [self.adam.state[tensor] for tensor in self._variables()]
        self.stage.keep(rows)
        self.objective = self.objective.keep(rows)
        self.best, self.best_step = self.best[rows], self.best_step[rows]
        self.adam = self._adam()
        for tensor, state in zip(self._variables(), old):
            moments = {name: state[name][rows] for name in ("exp_avg", "exp_avg_sq")}
            self.adam.state[tensor] = {"step": state["step"]} | moments

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Tensors and notes from which `restore` goes on."""
        tensors = {"rows": self.stage.rows, "best": self.best, "best_step": self.best_step}
        for k, tensor in enumerate(self._variables()):
            tensors |= {f"{name}.{k}": value for name, value in self.adam.state[tensor].items()}
            tensors[f"variable.{k}"] = tensor
        return tensors, {"step": self.step, "spent": time.perf_counter() - self.started, "seconds": self.seconds}

    def restore(self, saved: Saved) -> None:
        """Go on where `state` was taken."""
        tensors, stage = saved.tensors, self.stage
        kept = torch.isin(stage.rows, tensors["rows"].to(stage.rows))
        if not kept.all():
            stage.keep(kept.nonzero().squeeze(1))
            self.objective = self.objective.keep(kept.nonzero().squeeze(1))
            self.adam = self._adam()
        self.best, self.best_step = tensors["best"].to(self.best), tensors["best_step"].to(stage.rows)
        for k, tensor in enumerate(self._variables()):
            tensor.data.copy_(tensors[f"variable.{k}"])
            moments = {name: tensors[f"{name}.{k}"].to(tensor) for name in ("exp_avg", "exp_avg_sq")}
            self.adam.state[tensor] = {"step": tensors[f"step.{k}"]} | moments
        self.step, self.seconds = saved.notes["step"], saved.notes["seconds"]
        self.started = time.perf_counter() - saved.notes["spent"]
