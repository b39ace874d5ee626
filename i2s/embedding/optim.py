"""Step 4, update the code: Adam, L-BFGS for batches, any class of `torch.optim`, and learning-rate schedules.

The variables of N photos are tensors [N, ...]. Photos leave the batch one by one, so an optimiser here can also go on
with some of them (`select`). To add one, write a function as `_adam` and give it a name in `OPTIMIZERS`.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from i2s.device import solve_triangular
from i2s.generators.base import Generator

Groups = list[dict[str, Any]]  # [{"params": tensors, "lr": learning rate}, ...], as in torch.optim

# ---- gradients -------------------------------------------------------------------------------------------------------

HALF_SCALE = 256.0  # the loss is multiplied by it, and the gradients divided, where convolutions are in float16


def loss_scale(generator: Generator) -> float:
    """Return what a loss is multiplied by before `backward`, so that its gradients survive half precision.

    Half precision ends at 6e-8, and a mean over an image gives smaller gradients (see `load_generator`).
    """
    half = getattr(getattr(generator, "synthesis", None), "dtype", None) is torch.float16
    return HALF_SCALE if half else 1.0


def backward(losses: Tensor, variables: list[Tensor], scale: float = 1.0) -> None:
    """Compute the gradients of losses [N]; each photo's gradient is its own.

    Args:
        losses: [N].
        variables: Tensors whose gradients are wanted.
        scale: Multiplied into the loss and divided out of the gradients (`loss_scale`).
    """
    (losses.sum() * scale).backward()
    if scale != 1.0:
        for x in variables:
            if x.grad is not None:
                x.grad /= scale


# ---- optimisers ------------------------------------------------------------------------------------------------------


class Optimizer:
    """Base of all: moves `variables`, leaves that require gradients, in place."""

    variables: list[Tensor]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for x in self.variables:
            x.grad = None

    def step(self, lr_factor: float = 1.0, losses: Tensor | None = None) -> None:
        """Make one update from the gradients in `.grad`.

        Args:
            lr_factor: What the schedule multiplies the learning rates by.
            losses: Loss of each photo at the variables as they are, [N].
        """
        raise NotImplementedError

    def select(self, index: Tensor, groups: Groups) -> "Optimizer":
        """Return the optimiser for the photos `index` of the batch, whose variables `groups` holds."""
        raise NotImplementedError

    def state_dict(self) -> dict:
        """Return all that the next step depends on, but for the variables."""
        raise NotImplementedError

    def load_state_dict(self, state: dict) -> None:
        """Go on as the optimiser that `state` was taken of."""
        raise NotImplementedError


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), written out.

    The first `torch.optim.Adam` of a process costs seconds of imports; `TorchOptimizer` takes it all the same.

    Args:
        groups: Variables and their learning rates.
        betas: Decay of the two moments.
        epsilon: Added to the denominator.
    """

    def __init__(self, groups: Groups, betas: tuple[float, float], epsilon: float):
        self.betas = betas
        self.epsilon = epsilon
        self.updates = 0
        self.rates = [group["lr"] for group in groups for _ in group["params"]]
        self.variables = [x for group in groups for x in group["params"]]
        self.first = [torch.zeros_like(x) for x in self.variables]  # moments m
        self.second = [torch.zeros_like(x) for x in self.variables]  # moments v

    @torch.no_grad()
    def step(self, lr_factor: float = 1.0, losses: Tensor | None = None) -> None:
        self.updates += 1
        beta1, beta2 = self.betas
        # the moments start at 0: without the corrections the first steps would be too small
        correction1 = 1 - beta1**self.updates
        correction2 = 1 - beta2**self.updates
        for x, m, v, rate in zip(self.variables, self.first, self.second, self.rates):
            if x.grad is None:  # a weight that the image does not depend on
                continue
            m.lerp_(x.grad, 1 - beta1)
            v.mul_(beta2).addcmul_(x.grad, x.grad, value=1 - beta2)
            root = (v.sqrt() / math.sqrt(correction2)).add_(self.epsilon)
            x.addcdiv_(m, root, value=-rate * lr_factor / correction1)

    def select(self, index: Tensor, groups: Groups) -> "Adam":
        some = Adam(groups, self.betas, self.epsilon)
        some.updates = self.updates
        some.first = [m[index] for m in self.first]
        some.second = [v[index] for v in self.second]
        return some

    def state_dict(self) -> dict:
        return {"updates": self.updates, "first": as_dict(self.first), "second": as_dict(self.second)}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        for own, name in ((self.first, "first"), (self.second, "second")):
            for k, moment in enumerate(own):
                moment.copy_(state[name][str(k)])


