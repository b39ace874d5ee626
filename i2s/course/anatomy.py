"""Looking into a generator: the image after each size, and the feature maps on the way."""

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators import layers
from i2s.generators.stylegan2 import StyleGAN2


@torch.no_grad()
def stages(generator: StyleGAN2, w_plus: Tensor) -> list[Tensor]:
    """The sum of the RGB outputs after each size, [N, 3, 4, 4] to [N, 3, R, R]: the last is the image."""
    found: list[Tensor] = []

    def add(module, inputs, rgb):
        found.append(rgb if not found else layers.upsample2x(found[-1], generator.synthesis.fir) + rgb)

    hooks = [block.to_rgb.register_forward_hook(add) for block in generator.synthesis.blocks if block.to_rgb]
    try:
        generator.synthesis(w_plus)
    finally:
        for hook in hooks:
            hook.remove()
    return [image.cpu() for image in found]


@torch.no_grad()
def feature_maps(generator: StyleGAN2, w_plus: Tensor) -> list[Tensor]:
    """What the last layer of each size puts out: [N, C, 4, 4] to [N, C', R, R]."""
    found: list[Tensor] = []
    last = [list(block.layers())[-1] for block in generator.synthesis.blocks]
    hooks = [layer.register_forward_hook(lambda module, inputs, x: found.append(x.cpu())) for layer in last]
    try:
        generator.synthesis(w_plus)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def enlarged(maps: Tensor, size: int) -> Tensor:
    """Maps [C, H, W] as [C, size, size], each pixel a square."""
    return F.interpolate(maps[None], (size, size), mode="nearest")[0]
