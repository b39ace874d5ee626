"""Small generators of each kind, fresh and with random numbers everywhere, so that each of their parts shows."""

import torch

from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.generators.stylegan3 import StyleGAN3, StyleGAN3Config

SIZES = {"z_dim": 6, "w_dim": 8, "mapping_layers": 2}
CONFIGS = {
    "stylegan1": (StyleGAN1, StyleGAN1Config(16, **SIZES, mapping_width=7, channels=(10, 8, 6))),
    "skip": (StyleGAN2, StyleGAN2Config(16, **SIZES, channels=(10, 8, 6), conv_clamp=256)),
    "resnet": (StyleGAN2, StyleGAN2Config(16, **SIZES, channels=(10, 8, 6), architecture="resnet")),
    "orig": (StyleGAN2, StyleGAN2Config(8, **SIZES, channels=(10, 8), architecture="orig", scaled_epsilon=True)),
    "stylegan3-t": (StyleGAN3, StyleGAN3Config(16, **SIZES, channel_base=64, channel_max=6)),
    "stylegan3-r": (
        StyleGAN3,
        StyleGAN3Config(16, **SIZES, channel_base=64, channel_max=6, conv_kernel=1, radial_filters=True),
    ),
}


def network(name: str, seed: int = 0) -> torch.nn.Module:
    """A generator of `CONFIGS` whose biases, noise strengths and mean are not zero."""
    torch.manual_seed(seed)
    kind, config = CONFIGS[name]
    generator = kind(config)
    with torch.no_grad():
        for part, tensor in generator.state_dict().items():
            if part.endswith(("bias", "noise_strength", "w_mean")):
                tensor.add_(torch.randn_like(tensor) * 0.2)
            if part.endswith("magnitude"):
                tensor.mul_(1.5)
            if part.endswith("input.affine.weight"):
                tensor.copy_(torch.randn_like(tensor))
    return generator.eval().requires_grad_(False)


def codes(generator, count: int = 2, seed: int = 1, dtype=torch.float32) -> torch.Tensor:
    """W+ codes in which every row is different, [count, num_ws, w_dim]."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator.num_ws, generator.w_dim, generator=rng).to(dtype)