class LBFGS(Optimizer):
    """L-BFGS for many photos at once, each with a history and a step length of its own (Liu and Nocedal 1989).

    An embedding's loss is a smooth sum of squares of few thousand unknowns, badly scaled: just what quasi-Newton
    methods are for. From the last steps s and the changes y of the gradient that they made, the inverse of the Hessian
    is approximated (Byrd, Nocedal, Schnabel 1994, theorem 2.2),

        H = g P + [S, g P Y] [[R^-T (D + g Y^T P Y) R^-1, -R^-T], [-R^-1, 0]] [S, g P Y]^T

    with R the upper triangle of S^T Y and D its diagonal; P is the preconditioner, g its scale by the last step. There
    is no line search: a step that makes the loss rise is taken back, and the next one from there goes half as far. So
    each step costs one gradient, as Adam's do.

    Args:
        code: [N, rows, dim], moved in place.
        preconditioner: P [rows, dim, dim], or None for the identity.
        radius: No row of a code moves by more in one step.
        memory: Steps that are remembered.
    """

    STATE = ("steps", "changes", "point", "gradient", "loss", "radius")  # tensors [N, ...]

    def __init__(self, code: Tensor, preconditioner: Tensor | None, radius: float, memory: int = 50):
        self.code = code
        self.variables = [code]
        self.preconditioner = preconditioner
        self.memory = memory
        self.largest_radius = radius
        n, width = len(code), code[0].numel()
        self.steps = code.new_zeros(n, 0, width)  # S: [n, m, rows * dim], the oldest first
        self.changes = code.new_zeros(n, 0, width)  # Y
        self.point = code.new_zeros(n, width)  # of the lowest loss so far
        self.gradient = code.new_zeros(n, width)
        self.loss = code.new_full([n], torch.inf)
        self.radius = code.new_full([n], radius)

    @torch.no_grad()
    def step(self, lr_factor: float, losses: Tensor) -> None:
        point = self.code.flatten(1).clone()
        gradient = self.code.grad.flatten(1).clone()
        losses = losses.detach().to(point)

        # Take back the steps that made the loss rise
        first = not self.loss.isfinite().any()
        if not first:
            self._remember(point - self.point, gradient - self.gradient)
            worse = losses > self.loss
            self.radius = torch.where(worse, self.radius / 2, (self.radius * 2).clamp_max(self.largest_radius))
            point = torch.where(worse[:, None], self.point, point)
            gradient = torch.where(worse[:, None], self.gradient, gradient)
            losses = torch.where(worse, self.loss, losses)
        self.point = point
        self.gradient = gradient
        self.loss = losses

        # Go in the quasi-Newton direction, within the radius
        direction = -self._times_inverse_hessian(gradient)
        length = direction.view_as(self.code).norm(dim=2).amax(dim=1)  # [n]: of the row that moves most
        # nothing is known of the scale before the first step, which is a short one
        limit = self.radius * lr_factor * (0.1 if first else 1.0)
        factor = limit / length.clamp_min(1e-30)
        direction *= (factor if first else factor.clamp_max(1.0))[:, None]
        self.code.copy_((point + direction).view_as(self.code))

    def select(self, index: Tensor, groups: Groups) -> "LBFGS":
        some = LBFGS(groups[0]["params"][0], self.preconditioner, self.largest_radius, self.memory)
        for name in self.STATE:
            setattr(some, name, getattr(self, name)[index])
        return some

    def state_dict(self) -> dict:
        return {name: getattr(self, name) for name in self.STATE}

    def load_state_dict(self, state: dict) -> None:
        for name in self.STATE:
            setattr(self, name, state[name].to(self.code))

    def _remember(self, step: Tensor, change: Tensor) -> None:
        """Store a pair [n, rows * dim] where the loss curves upwards along the step, elsewhere zeros."""
        curved = (step * change).sum(1) > 1e-8 * step.norm(dim=1) * change.norm(dim=1)
        step, change = (torch.where(curved[:, None], x, 0.0)[:, None] for x in (step, change))
        self.steps = torch.cat([self.steps, step], 1)[:, -self.memory :]
        self.changes = torch.cat([self.changes, change], 1)[:, -self.memory :]

    def _precondition(self, x: Tensor) -> Tensor:
        """Multiply P into x [n, m, rows * dim]."""
        if self.preconditioner is None:
            return x
        rows, dim = self.preconditioner.shape[:2]
        x = x.reshape(-1, rows, dim).transpose(0, 1) @ self.preconditioner  # [rows, n * m, dim]
        return x.transpose(0, 1).reshape(len(self.code), -1, rows * dim)

    def _times_inverse_hessian(self, gradient: Tensor) -> Tensor:
        """Return H gradient, [n, rows * dim]."""
        plain = self._precondition(gradient[:, None])  # [n, 1, rows * dim]
        S, Y = self.steps, self.changes
        if not S.shape[1]:
            return plain[:, 0]

        # The matrices of the compact form
        PY = self._precondition(Y)
        products = S @ Y.mT  # [n, m, m]: s_i y_j
        YPY = Y @ PY.mT
        own = products.diagonal(dim1=1, dim2=2)  # [n, m]
        empty = own <= 0  # pairs that are stored as zeros: a 1 on the diagonal keeps R invertible
        R = products.triu() + torch.diag_embed(empty.to(own))

        # The scale g, of the last pair that is not empty
        curvature = YPY.diagonal(dim1=1, dim2=2)
        last = (~empty * torch.arange(1, own.shape[1] + 1, device=own.device)).amax(1)  # [n]: 0 where there is none
        place = (last - 1).clamp_min(0)[:, None]
        scale = own.gather(1, place) / curvature.gather(1, place).clamp_min(1e-30)
        scale = torch.where(last[:, None] > 0, scale, 1.0)[..., None]  # [n, 1, 1]

        # The product, from right to left
        a = S @ gradient[..., None]  # [n, m, 1]
        b = scale * (PY @ gradient[..., None])
        solved = solve_triangular(R, a, upper=True)
        middle = torch.diag_embed(own) @ solved + scale * (YPY @ solved) - b
        top = solve_triangular(R.mT, middle, upper=False)
        result = scale * plain + top.mT @ S - scale * (solved.mT @ PY)
        return result[:, 0]


