"""A discriminator that looks through a network which can see already (Sauer et al. 2021, "Projected GANs").

The image goes through frozen VGG-19; random, frozen convolutions mix its feature maps, first the channels of each
scale, then the scales from coarse to fine; at each scale a small network learns to tell real from generated. A
discriminator that need not learn what an eye is teaches the generator far sooner: the way for a short run.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.features import VGG19

TAPS = ("conv1_2", "conv2_2", "conv3_4")  # at 1, 1/2 and 1/4 of the size
TAP_CHANNELS = (64, 128, 256)
MIXED = (32, 64, 128)  # channels of each scale after mixing


class ProjectedDiscriminator(nn.Module):
    """Scores [N, K], K places at all scales together, large where the image looks real.

    vgg: frozen; not part of the state, since its file is at hand. resolution: of the images, 64 px or more.
    """

    def __init__(self, vgg: VGG19, resolution: int):
        super().__init__()
        self.vgg = [vgg]  # in a list, so that it is no submodule: not trained, not saved
        self.mix_channels = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(TAP_CHANNELS, MIXED))
        self.mix_scales = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1) for fine, coarse in zip(MIXED[:-1], MIXED[1:])
        )
        for conv in (*self.mix_channels, *self.mix_scales):  # random, and never trained
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias)
            conv.requires_grad_(False)
        self.heads = nn.ModuleList(head(width, resolution >> k) for k, width in enumerate(MIXED))

    def trained(self) -> list[nn.Parameter]:
        """The parameters that learn: those of the heads."""
        return list(self.heads.parameters())

    def look(self, image: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """The frozen part, most of the work: mixed feature maps of images at 1, 1/2 and 1/4 of their size."""
        self.vgg[0].to(image.device)
        taps = self.vgg[0].features(image, TAPS, dtype)
        with torch.autocast(image.device.type, dtype, enabled=dtype is not None):
            maps = [mix(tap / 100) for mix, tap in zip(self.mix_channels, taps)]  # VGG's values are in the hundreds
            for fine in (1, 0):
                coarse = F.interpolate(self.mix_scales[fine](maps[fine + 1]), scale_factor=2.0, mode="nearest")
                maps[fine] = maps[fine] + coarse
        return maps

    def judge(self, seen: list[Tensor], dtype: torch.dtype | None = None) -> Tensor:
        """The scores [N, K] of what `look` saw: the heads, which learn."""
        with torch.autocast(seen[0].device.type, dtype, enabled=dtype is not None):
            scores = [head(x).flatten(1) for head, x in zip(self.heads, seen)]
        return torch.cat(scores, dim=1).float()

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # [N, 3, R, R] -> [N, K]
        return self.judge(self.look(image, dtype), dtype)


def head(channels: int, size: int) -> nn.Sequential:
    """Halve maps [N, channels, size, size] until they are 8x8, then score each place: [N, 1, 5, 5]."""
    layers, width = [], channels
    while size > 8:
        wider = min(2 * width, 128)
        layers += [
            spectral_norm(nn.Conv2d(width, wider, 4, stride=2, padding=1, bias=False)),
            nn.BatchNorm2d(wider),
            nn.LeakyReLU(0.2),
        ]
        width, size = wider, size // 2
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(width, 1, 4)))


def hinge_generator(fake_score: Tensor) -> Tensor:
    """-D(fake): push every score of the generated images up (Lim and Ye 2017)."""
    return -fake_score.mean()


def hinge_discriminator(real_score: Tensor, fake_score: Tensor) -> Tensor:
    """max(0, 1 - D(real)) + max(0, 1 + D(fake)): scores beyond the margin need no more pushing."""
    return F.relu(1 - real_score).mean() + F.relu(1 + fake_score).mean()
