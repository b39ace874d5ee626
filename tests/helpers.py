"""Small networks and pictures that many tests use; nothing here needs a file."""

import torch
import torch.nn.functional as F

from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config


def tiny_generator(resolution: int = 16, seed: int = 0) -> StyleGAN2:
    """A StyleGAN2 with random weights that draws something: 16 px, 6 rows, w_dim 12, noise that shows."""
    torch.manual_seed(seed)
    channels = {16: (12, 10, 8), 32: (12, 10, 8, 8)}[resolution]
    generator = StyleGAN2(StyleGAN2Config(resolution, 12, 12, mapping_layers=2, channels=channels))
    with torch.no_grad():
        for layer in (layer for block in generator.synthesis.blocks for layer in block.layers()):
            layer.noise_strength.fill_(0.1)
        generator.mapping.w_mean.copy_(generator.mapping.to_w(torch.randn(500, 12)).mean(0))
    generator.name = "tiny"
    return generator.eval().requires_grad_(False)


class TinyEye(torch.nn.Module):
    """A stand-in for a perceptual network: four taps of fixed random convolutions."""

    name = "tiny"

    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(1)
        self.kernels = [torch.randn(4, 3, 3, 3, generator=rng) / 5 for _ in range(4)]

    def features(self, images):
        found = []
        for k, kernel in enumerate(self.kernels):
            found.append(F.relu(F.conv2d(F.avg_pool2d(images, 2 ** min(k, 2)), kernel.to(images), padding=1)))
        return found

    def describe(self):
        return "tiny test network"


def targets(generator, count: int = 2, seed: int = 5):
    """Images that the generator can reach: of random W+ codes near the mean, [count, 3, R, R]."""
    rng = torch.Generator().manual_seed(seed)
    offset = torch.randn(count, generator.num_ws, generator.w_dim, generator=rng) * 0.3
    return generator.synthesis(generator.w_mean + offset.to(generator.device)).clamp(-1, 1)