class TorchOptimizer(Optimizer):
    """Adapter for a class of `torch.optim`: `TorchOptimizer(torch.optim.RMSprop, groups, alpha=0.9)`.

    Classes whose `step` needs a closure, such as torch's own L-BFGS, do not fit.

    Args:
        make: The class.
        groups: Variables and their learning rates.
        options: Further arguments of the class.
    """

    def __init__(self, make: Callable[..., torch.optim.Optimizer], groups: Groups, **options: Any):
        self.make = make
        self.options = options
        self.optimizer = make(groups, **options)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.variables = [x for group in self.optimizer.param_groups for x in group["params"]]

    def step(self, lr_factor: float = 1.0, losses: Tensor | None = None) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.rates):
            group["lr"] = rate * lr_factor
        self.optimizer.step()

    def select(self, index: Tensor, groups: Groups) -> "TorchOptimizer":
        some = TorchOptimizer(self.make, groups, **self.options)
        shapes = [x.shape for x in self.variables]
        # moments are as large as their variable; step counters are single numbers
        state = {
            k: {name: x[index] if getattr(x, "shape", None) == shapes[k] else x for name, x in moments.items()}
            for k, moments in self.optimizer.state_dict()["state"].items()
        }
        some._load(state)
        return some

    def state_dict(self) -> dict:
        return {"state": {str(k): moments for k, moments in self.optimizer.state_dict()["state"].items()}}

    def load_state_dict(self, state: dict) -> None:
        self._load({int(k): moments for k, moments in state.get("state", {}).items()})

    def _load(self, state: dict[int, dict]) -> None:
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})


def as_dict(tensors: list[Tensor]) -> dict[str, Tensor]:
    """Return {"0": tensor, "1": ...}, as checkpoints hold lists."""
    return {str(k): tensor for k, tensor in enumerate(tensors)}


def _adam(groups: Groups, betas: tuple[float, float], epsilon: float, curvature: Callable) -> Optimizer:
    return Adam(groups, betas, epsilon)


def _lbfgs(groups: Groups, betas: tuple[float, float], epsilon: float, curvature: Callable) -> Optimizer:
    preconditioner, radius = curvature()
    return LBFGS(groups[0]["params"][0], preconditioner, radius)


# name: makes the optimiser of the code from its groups, Adam's betas and epsilon, and `curvature`, a function that
# returns a preconditioner [rows, dim, dim] (or None) and a trust radius
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": _adam, "lbfgs": _lbfgs}

# ---- schedules -------------------------------------------------------------------------------------------------------
# each returns a factor of the learning rate; progress runs from 0 to 1, by steps or by the clock


def constant(progress: float) -> float:
    """Keep the learning rate (Image2StyleGAN)."""
    return 1.0


def ramp(progress: float, up: float = 0.05, down: float = 0.25) -> float:
    """Ramp up linearly, and down at the end by half a cosine (Karras et al. 2020, appendix D)."""
    falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - progress) / down))
    return falling * min(1.0, progress / up)


def cosine(progress: float) -> float:
    """Anneal by half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 + 0.5 * math.cos(math.pi * progress)


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "ramp": ramp, "cosine": cosine}


def w_noise_factor(progress: float, until: float = 0.75) -> float:
    """Return the factor of the noise on the code: (1 - progress / 0.75)^2, 0 after (StyleGAN2's projector)."""
    return max(0.0, 1 - progress / until) ** 2
