"""Contact sheets of a generator: during training, and for its report."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from i2s.edits import crossover, morph
from i2s.figures import contact_sheet
from i2s.generators.base import Generator
from i2s.images import dequantize, write_image


@torch.no_grad()
def save_progress_sheet(
    generator: Generator,
    path: Path,
    photos: Tensor | None = None,
    w: Tensor | None = None,
    dtype: torch.dtype | None = None,
    columns: int = 12,
    rows: int = 4,
) -> None:
    """Write samples at psi 1, then photos and their reconstructions, as an image without gaps.

    Args:
        generator: The generator; the same codes are drawn at every call.
        path: File to write.
        photos: [columns, 3, R, R] in [-1, 1], or None.
        w: Their codes [columns, w_dim].
        dtype: Precision of the convolutions.
        columns: Images in a row.
        rows: Rows of samples.
    """
    z = generator.sample_z(columns * rows, seed=7)
    images = [generator.synthesis(generator.mapping(z), dtype=dtype)]
    if photos is not None:
        images += [photos, generator.synthesis(w[:, None].expand(-1, generator.num_ws, -1), dtype=dtype)]
    grid = torch.cat(images).float().cpu()
    count, _, size, _ = grid.shape
    grid = grid.view(count // columns, columns, 3, size, size).permute(2, 0, 3, 1, 4)  # [3, rows, R, columns, R]
    write_image(grid.reshape(3, -1, columns * size), path)


@torch.no_grad()
def samples_sheet(generator: Generator, psi: float, count: int = 64, seed: int = 1) -> Image.Image:
    """Uncurated samples, 8 in a row."""
    z = generator.sample_z(count, seed)
    title = f"{count} samples, nothing chosen, truncation psi = {psi:g}"
    return contact_sheet(generator(z, psi), columns=8, title=title)


@torch.no_grad()
def mixing_sheet(
    generator: Generator, groups: dict[str, range], psi: float = 0.7, columns: int = 6, seed: int = 11
) -> Image.Image:
    """Style mixing: faces on the left (A) take a group of rows of their code from the faces on top (B).

    Args:
        generator: The generator.
        groups: Rows of a W+ code, by name; two faces A for each.
        psi: Truncation.
        columns: Number of faces B.
        seed: Of the codes.
    """
    top = generator.mapping(generator.sample_z(columns, seed), psi)  # [columns, num_ws, w_dim]
    left = generator.mapping(generator.sample_z(2 * len(groups), seed + 1), psi)
    white = torch.ones(1, 3, generator.resolution, generator.resolution)
    images = [white, generator.synthesis(top).cpu()]
    labels = ["A \\ B"] + ["B"] * columns
    for k, (group, rows) in enumerate(groups.items()):
        for a in left[2 * k : 2 * k + 2]:
            mixed = crossover(a[None], top, layers=rows)
            images.append(generator.synthesis(torch.cat([a[None], mixed])).cpu())
            labels += ["A"] + [f"{group} of B"] * columns
    return contact_sheet(torch.cat(images), columns=columns + 1, labels=labels, title="Style mixing")


@torch.no_grad()
def interpolation_sheet(
    generator: Generator, psi: float = 1.0, lines: int = 4, steps: int = 8, seed: int = 21
) -> Image.Image:
    """Straight lines in W from one sample to another, one in each row."""
    ends = generator.mapping(generator.sample_z(2 * lines, seed), psi).chunk(2)
    lam = torch.linspace(1, 0, steps)
    codes = torch.cat([morph(a, b, lam.to(a)) for a, b in zip(*ends)])  # [lines * steps, num_ws, w_dim]
    labels = [f"{1 - x:.2f}" for x in lam] * lines
    return contact_sheet(generator.synthesis(codes), columns=steps, labels=labels, title="Straight lines in W")


def neighbours_sheet(samples: Tensor, faces: Tensor, distances: Tensor, rows: Tensor) -> Image.Image:
    """Each sample (uint8 [N, 3, R, R]) beside the training faces nearest to it, with their distances [N, k]."""
    images = []
    labels = []
    for sample, row, far in zip(samples, rows, distances):
        images += [sample, *faces[row]]
        labels += ["sample", *(f"{d:.2f}" for d in far.tolist())]
    columns = 2 * (1 + rows.shape[1])
    title = "Samples and the training faces nearest to them"
    return contact_sheet(dequantize(torch.stack(images)), columns=columns, labels=labels, title=title)
