"""Sample sheets: the same 48 codes at every report, and photos beside their reconstructions."""

from pathlib import Path

import torch
from PIL import Image

from i2s.training.dataset import to_range


def save_sheet(trainer, path: Path, columns: int = 12, rows: int = 4) -> None:
    """A PNG: `rows` rows of averaged samples at psi 1, then photos and what encoder and generator make of them."""
    rng = torch.Generator().manual_seed(7)
    average = trainer.average
    with torch.no_grad():
        z = torch.randn(columns * rows, average.z_dim, generator=rng).to(trainer.device)
        pictures = [average.synthesis(average.mapping(z), dtype=trainer.dtype)]
        if trainer.preset.encoded or trainer.preset.autoencode:
            photos = to_range(trainer.faces[:columns], trainer.device)
            w = trainer.encoder(photos, trainer.dtype)
            pictures += [photos, average.synthesis(w[:, None].expand(-1, average.num_ws, -1), dtype=trainer.dtype)]
    grid = torch.cat(pictures).float().cpu()
    count, _, size, _ = grid.shape
    grid = grid.view(count // columns, columns, 3, size, size).permute(0, 3, 1, 4, 2).reshape(-1, columns * size, 3)
    pixels = ((grid.clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
    Image.fromarray(pixels).save(path)
