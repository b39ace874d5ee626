"""Pictures of a generator: while it trains, and for its report."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from i2s.edits import crossover, morph
from i2s.images import contact_sheet, write_image
from training.dataset import to_range
from training.layer_effects import layer_groups


@torch.no_grad()
def save_sheet(trainer, path: Path, columns: int = 12, rows: int = 4) -> None:
    """A PNG: `rows` rows of averaged samples at psi 1, then photos and what encoder and generator make of them.

    The same 48 codes at every report. Without gaps, so that a run's sheets stay small.
    """
    rng = torch.Generator().manual_seed(7)
    average = trainer.average
    z = torch.randn(columns * rows, average.z_dim, generator=rng).to(trainer.device)
    pictures = [average.synthesis(average.mapping(z), dtype=trainer.dtype)]
    if trainer.preset.encoded or trainer.preset.autoencode:
        photos = to_range(trainer.faces[:columns], trainer.device)
        w = trainer.encoder(photos, trainer.dtype)
        pictures += [photos, average.synthesis(w[:, None].expand(-1, average.num_ws, -1), dtype=trainer.dtype)]
    grid = torch.cat(pictures).float().cpu()
    count, _, size, _ = grid.shape
    grid = grid.view(count // columns, columns, 3, size, size).permute(2, 0, 3, 1, 4)  # [3, rows, R, columns, R]
    write_image(grid.reshape(3, -1, columns * size), path)


@torch.no_grad()
def samples_sheet(generator, psi: float, count: int = 64, seed: int = 1) -> Image.Image:
    """Samples of seed after seed, nothing chosen, 8 in a row."""
    z = generator.sample_z(count, seed)
    title = f"{count} samples, nothing chosen, truncation psi = {psi:g}"
    return contact_sheet(generator(z, psi), columns=8, title=title)


@torch.no_grad()
def mixing_sheet(generator, psi: float = 0.7, columns: int = 6, seed: int = 11) -> Image.Image:
    """Style mixing: faces on the left (A) take a group of rows of their code from the faces on top (B)."""
    top = generator.mapping(generator.sample_z(columns, seed), psi)  # [columns, num_ws, w_dim]
    left = generator.mapping(generator.sample_z(6, seed + 1), psi)
    white = torch.ones(1, 3, generator.resolution, generator.resolution)
    images, labels = [white, generator.synthesis(top).cpu()], ["A \\ B"] + ["B"] * columns
    for k, (group, rows) in enumerate(layer_groups(generator.resolution).items()):
        for a in left[2 * k : 2 * k + 2]:
            mixed = crossover(a[None], top, layers=rows)
            images.append(generator.synthesis(torch.cat([a[None], mixed])).cpu())
            labels += ["A"] + [f"{group} of B"] * columns
    return contact_sheet(torch.cat(images), columns=columns + 1, labels=labels, title="Style mixing")


@torch.no_grad()
def interpolation_sheet(generator, psi: float = 1.0, lines: int = 4, steps: int = 8, seed: int = 21) -> Image.Image:
    """Straight lines in W from one sample to another, one in each row."""
    ends = generator.mapping(generator.sample_z(2 * lines, seed), psi).chunk(2)
    lam = torch.linspace(1, 0, steps)
    codes = torch.cat([morph(a, b, lam.to(a)) for a, b in zip(*ends)])  # [lines * steps, num_ws, w_dim]
    labels = [f"{1 - x:.2f}" for x in lam] * lines
    return contact_sheet(generator.synthesis(codes), columns=steps, labels=labels, title="Straight lines in W")


def neighbours_sheet(samples: Tensor, faces: Tensor, distances: Tensor, rows: Tensor) -> Image.Image:
    """Each sample (uint8 [N, 3, R, R]) beside the training faces nearest to it, with their distances [N, k]."""
    pictures, labels = [], []
    for sample, row, far in zip(samples, rows, distances):
        pictures += [sample, *faces[row]]
        labels += ["sample", *(f"{d:.2f}" for d in far.tolist())]
    columns = 2 * (1 + rows.shape[1])
    title = "Samples and the training faces nearest to them"
    return contact_sheet(to_range(torch.stack(pictures)), columns=columns, labels=labels, title=title)
