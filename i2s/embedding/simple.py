"""Image2StyleGAN as the paper states it (Abdal, Qin, Wonka 2019, algorithm 1), with PyTorch's own Adam."""

from collections.abc import Callable

import torch
from torch import Tensor

from i2s.generators.base import Generator
from i2s.losses.base import Term


@torch.inference_mode(False)  # switches gradients on, too
def embed_simple(
    target: Tensor,
    generator: Generator,
    loss: Term,
    *,
    code: Tensor | None = None,
    steps: int = 1000,
    lr: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    callback: Callable[[int, Tensor, Tensor, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Find the codes in W+ whose images look like the target images.

    Args:
        target: Photos [N, 3, R, R] in [-1, 1].
        generator: Has `w_mean` [w_dim], `num_ws` and `synthesis(w_plus)`; its weights do not change.
        loss: A term of `i2s.losses`; `ImageLoss(perceptual)` is the paper's.
        code: Initial code [N, num_ws, w_dim], which is copied; None: the mean latent in every row.
        steps: Updates.
        lr: Learning rate of Adam.
        betas: Decay of Adam's two moments.
        eps: Added to Adam's denominator.
        callback: Called before each update, and once after the last, with step, code, images [N, 3, R, R]
            and losses [N] of that code.

    Returns:
        The codes [N, num_ws, w_dim], and the losses [steps + 1, N] before each update and after the last.
    """
    # 1. Start with an initial code
    if code is None:
        code = generator.w_mean.expand(len(target), generator.num_ws, -1)
    code = code.detach().clone().requires_grad_(True)
    optimizer = torch.optim.Adam([code], lr=lr, betas=betas, eps=eps)
    prepared = loss.prepare(target)  # the feature maps of the photos, computed once
    losses = []

    for step in range(steps + 1):
        # 2. Generate an image
        images = generator.synthesis(code)

        # 3. Compare it with the photo
        values = sum(loss(images, prepared).values())  # [N]
        losses.append(values.detach())
        if callback is not None:
            callback(step, code, images, values)
        if step == steps:
            break

        # 4. Update the code by gradient descent
        optimizer.zero_grad()
        values.sum().backward()  # each photo's gradient is its own
        optimizer.step()
    # 5. Repeat
    return code.detach(), torch.stack(losses)
