"""What does each part of a W+ code decide? Rows of one code are replaced by another's, and the change is measured.

Karras et al. 2019 (3.1): coarse layers bring pose, shape and hair, middle ones features of the face, fine ones colour.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.edits import crossover, split_for

LUMA = (0.299, 0.587, 0.114)


def layer_groups(resolution: int) -> dict[str, range]:
    """Rows of a W+ code whose layers work at 4 and 8 px (coarse), at 16 px (middle), and above (fine)."""
    coarse, middle = split_for(resolution, upto=8), split_for(resolution, upto=16)
    rows = split_for(resolution, upto=resolution) + 1
    return {"coarse": range(coarse), "middle": range(coarse, middle), "fine": range(middle, rows)}


def aspects(images: Tensor) -> dict[str, Tensor]:
    """Aspects of images [N, 3, R, R] as vectors [N, C].

    shape: the luminance on an 8 x 8 grid, without its mean and of length 1, so that brightness and contrast do not
    matter. features: what a 16 x 16 grid shows of the luminance beyond the 8 x 8 grid. detail: the strength of what is
    finer still, wherever it is. colour: the mean of the three colours.
    """
    luma = (images * torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    grid8, grid16 = (F.adaptive_avg_pool2d(luma, size) for size in (8, 16))
    centred = (grid8 - grid8.mean(dim=(2, 3), keepdim=True)).flatten(1)
    finest = luma - F.interpolate(grid16, luma.shape[2:], mode="bilinear", align_corners=False)
    return {
        "shape": F.normalize(centred, dim=1),
        "features": (grid16 - F.interpolate(grid8, scale_factor=2.0)).flatten(1),
        "detail": finest.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().flatten(1),
        "colour": images.mean(dim=(2, 3)),
    }


@torch.no_grad()
def layer_effects(generator, count: int = 256, psi: float = 1.0, seed: int = 0) -> dict[str, dict[str, float]]:
    """{group: {aspect: share}}: how much of the change from one face to another comes with a group of rows alone.

    For `count` pairs of codes the group's rows of the first are replaced by the second's; the mean squared change of
    each aspect, divided by that of replacing all rows. 0: the rows do not matter; 1: they decide all.
    """
    groups = layer_groups(generator.resolution) | {"all": range(generator.num_ws)}
    sums: dict[str, dict[str, float]] = {name: {} for name in groups}
    for z in generator.sample_z(2 * count, seed).split(64):
        ours, theirs = generator.mapping(z, psi).chunk(2)
        before = aspects(generator.synthesis(ours).clamp(-1, 1))
        for name, rows in groups.items():
            after = aspects(generator.synthesis(crossover(ours, theirs, layers=rows)).clamp(-1, 1))
            for aspect, values in after.items():
                change = (values - before[aspect]).square().sum().item()
                sums[name][aspect] = sums[name].get(aspect, 0.0) + change
    whole = sums.pop("all")
    return {name: {a: round(v / max(whole[a], 1e-12), 3) for a, v in found.items()} for name, found in sums.items()}
