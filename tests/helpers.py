"""Small networks and images that many tests use; nothing here needs a file."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.generators.base import Generator
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.generators.stylegan3 import StyleGAN3, StyleGAN3Config

NETWORKS = {StyleGAN1Config: StyleGAN1, StyleGAN2Config: StyleGAN2, StyleGAN3Config: StyleGAN3}
SIZES = {"z_dim": 6, "w_dim": 8, "mapping_layers": 2}
CONFIGS = {
    "stylegan1": StyleGAN1Config(16, **SIZES, mapping_width=7, channels=(10, 8, 6)),
    "skip": StyleGAN2Config(16, **SIZES, channels=(10, 8, 6), conv_clamp=256),
    "resnet": StyleGAN2Config(16, **SIZES, channels=(10, 8, 6), architecture="resnet"),
    "orig": StyleGAN2Config(8, **SIZES, channels=(10, 8), architecture="orig", scaled_epsilon=True),
    "stylegan3-t": StyleGAN3Config(16, **SIZES, channel_base=64, channel_max=6),
    "stylegan3-r": StyleGAN3Config(
        16, **SIZES, channel_base=64, channel_max=6, conv_kernel=1, radial_filters=True
    ),
}  # fmt: skip
DRAWS = {  # a StyleGAN2 that draws something: 6 rows (8 at 32 px), w_dim 12
    16: StyleGAN2Config(16, 12, 12, mapping_layers=2, channels=(12, 10, 8)),
    32: StyleGAN2Config(32, 12, 12, mapping_layers=2, channels=(12, 10, 8, 8)),
}


def small_generator(config: object = 16, seed: int = 0) -> Generator:
    """A small generator with random weights, frozen.

    Args:
        config: 16 or 32, the px of a StyleGAN2 whose mean latent is right and whose noise shows (`DRAWS`); a name of
            `CONFIGS`; or a configuration. In the last two, biases, noise strengths and mean latent are random, so that
            each part of the network shows.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    draws = config in DRAWS if isinstance(config, int) else False
    config = DRAWS[config] if draws else CONFIGS.get(config, config) if isinstance(config, str) else config
    generator = NETWORKS[type(config)](config)
    with torch.no_grad():
        if draws:
            for layer in (layer for block in generator.synthesis.blocks for layer in block.layers()):
                layer.noise_strength.fill_(0.1)
            generator.mapping.w_mean.copy_(generator.mapping.to_w(torch.randn(500, config.z_dim)).mean(0))
        else:
            for part, tensor in generator.state_dict().items():
                if part.endswith(("bias", "noise_strength", "w_mean")):
                    tensor.add_(torch.randn_like(tensor) * 0.2)
                if part.endswith("magnitude"):
                    tensor.mul_(1.5)
                if part.endswith("input.affine.weight"):
                    tensor.copy_(torch.randn_like(tensor))
    generator.name = "tiny"
    return generator.eval().requires_grad_(False)


def codes(generator: Generator, count: int = 2, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """W+ codes in which every row is different, [count, num_ws, w_dim]."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator.num_ws, generator.w_dim, generator=rng).to(dtype)


def targets(generator: Generator, count: int = 2, seed: int = 5) -> Tensor:
    """Images that the generator can reach: of random W+ codes near the mean, [count, 3, R, R]."""
    rng = torch.Generator().manual_seed(seed)
    offset = torch.randn(count, generator.num_ws, generator.w_dim, generator=rng) * 0.3
    return generator.synthesis(generator.w_mean + offset.to(generator.device)).clamp(-1, 1)


class FakeFeatureNet(torch.nn.Module):
    """A stand-in for every network of features: one random convolution and a ReLU for each tap; counts its calls.

    Args:
        widths: Channels of the taps.
        scales: Factors by which the images are pooled first.
        kernel: Px of the convolutions; 1 looks at single pixels.
        seed: Of the weights.
    """

    name = "tiny"

    def __init__(
        self,
        widths: Sequence[int] = (4, 4, 4, 4),
        scales: Sequence[int] = (1, 2, 4, 4),
        kernel: int = 3,
        seed: int = 1,
    ):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.kernels = [torch.randn(width, 3, kernel, kernel, generator=rng) / 5 for width in widths]
        self.scales = scales
        self.calls = 0

    def features(self, images: Tensor) -> list[Tensor]:
        self.calls += 1
        pooled = [F.avg_pool2d(images, scale) for scale in self.scales]
        return [F.relu(F.conv2d(x, k.to(x), padding=k.shape[-1] // 2)) for x, k in zip(pooled, self.kernels)]

    def forward(self, images: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        return self.features(images)

    def embedding(self, images: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Means of the maps, [N, sum of the widths]."""
        return torch.cat([x.mean(dim=(2, 3)) for x in self.features(images)], dim=1)

    def describe(self) -> str:
        return "tiny test network"
