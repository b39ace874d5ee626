"""What a search moves: the code, then perhaps the noise maps, then perhaps the generator itself (`tuning.py`).

Each stage offers `loop.descend` the same: `groups()`, what Adam updates; `draw(t)`, the image of what it has
reached; `keep(rows)`, after which only these photos are searched for; `updated()`, after each update;
`reached(terms)`, which photos are done.
"""

import zlib

import torch
from torch import Tensor

from i2s.embedding.cuda_graphs import replay_of
from i2s.embedding.init import to_w_plus
from i2s.embedding.noise_maps import normalize
from i2s.embedding.schedules import w_noise_at
from i2s.embedding.settings import EmbedSettings
from i2s.generators.base import Generator

Drawn = tuple[Tensor, list[Tensor], Tensor]  # w_plus [n, num_ws, w_dim], noise maps [n, 1, H, W], images [n, 3, R, R]


class Stage:
    """Base of all. `rows`: the places, among all photos, of those that it searches for."""

    name: str
    steps: int | None  # None: as many as the clock allows
    schedule: str = "constant"
    searches_noise: bool = False
    rows: Tensor

    def groups(self) -> list[dict]:
        """What `Adam` moves: groups of tensors [n, ...], each with its learning rate."""
        raise NotImplementedError

    def draw(self, step: int, t: float) -> Drawn:
        """2. generate: differentiable in what `groups` holds."""
        raise NotImplementedError

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the photos; `groups` holds new variables then."""
        self.rows = self.rows[rows]

    def updated(self) -> None:
        """After an update."""

    def reached(self, terms: dict[str, Tensor]) -> Tensor:
        """Which photos are as good as they need to be, [n] of bool."""
        return torch.zeros(len(self.rows), dtype=torch.bool, device=self.rows.device)


class CodeSearch(Stage):
    """The code in Z, W or W+; `noise`: maps that are searched for with it, or [] for the stored ones."""

    name = "code"

    def __init__(self, generator: Generator, settings: EmbedSettings, code: Tensor, noise: list[Tensor]):
        self.generator, self.settings, self.synthesis = generator, settings, replay_of(generator)
        self.code, *self.noise = variables([code, *noise])
        self.steps, self.schedule = settings.steps, settings.schedule
        self.rows = torch.arange(len(code), device=code.device)
        self.searches_noise = bool(noise)
        self.spread = w_spread(generator, settings.seed) if settings.w_noise else 0.0

    def groups(self) -> list[dict]:
        groups = [{"params": [self.code], "lr": self.settings.learning_rate}]
        return groups + ([{"params": self.noise, "lr": self.settings.noise.learning_rate}] if self.noise else [])

    def draw(self, step: int, t: float) -> Drawn:
        code = self.code
        if (share := w_noise_at(t)) and self.settings.w_noise:
            # by the step's own seed, so that a search that is resumed draws what it would have drawn
            rng = torch.Generator().manual_seed(zlib.crc32(f"{self.settings.seed} {step}".encode()))
            drawn = torch.randn(1, *code.shape[1:], generator=rng).to(code)
            code = code + drawn * (self.settings.w_noise * self.spread * share)
        w_plus = to_w_plus(code, self.generator, self.settings.space)  # [n, num_ws, w_dim]
        return w_plus, self.noise, self.synthesis(w_plus, self.noise)

    def keep(self, rows: Tensor) -> None:
        super().keep(rows)
        self.code, *self.noise = variables([self.code, *self.noise], rows)

    def updated(self) -> None:
        if self.noise:
            normalize(self.noise)


class NoiseSearch(Stage):
    """The noise maps, for a code that is found (Image2StyleGAN++: one after the other, never jointly)."""

    name = "noise"
    searches_noise = True

    def __init__(self, generator: Generator, settings: EmbedSettings, w_plus: Tensor, noise: list[Tensor]):
        self.generator, self.settings, self.synthesis = generator, settings, replay_of(generator)
        self.w_plus, self.noise = w_plus, variables(noise)
        self.steps = settings.steps and settings.noise.steps
        self.rows = torch.arange(len(w_plus), device=w_plus.device)

    def groups(self) -> list[dict]:
        return [{"params": self.noise, "lr": self.settings.noise.learning_rate}]

    def draw(self, step: int, t: float) -> Drawn:
        return self.w_plus, self.noise, self.synthesis(self.w_plus, self.noise)

    def keep(self, rows: Tensor) -> None:
        super().keep(rows)
        self.w_plus, self.noise = self.w_plus[rows], variables(self.noise, rows)


def variables(tensors: list[Tensor], rows: Tensor | slice = slice(None)) -> list[Tensor]:
    """Copies for Adam to move, of tensors [n, ...] or of some of their rows."""
    return [tensor.detach()[rows].clone().requires_grad_(True) for tensor in tensors]


def w_spread(generator: Generator, seed: int, count: int = 10_000) -> float:
    """Root of the mean squared distance of random w from the mean, the unit of `w_noise` (StyleGAN2)."""
    with torch.no_grad():
        parts = generator.sample_z(count, seed).split(1000)
        squares = [(generator.mapping(z)[:, 0] - generator.w_mean).square().sum(dim=1) for z in parts]
    return float(torch.cat(squares).mean().sqrt())
