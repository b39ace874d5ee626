"""Steps 2 to 5: generate, compare, update, repeat."""

import torch

from i2s.embedding.checkpoint import Checkpoint
from i2s.embedding.history import History
from i2s.embedding.objective import Objective
from i2s.embedding.optim import SCHEDULES, Optimizer, backward, loss_scale
from i2s.embedding.stages import Stage
from i2s.embedding.stopping import Stopper


def optimize(
    stage: Stage, objective: Objective, optimizer: Optimizer, stopper: Stopper, history: History, checkpoint: Checkpoint
) -> None:
    """Optimise the variables of a stage by gradient descent.

    `history` sees each code with its own image and loss, the last one included. A photo that is done leaves the batch.

    Args:
        stage: The variables of n photos, and how images are made of them.
        objective: The loss against these photos.
        optimizer: What updates the variables.
        stopper: Says when the stage ends, and which photos are done.
        history: Keeps what is found.
        checkpoint: Writes all of it to a file now and then.
    """
    schedule = SCHEDULES[stage.schedule]
    scale = loss_scale(stage.generator)
    while len(stage.rows):
        progress = stopper.progress()  # 0 to 1; at 1 there is no update any more

        with torch.set_grad_enabled(progress < 1):
            # 2. Generate images
            synthesis = stage.synthesize(stopper.step, progress)  # w_plus, noise, images

            # 3. Compare them with the photos
            terms = objective(*synthesis)  # {name: [n]}
        losses = sum(terms.values())  # [n]

        active = stopper.check(stage.rows, losses, stage.reached(terms))  # [n] of bool
        history.append(stopper.total_step, stage, synthesis, terms, torch.isfinite(losses))
        remaining = int(active.sum())
        if progress >= 1 or not remaining:
            return

        # 4. Update the variables
        optimizer.zero_grad()
        backward(losses, optimizer.variables, scale)
        optimizer.step(schedule(progress), losses)
        stage.updated()
        if remaining < len(active):
            index = active.nonzero().squeeze(1)
            stage = stage.select(index)
            objective = objective.select(index)
            optimizer = optimizer.select(index, stage.groups())

        # 5. Repeat
        stopper.step += 1
        checkpoint.update(stage, optimizer, stopper, history)
