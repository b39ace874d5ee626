"""L-BFGS for many photos at once, each with a history and a step length of its own (Liu and Nocedal 1989).

An embedding's loss is a smooth sum of squares of few thousand unknowns, badly scaled: just what quasi-Newton methods
are for. From the last steps s and the changes y of the gradient that they made, the inverse of the Hessian is guessed,

    H = g P + [S, g P Y] [[R^-T (D + g Y^T P Y) R^-1, -R^-T], [-R^-1, 0]] [S, g P Y]^T

with R the upper triangle of S^T Y and D its diagonal (Byrd, Nocedal, Schnabel 1994, theorem 2.2). P is what is known of
the inverse beforehand (`i2s.embedding.preconditioner`), g its scale by the last step.
"""

import torch
from torch import Tensor

PARTS = ("steps", "changes", "point", "gradient", "loss", "radius")


class LBFGS:
    """Minimises the loss of each code [n, rows, dim] by itself; `code` is moved in place.

    inverse: P, [rows, dim, dim], or None for the identity. radius: no row of a code moves by more in one step.
    memory: steps that are remembered. There is no line search: a step that makes the loss rise is taken back, and the
    next one from there goes half as far. So each step costs one gradient, as Adam's do.
    """

    def __init__(self, code: Tensor, inverse: Tensor | None, radius: float, memory: int = 50):
        self.code, self.inverse, self.memory, self.largest = code, inverse, memory, radius
        n, width = len(code), code[0].numel()
        self.steps = code.new_zeros(n, 0, width)  # S: [n, m, rows * dim], the oldest first
        self.changes = code.new_zeros(n, 0, width)  # Y
        self.point = self.gradient = code.new_zeros(n, width)
        self.loss = code.new_full([n], torch.inf)
        self.radius = code.new_full([n], radius)

    @torch.no_grad()
    def step(self, share: float, scale: float, losses: Tensor) -> None:
        """Move the code, by its gradient in `.grad`, which is used up, and its losses [n].

        share: of the radius. scale: what the losses were multiplied by before `backward`.
        """
        point, gradient = self.code.flatten(1).clone(), self.code.grad.flatten(1) / scale
        self.code.grad = None
        losses = losses.detach().to(point)
        first = not self.loss.isfinite().any()
        if not first:
            self._remember(point - self.point, gradient - self.gradient)
            worse = losses > self.loss
            self.radius = torch.where(worse, self.radius / 2, (self.radius * 2).clamp_max(self.largest))
            point = torch.where(worse[:, None], self.point, point)
            gradient = torch.where(worse[:, None], self.gradient, gradient)
            losses = torch.where(worse, self.loss, losses)
        self.point, self.gradient, self.loss = point, gradient, losses

        direction = -self._times_inverse_hessian(gradient)
        length = direction.view_as(self.code).norm(dim=2).amax(dim=1)  # [n]: of the row that moves most
        # nothing is known of the scale before the first step, which is a short one
        limit = self.radius * share * (0.1 if first else 1.0)
        factor = limit / length.clamp_min(1e-30)
        direction *= (factor if first else factor.clamp_max(1.0))[:, None]
        self.code.copy_((point + direction).view_as(self.code))

    def of_rows(self, rows: Tensor, groups: list[dict]) -> "LBFGS":
        """The same for some of the photos, whose code `groups` holds."""
        some = LBFGS(groups[0]["params"][0], self.inverse, self.largest, self.memory)
        for name in PARTS:
            setattr(some, name, getattr(self, name)[rows])
        return some

    def state(self) -> dict[str, Tensor]:
        """The code, and all else that the next step depends on; `restore` takes it back."""
        return {"code": self.code} | {name: getattr(self, name) for name in PARTS}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on where `state` was taken."""
        self.code.data.copy_(state["code"])
        for name in PARTS:
            setattr(self, name, state[name].to(self.code))

    def _remember(self, step: Tensor, change: Tensor) -> None:
        """A pair counts where the loss curves upwards along the step; elsewhere it is stored as nothing."""
        curved = (step * change).sum(1) > 1e-8 * step.norm(dim=1) * change.norm(dim=1)
        pair = (torch.where(curved[:, None], x, 0.0)[:, None] for x in (step, change))
        self.steps, self.changes = (torch.cat([old, new], 1) for old, new in zip((self.steps, self.changes), pair))
        self.steps, self.changes = self.steps[:, -self.memory :], self.changes[:, -self.memory :]

    def _precondition(self, x: Tensor) -> Tensor:
        """P x of x [n, m, rows * dim]."""
        if self.inverse is None:
            return x
        rows, dim = self.inverse.shape[:2]
        x = x.reshape(-1, rows, dim).transpose(0, 1) @ self.inverse  # [rows, n * m, dim]
        return x.transpose(0, 1).reshape(len(self.code), -1, rows * dim)

    def _times_inverse_hessian(self, gradient: Tensor) -> Tensor:
        """H gradient, [n, rows * dim]."""
        plain = self._precondition(gradient[:, None])  # [n, 1, rows * dim]
        S, Y = self.steps, self.changes
        if not S.shape[1]:
            return plain[:, 0]
        PY = self._precondition(Y)
        products = S @ Y.mT  # [n, m, m]: s_i y_j
        YPY = Y @ PY.mT
        own = products.diagonal(dim1=1, dim2=2)  # [n, m]
        empty = own <= 0  # pairs that are stored as nothing: a 1 on the diagonal keeps R invertible
        R = products.triu() + torch.diag_embed(empty.to(own))
        curvature = YPY.diagonal(dim1=1, dim2=2)
        last = (~empty * torch.arange(1, own.shape[1] + 1, device=own.device)).amax(1)  # [n]: 0 where there is none
        place = (last - 1).clamp_min(0)[:, None]
        scale = own.gather(1, place) / curvature.gather(1, place).clamp_min(1e-30)
        scale = torch.where(last[:, None] > 0, scale, 1.0)[..., None]  # [n, 1, 1]

        a = S @ gradient[..., None]  # [n, m, 1]
        b = scale * (PY @ gradient[..., None])
        solved = torch.linalg.solve_triangular(R, a, upper=True)
        middle = torch.diag_embed(own) @ solved + scale * (YPY @ solved) - b
        top = torch.linalg.solve_triangular(R.mT, middle, upper=False)
        result = scale * plain + top.mT @ S - scale * (solved.mT @ PY)
        return result[:, 0]
