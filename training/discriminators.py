"""Discriminators: StyleGAN2's, and the projected one on frozen VGG-19 features.

Both split a score into `features`, which no training changes, and `head`, which learns, so that a step computes the
features of generated images once for the losses of both networks.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from i2s.encoder import Backbone
from i2s.generators import layers
from training.features import VGG19

TAPS = ("conv1_2", "conv2_2", "conv3_4")  # at 1, 1/2 and 1/4 of the size
TAP_CHANNELS = (64, 128, 256)
MIXED = (32, 64, 128)  # channels of each scale after mixing


class Discriminator(nn.Module):
    """StyleGAN2's residual discriminator (Karras et al. 2020): logits [N], large for real images.

    Args:
        channels: Feature maps; `channels[k]` at 4 * 2**k px.
    """

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.backbone = Backbone(channels)
        self.conv = layers.EqualizedConv2d(channels[0] + 1, channels[0], 3)
        self.dense = layers.EqualizedLinear(channels[0] * 16, channels[0])
        self.out = layers.EqualizedLinear(channels[0], 1)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters: all."""
        return list(self.parameters())

    def features(self, image: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Frozen features of the images; this discriminator has none, so the images themselves."""
        return [image]

    def head(self, features: list[Tensor], dtype: torch.dtype | None = None) -> Tensor:
        """Logits [N] from the features."""
        x = minibatch_std(self.backbone(features[0], dtype))
        x = layers.leaky_relu(self.conv(x))  # [N, C, 4, 4]
        x = layers.leaky_relu(self.dense(x.float().flatten(1)))
        return self.out(x).squeeze(1)

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # [N, 3, R, R] -> [N]
        return self.head(self.features(image, dtype), dtype)


def minibatch_std(x: Tensor, group: int = 4) -> Tensor:
    """Append the standard deviation within groups of four images as a feature map (ProGAN, 3).

    x [N, C, H, W] -> [N, C + 1, H, W].
    """
    count, _, height, width = x.shape
    group = math.gcd(group, count)
    y = x.float().reshape(group, count // group, -1)
    y = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=1)  # [N / group]
    y = y.repeat(group).view(count, 1, 1, 1).expand(count, 1, height, width)
    return torch.cat([x, y.to(x.dtype)], dim=1)


class ProjectedDiscriminator(nn.Module):
    """Projected discriminator: heads on frozen VGG-19 features (Sauer et al. 2021), logits [N, K] at K places.

    Random, frozen convolutions mix the feature maps, first the channels of each scale, then the scales from coarse to
    fine; at each scale a small network learns to tell real from generated. Features that exist already need far fewer
    images than features to be learned.

    Args:
        vgg: Frozen; not part of the state.
        resolution: Of the images, 64 px or more.
    """

    def __init__(self, vgg: VGG19, resolution: int):
        super().__init__()
        self.vgg = [vgg]  # in a list, so that it is no submodule: not trained, not saved
        self.mix_channels = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(TAP_CHANNELS, MIXED))
        self.mix_scales = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1) for fine, coarse in itertools.pairwise(MIXED)
        )
        for conv in (*self.mix_channels, *self.mix_scales):  # random, and never trained
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)
            conv.requires_grad_(False)
        self.heads = nn.ModuleList(projected_head(width, resolution >> k) for k, width in enumerate(MIXED))

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters: those of the heads."""
        return list(self.heads.parameters())

    def features(self, image: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Mixed VGG-19 features of images [N, 3, R, R], at 1, 1/2 and 1/4 of their size; most of the work."""
        self.vgg[0].to(image.device)
        taps = self.vgg[0].features(image, TAPS, dtype)
        with torch.autocast(image.device.type, dtype, enabled=dtype is not None):
            maps = [mix(tap / 100) for mix, tap in zip(self.mix_channels, taps)]  # VGG's values are in the hundreds
            for fine in (1, 0):
                coarse = F.interpolate(self.mix_scales[fine](maps[fine + 1]), scale_factor=2.0, mode="nearest")
                maps[fine] = maps[fine] + coarse
        return maps

    def head(self, features: list[Tensor], dtype: torch.dtype | None = None) -> Tensor:
        """Logits [N, K] from the features."""
        with torch.autocast(features[0].device.type, dtype, enabled=dtype is not None):
            logits = [head(x).flatten(1) for head, x in zip(self.heads, features)]
        return torch.cat(logits, dim=1).float()

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # [N, 3, R, R] -> [N, K]
        return self.head(self.features(image, dtype), dtype)


def projected_head(channels: int, size: int) -> nn.Sequential:
    """Build a head: halve maps [N, channels, size, size] down to 8x8, then score each place, [N, 1, 5, 5]."""
    modules: list[nn.Module] = []
    width = channels
    while size > 8:
        wider = min(2 * width, 128)
        modules += [
            spectral_norm(nn.Conv2d(width, wider, 4, stride=2, padding=1, bias=False)),
            nn.BatchNorm2d(wider),
            nn.LeakyReLU(0.2),
        ]
        width = wider
        size = size // 2
    return nn.Sequential(*modules, spectral_norm(nn.Conv2d(width, 1, 4)))
