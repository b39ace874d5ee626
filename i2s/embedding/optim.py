"""Step 4: Adam (Kingma and Ba 2015, algorithm 1), written out.

PyTorch's own loads a compiler when it is first made, which takes a second or more; and here the moments of
single photos are taken out of a batch, and put into files.
"""

import math

import torch
from torch import Tensor

PARTS = ("variable", "first", "second")  # a variable and its moments


class Adam:
    """Moves variables against their gradients, each number by a step of its own size; all in place.

    groups: [{"params": tensors, "lr": learning rate}, ...], each tensor a leaf that requires gradients.
    first, second: the moments m and v of each tensor; steps: updates made.
    """

    def __init__(self, groups: list[dict], betas: tuple[float, float], epsilon: float):
        self.betas, self.epsilon, self.steps = betas, epsilon, 0
        self.rates = [group["lr"] for group in groups for _ in group["params"]]
        self.variables: list[Tensor] = [tensor for group in groups for tensor in group["params"]]
        self.first = [torch.zeros_like(tensor) for tensor in self.variables]
        self.second = [torch.zeros_like(tensor) for tensor in self.variables]

    @torch.no_grad()
    def step(self, share: float = 1.0, scale: float = 1.0, losses: Tensor | None = None) -> None:
        """One update from the gradients in `.grad`, which are used up, at this share of the learning rates.

        scale: what the loss was multiplied by; the gradients are divided by it. losses: of no use here.
        """
        self.steps += 1
        beta1, beta2 = self.betas
        # the moments start at 0: without the corrections the first steps would be too small
        correction1, correction2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        for x, m, v, rate in zip(self.variables, self.first, self.second, self.rates):
            if x.grad is None:  # a weight that the image does not depend on
                continue
            if scale != 1.0:
                x.grad /= scale
            m.lerp_(x.grad, 1 - beta1)
            v.mul_(beta2).addcmul_(x.grad, x.grad, value=1 - beta2)
            root = (v.sqrt() / math.sqrt(correction2)).add_(self.epsilon)
            x.addcdiv_(m, root, value=-rate * share / correction1)
            x.grad = None

    def of_rows(self, rows: Tensor, groups: list[dict]) -> "Adam":
        """The same for some of the photos, whose variables `groups` holds."""
        some = Adam(groups, self.betas, self.epsilon)
        some.steps = self.steps
        some.first, some.second = ([moment[rows] for moment in moments] for moments in (self.first, self.second))
        return some

    def state(self) -> dict[str, Tensor]:
        """The variables, and all else that the next step depends on; `restore` takes it back."""
        tensors = {"updates": torch.tensor(self.steps)}
        for k, parts in enumerate(zip(self.variables, self.first, self.second)):
            tensors |= {f"{name}.{k}": part for name, part in zip(PARTS, parts)}
        return tensors

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on where `state` was taken."""
        self.steps = int(state["updates"])
        for k, parts in enumerate(zip(self.variables, self.first, self.second)):
            for name, part in zip(PARTS, parts):
                part.data.copy_(state[f"{name}.{k}"])
