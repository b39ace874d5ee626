"""Pivotal tuning (Roich et al. 2021): the generator learns one photo, at a code where edits work."""

import copy

import torch
from torch import Tensor

from i2s.embedding.checkpoint import Checkpoint
from i2s.embedding.history import NOT_FINITE, Recorder
from i2s.embedding.loop import descend
from i2s.embedding.objective import Objective, lpips_weight
from i2s.embedding.settings import EmbedSettings
from i2s.embedding.stages import Drawn, Stage
from i2s.generators.base import Generator


class Tuning(Stage):
    """A copy of the generator that learns to draw photo k of its code; the generator itself is left alone.

    w_plus: [1, num_ws, w_dim]. noise: maps [1, 1, H, W], or [] for the stored ones. lpips: the weight of
    LPIPS in the loss, if it has it.
    """

    name = "tuning"

    def __init__(
        self,
        generator: Generator,
        settings: EmbedSettings,
        k: int,
        w_plus: Tensor,
        noise: list[Tensor],
        lpips: float | None,
    ):
        self.settings, self.w_plus, self.noise, self.lpips = settings, w_plus, noise, lpips
        self.steps = settings.steps and settings.tuning.steps
        self.rows = torch.tensor([k], device=w_plus.device)
        self.generator = copy.deepcopy(generator)
        self.generator.synthesis.requires_grad_(True)

    def groups(self) -> list[dict]:
        return [{"params": list(self.generator.synthesis.parameters()), "lr": self.settings.tuning.learning_rate}]

    def draw(self, step: int, t: float) -> Drawn:
        return self.w_plus, self.noise, self.generator.synthesis(self.w_plus, self.noise or "const")

    def reached(self, terms: dict[str, Tensor]) -> Tensor:
        if self.lpips is None:
            return super().reached(terms)
        return terms["lpips"].detach() <= self.settings.tuning.lpips_stop * self.lpips

    def weights(self) -> dict[str, Tensor]:
        """The tuned weights, by their names in the synthesis network."""
        return {name: weight.detach().clone() for name, weight in self.generator.synthesis.named_parameters()}


def tune(
    k: int,
    objective: Objective,
    generator: Generator,
    settings: EmbedSettings,
    recorder: Recorder,
    checkpoint: Checkpoint,
    seconds: float | None,
) -> None:
    """Tune for photo k, of which alone the objective is, at the code and noise that the recorder holds.

    `recorder.tuned[k]` are the weights, also when Ctrl-C ends it. When the loss is no number any more the
    photo keeps its pivot: code and image from before.
    """
    row = slice(k, k + 1)
    noise = [maps[row] for maps in recorder.noise]
    stage = Tuning(generator, settings, k, recorder.w_plus[row], noise, lpips_weight(objective.loss))
    try:
        descend(stage, objective, settings, recorder, checkpoint, seconds)
    except KeyboardInterrupt:
        # the weights may be an update beyond the newest image: draw and compare what they draw now
        with torch.no_grad():
            drawn = stage.draw(0, 1.0)
            terms = objective(drawn[2], drawn[0], drawn[1])
        recorder.callback = None
        good = torch.ones_like(stage.rows, dtype=torch.bool)
        recorder.add(recorder.photo_steps[k] - recorder.base, stage, good, drawn, terms)
        recorder.tuned[k] = stage.weights()
        raise
    if recorder.endings[k].startswith(NOT_FINITE):
        recorder.photo_steps[k] = recorder.base
        recorder.everyone = False  # what the recorder saw last is not what the pivot draws
    else:
        recorder.tuned[k] = stage.weights()
