"""Steps 2 to 5: generate, compare, update, and again, until the steps or the seconds are used up."""

import time

import torch
from torch import Tensor

from i2s.embedding.checkpoint import Checkpoint, Saved
from i2s.embedding.history import SETTLED, Recorder
from i2s.embedding.lbfgs import LBFGS
from i2s.embedding.objective import Objective, loss_scale
from i2s.embedding.optim import Adam
from i2s.embedding.preconditioner import inverse_metric
from i2s.embedding.schedules import SCHEDULES
from i2s.embedding.settings import EmbedSettings
from i2s.embedding.stages import Stage, w_spread


def descend(
    stage: Stage,
    objective: Objective,
    settings: EmbedSettings,
    recorder: Recorder,
    checkpoint: Checkpoint,
    seconds: float | None = None,
) -> None:
    """Gradient descent, by Adam or L-BFGS, on the photos of `objective`, which are those of the stage.

    `recorder.add` sees each code with its own image and loss, the last one included. A photo that is done
    (its loss has settled, or is as low as it needs to be, or is no number any more) leaves the batch.
    seconds: for this stage.
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
        recorder.add(search.step, stage, finite, drawn, terms)
        done = search.settled(total) | stage.reached(terms) | ~finite
        all_go_on = not done.any()
        if not all_go_on:
            recorder.end(stage.rows[done & finite], SETTLED)
        if t >= 1 or done.all():
            return
        (total.sum() * search.scale).backward()  # each photo's gradient is its own
        search.optimizer.step(rate(t), search.scale, total)  # 4. update
        stage.updated()
        if not all_go_on:
            search.keep((~done).nonzero().squeeze(1))
        search.step += 1
        if checkpoint.due():
            checkpoint.write(search.state(), recorder.state())


class Search:
    """What the loop holds of one stage: the optimizer, the objective, the clock, and when each loss last fell."""

    def __init__(self, stage: Stage, objective: Objective, settings: EmbedSettings, seconds: float | None):
        self.stage, self.objective, self.settings, self.seconds = stage, objective, settings, seconds
        self.scale = loss_scale(stage.generator)
        self.step = 0
        self.started = time.perf_counter()
        self.optimizer = optimizer(stage, objective, settings)  # its time counts
        self.best = torch.full([len(stage.rows)], torch.inf, device=stage.rows.device)
        self.best_step = torch.zeros_like(stage.rows)

    def share(self) -> float:
        """How much of the stage is over, 0 to 1: by steps or by the clock, whichever is further."""
        by_steps = self.step / self.stage.steps if self.stage.steps else 0.0
        by_clock = 0.0 if self.seconds is None else (time.perf_counter() - self.started) / max(self.seconds, 1e-9)
        return min(1.0, max(by_steps, by_clock))

    def settled(self, total: Tensor) -> Tensor:
        """Which losses have not fallen by the share `min_improvement` for `patience` steps: [n] of bool."""
        if not self.settings.patience:
            return torch.zeros_like(total, dtype=torch.bool)
        better = total.detach() < self.best * (1 - self.settings.min_improvement)
        self.best = torch.where(better, total.detach().to(self.best), self.best)
        self.best_step = torch.where(better, self.step, self.best_step)
        return self.step - self.best_step >= self.settings.patience

    def keep(self, rows: Tensor) -> None:
        """Go on with the photos `rows` of the batch: their variables, moments and features."""
        self.stage.keep(rows)
        self.objective = self.objective.keep(rows)
        self.optimizer = self.optimizer.of_rows(rows, self.stage.groups())
        self.best, self.best_step = self.best[rows], self.best_step[rows]

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """Tensors and notes from which `restore` goes on."""
        tensors = {"rows": self.stage.rows, "best": self.best, "best_step": self.best_step}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        notes = {"step": self.step, "seconds": self.seconds, "spent": time.perf_counter() - self.started}
        return tensors, notes

    def restore(self, saved: Saved) -> None:
        """Go on where `state` was taken."""
        tensors, stage = saved.tensors, self.stage
        kept = torch.isin(stage.rows, tensors["rows"].to(stage.rows))
        if not kept.all():
            self.keep(kept.nonzero().squeeze(1))
        parts = {name.removeprefix("optimizer."): t for name, t in tensors.items() if name.startswith("optimizer.")}
        self.optimizer.restore(parts)
        self.best, self.best_step = tensors["best"].to(self.best), tensors["best_step"].to(stage.rows)
        self.step, self.seconds = saved.notes["step"], saved.notes["seconds"]
        self.started = time.perf_counter() - saved.notes["spent"]


def optimizer(stage: Stage, objective: Objective, settings: EmbedSettings) -> Adam | LBFGS:
    """What moves the variables of a stage: Adam, or, where the settings say so, L-BFGS the code."""
    if settings.optimizer == "adam" or stage.name != "code":
        return Adam(stage.groups(), settings.betas, settings.epsilon)
    generator, code = stage.generator, stage.code
    if settings.space == "z":
        return LBFGS(code, None, code.shape[2] ** 0.5 / 2)  # random z are about sqrt(z_dim) from 0
    inverse = inverse_metric(generator, objective.loss)
    if inverse is not None and settings.space == "w":
        # one row that all layers read: their Hessians add up
        inverse = torch.linalg.inv(torch.linalg.inv(inverse.double()).sum(0, keepdim=True)).to(inverse)
    return LBFGS(code, inverse, w_spread(generator, settings.seed, 1000) / 2)
