"""Looking into a generator: the image after each size, the feature maps on the way, single layers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators import layers
from i2s.generators.stylegan1 import StyledLayer, StyleGAN1
from i2s.generators.stylegan2 import StyledConv, StyleGAN2


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
def feature_maps(generator: StyleGAN1 | StyleGAN2, w_plus: Tensor) -> list[Tensor]:
    """What the last layer of each size puts out, its style applied: [N, C, 4, 4] to [N, C', R, R]."""
    found: list[Tensor] = []
    last = [list(block.layers())[-1] for block in generator.synthesis.blocks]
    hooks = [layer.register_forward_hook(lambda module, inputs, x: found.append(x.cpu())) for layer in last]
    try:
        generator.synthesis(w_plus)
    finally:
        for hook in hooks:
            hook.remove()
    return found


@torch.no_grad()
def layers_at_work(generator: StyleGAN2, w_plus: Tensor) -> list[tuple[StyledConv, Tensor, Tensor]]:
    """(layer, x, style) of each convolution as it draws w_plus: feature maps x [N, in, H, W], style [N, in]."""
    found: list[tuple[StyledConv, Tensor, Tensor]] = []

    def add(layer, inputs, output):
        found.append((layer, inputs[0].cpu(), layer.affine(inputs[1]).cpu()))

    hooks = [layer.register_forward_hook(add) for block in generator.synthesis.blocks for layer in block.layers()]
    try:
        generator.synthesis(w_plus)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def adain_layer(channels: int, w_dim: int, size: int = 32, seed: int = 0) -> StyledLayer:
    """A layer of StyleGAN (1) with random weights: convolution, noise (of strength 0), bias, leaky ReLU, AdaIN."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conv = layers.EqualizedConv2d(channels, channels, 3, bias=False, gain=layers.LRELU_GAIN)
        return StyledLayer(conv, channels, size, w_dim).requires_grad_(False)


def enlarged(maps: Tensor, size: int) -> Tensor:
    """Maps [C, H, W] as [C, size, size], each pixel a square."""
    return F.interpolate(maps[None], (size, size), mode="nearest")[0]
