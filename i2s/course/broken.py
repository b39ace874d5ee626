"""Four embeddings, each with one thing wrong: the patients of lesson 4. The causes stand here: diagnose first."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from i2s.errors import SettingsError
from i2s.generators.base import Generator
from i2s.losses import ImageLoss

DEFECTS = {
    "A": {"learning_rate": 1.0},  # a hundred times the paper's
    "B": {"clear": False},  # gradients of all steps so far are added up
    "C": {"redraw": True},  # new noise at every forward
    "D": {},  # a sound search of W+, but it was asked for W
}


@dataclass(frozen=True)
class Run:
    """What a run shows: losses [steps + 1], the code [1, num_ws, w_dim] and its image [1, 3, R, R].

    compared_again: the losses of that code, drawn five more times by the same program.
    """

    losses: list[float]
    w_plus: Tensor
    image: Tensor
    compared_again: list[float]


def broken_run(name: str, photo: Tensor, generator: Generator, perceptual, steps: int = 100) -> Run:
    """Run A, B, C or D: embed `photo` [1, 3, R, R] with learning rate 0.05 and that run's defect.

    D says that it searches W. SettingsError for another name.
    """
    if name not in DEFECTS:
        raise SettingsError(f"There is no run {name!r}: they are {', '.join(DEFECTS)}.")
    return _embed(photo, generator, perceptual, steps, **DEFECTS[name])


def _embed(
    photo: Tensor,
    generator: Generator,
    perceptual,
    steps: int,
    learning_rate: float = 0.05,
    clear: bool = True,
    redraw: bool = False,
) -> Run:
    generator = with_noise(generator) if redraw else generator
    loss = ImageLoss(perceptual)
    prepared = loss.prepare(photo)
    rng = torch.Generator().manual_seed(0)

    def compare(code: Tensor) -> tuple[Tensor, Tensor]:
        drawn = [torch.randn(n.shape, generator=rng).to(n) for n in generator.noise_maps()] if redraw else "const"
        image = generator.synthesis(code, drawn)
        return image, sum(loss(image, prepared).values()).sum()

    # one row, expanded in each step, would be W; these rows only start equal and part at the first update: W+
    code = generator.w_mean.expand(1, generator.num_ws, -1).clone().requires_grad_(True)
    adam = torch.optim.Adam([code], lr=learning_rate)
    losses = []
    for step in range(steps + 1):
        image, total = compare(code)
        losses.append(total.item())
        if step < steps:
            if clear:
                adam.zero_grad()
            total.backward()
            adam.step()
    with torch.no_grad():
        again = [compare(code)[1].item() for _ in range(5)]
    return Run(losses, code.detach(), image.detach(), again)


def with_noise(generator: Generator, strength: float = 0.1) -> Generator:
    """A copy in which each noise map counts: of strength 0 in the course's generator, but not in NVIDIA's."""
    noisy = copy.deepcopy(generator)
    with torch.no_grad():
        for name, parameter in noisy.named_parameters():
            if name.endswith("noise_strength") and not parameter.any():
                parameter.fill_(strength)
    return noisy.requires_grad_(False)
