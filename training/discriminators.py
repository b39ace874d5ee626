"""The two networks that look at images: the discriminator judges, the encoder names the code that could have made one.

Both stand on the residual trunk of StyleGAN2's discriminator (Karras et al. 2020).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.errors import ImageError
from i2s.generators import layers


class Discriminator(nn.Module):
    """One number for each image, large where it looks real."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.trunk = Trunk(channels)
        self.conv = layers.EqualizedConv2d(channels[0] + 1, channels[0], 3)
        self.dense = layers.EqualizedLinear(channels[0] * 16, channels[0])
        self.out = layers.EqualizedLinear(channels[0], 1)

    def trained(self) -> list[nn.Parameter]:
        """The parameters that learn: all."""
        return list(self.parameters())

    def look(self, image: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """What is the same however far the discriminator has learned: here the image alone."""
        return [image]

    def judge(self, seen: list[Tensor], dtype: torch.dtype | None = None) -> Tensor:
        """The score [N] of what `look` saw."""
        x = minibatch_std(self.trunk(seen[0], dtype))
        x = layers.leaky_relu(self.conv(x))  # [N, C, 4, 4]
        x = layers.leaky_relu(self.dense(x.float().flatten(1)))
        return self.out(x).squeeze(1)

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # [N, 3, R, R] -> [N]
        return self.judge(self.look(image, dtype), dtype)


class Encoder(nn.Module):
    """A code w for each image, in one pass: where the auto-encoder starts, and where an embedding may."""

    def __init__(self, channels: tuple[int, ...], w_dim: int):
        super().__init__()
        self.channels, self.w_dim, self.resolution = channels, w_dim, 4 * 2 ** (len(channels) - 1)
        self.trunk = Trunk(channels)
        self.dense = layers.EqualizedLinear(channels[0] * 16, channels[0] * 2)
        self.out = layers.EqualizedLinear(channels[0] * 2, w_dim)

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # [N, 3, R, R] -> [N, w_dim]
        if image.shape[1:] != (3, self.resolution, self.resolution):
            shape, size = list(image.shape), self.resolution
            raise ImageError(f"The encoder got {shape}: it takes [N, 3, {size}, {size}], see i2s.load_photos.")
        x = self.trunk(image, dtype).float().flatten(1)
        x = layers.leaky_relu(self.dense(x))
        return layers.leaky_relu(self.out(x))  # w ends in a leaky ReLU, as the mapping network's does


class Trunk(nn.Module):
    """Images down to 4x4 features; `channels[k]` maps at 4 * 2**k px."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.register_buffer("fir", layers.fir_kernel())
        self.from_rgb = layers.EqualizedConv2d(3, channels[-1], 1)
        pairs = zip(channels[:0:-1], channels[-2::-1])
        self.blocks = nn.ModuleList(DownBlock(i, o) for i, o in pairs)

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # [N, 3, R, R] -> [N, C, 4, 4]
        x = image.to(dtype or image.dtype).contiguous(memory_format=torch.channels_last)
        x = layers.leaky_relu(self.from_rgb(x))
        for block in self.blocks:
            x = block(x, self.fir)
        return x


class DownBlock(nn.Module):
    """Two convolutions to half the size beside a 1x1 shortcut; the sum is scaled to keep its variance."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv0 = layers.EqualizedConv2d(in_channels, in_channels, 3)
        self.conv1 = layers.EqualizedConv2d(in_channels, out_channels, 3)
        self.shortcut = layers.EqualizedConv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor, fir: Tensor) -> Tensor:  # [N, in, H, W] -> [N, out, H/2, W/2]
        y = self.shortcut(F.avg_pool2d(x, 2)) * math.sqrt(0.5)  # a box filter is enough for the shortcut
        x = layers.leaky_relu(self.conv0(x))
        x = layers.filter2d(x, fir, padding=(2, 2))  # [N, in, H + 1, W + 1]
        weight = (self.conv1.weight * self.conv1.weight_gain).to(x.dtype)
        x = F.conv2d(x, weight, self.conv1.bias.to(x.dtype), stride=2)  # [N, out, H/2, W/2]
        return layers.leaky_relu(x, gain=1.0) + y  # sqrt(2) of the activation times sqrt(1/2) of the sum


def minibatch_std(x: Tensor, group: int = 4) -> Tensor:
    """One more feature map: how much the images of a group of four differ (ProGAN 3), so that sameness shows.

    x [N, C, H, W] -> [N, C + 1, H, W].
    """
    count, _, height, width = x.shape
    group = math.gcd(group, count)
    y = x.float().reshape(group, count // group, -1)
    y = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=1)  # [N / group]
    y = y.repeat(group).view(count, 1, 1, 1).expand(count, 1, height, width)
    return torch.cat([x, y.to(x.dtype)], dim=1)
