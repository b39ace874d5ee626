"""The mapping network f: Z -> W of all three generators."""

from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from i2s.device import in_float64
from i2s.generators import layers
from i2s.generators.base import check_z, truncate


class MappingConfig(Protocol):
    """What the mapping network takes from a generator's configuration."""

    z_dim: int
    w_dim: int
    num_ws: int
    mapping_layers: int
    mapping_width: int | None
    mapping_lr_mul: float


class MappingNetwork(nn.Module):
    """Fully connected layers that map the normal distribution of z to the distribution of w.

    Args:
        config: `mapping_layers` layers from z_dim to w_dim, `mapping_width` wide between them (None: w_dim), with a
            learning rate multiplied by `mapping_lr_mul`.
        weight_gain: Factor on the weights' scale, and
        activation_gain: factor after the leaky ReLU. StyleGAN1 has the sqrt(2) of He's initialisation in its weights,
            StyleGAN2 and 3 after the activation.
    """

    def __init__(self, config: MappingConfig, weight_gain: float = 1.0, activation_gain: float = layers.LRELU_GAIN):
        super().__init__()
        self.z_dim = config.z_dim
        self.num_ws = config.num_ws
        self.activation_gain = activation_gain
        hidden = [config.mapping_width or config.w_dim] * (config.mapping_layers - 1)
        widths = [config.z_dim, *hidden, config.w_dim]
        self.layers = nn.ModuleList(
            layers.EqualizedLinear(i, o, lr_mul=config.mapping_lr_mul, gain=weight_gain) for i, o in pairwise(widths)
        )
        self.register_buffer("w_mean", torch.zeros(config.w_dim))

    def forward(self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """Map z to w, repeated for each style.

        Args:
            z: [N, z_dim].
            truncation_psi: 1 leaves w alone, 0 gives the mean; see `truncate`.
            truncation_cutoff: Number of rows that are truncated, from the first on; None: all.

        Returns:
            [N, num_ws, w_dim].

        Raises:
            LatentError: z has another shape.
            SettingsError: The truncation is no number, or negative.
        """
        check_z(z, self.z_dim)
        w_plus = self.to_w(z)[:, None].repeat(1, self.num_ws, 1)  # [N, num_ws, w_dim]
        return truncate(w_plus, self.w_mean, truncation_psi, truncation_cutoff)

    def mean(self, count: int = 100_000, seed: int = 0) -> Tensor:
        """Mean of w over random codes z, [w_dim]."""
        rng = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(in_float64(self.w_mean))
        with torch.no_grad():
            for some in torch.arange(count, device="cpu").split(10_000):
                z = torch.randn(len(some), self.z_dim, generator=rng, dtype=torch.float32, device="cpu").to(self.w_mean)
                total += in_float64(self.to_w(z)).sum(0)
        return (total / count).to(self.w_mean)

    def to_w(self, z: Tensor) -> Tensor:
        """Map z [N, z_dim] to w [N, w_dim], without truncation."""
        x = layers.normalize_2nd_moment(z.to(self.w_mean.dtype))
        for layer in self.layers:
            x = layers.leaky_relu(layer(x), gain=self.activation_gain)
        return x
