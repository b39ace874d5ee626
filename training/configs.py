"""The recipes: every number that a training run is made of."""

import math
from dataclasses import dataclass, fields

from i2s.errors import SettingsError
from i2s.generators.base import check_channels, check_resolution
from training.augment import STRONGEST

DISCRIMINATORS = ("stylegan2", "projected")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Preset:
    """A whole run. Lengths are in thousands of images (kimg) shown to the networks.

    `channels[k]` feature maps at 4 * 2**k px. `autoencode` and `mapping_steps` are the warm start of a CPU run; 0
    leaves it out (plain StyleGAN2). `discriminator_lead`: the discriminator learns alone for so long before the
    generator moves. `encoded`: share of the generator's batch that starts from encoded photos instead of random z.
    `refit_kimg`: the mapping network does not take part in the game, but is fitted anew to the encoder's codes so often
    (0: it takes part). Left to the game, it drifts away from where the faces are, and random faces become fewer kinds.
    `discriminator`: "stylegan2" (learns to see by itself) or "projected" (looks through VGG-19, which can: far fewer
    images are needed). `noise`: whether the generator may use its noise inputs. In a short run it learns to make
    texture of them, speckle all over the face, before it learns to draw texture; without them it has to draw.
    SettingsError when the numbers do not go together.
    """

    resolution: int
    channels: tuple[int, ...]
    discriminator_channels: tuple[int, ...]
    z_dim: int = 256
    w_dim: int = 256
    batch: int = 32
    autoencode: float = 0.0  # kimg
    mapping_steps: int = 0
    adversarial: float = 1000.0  # kimg
    discriminator_lead: float = 0.0  # kimg
    encoded: float = 0.0
    reconstruction_weight: float = 1.0
    refit_kimg: float = 0.0
    discriminator: str = "stylegan2"
    learning_rate: float = 0.0025
    adversarial_rate: float = 0.0  # of the generator in the adversarial phase; 0: the same as learning_rate
    discriminator_rate: float = 0.0  # 0: the same as the generator's
    r1_gamma: float = 0.2
    r1_interval: int = 16
    path_length_weight: float = 0.0
    path_length_interval: int = 4
    style_mixing: float = 0.5
    noise: bool = True
    ema_kimg: float = 10.0
    augment_images: float = 200_000.0
    augment_least: float = 0.0
    dtype: str = "bfloat16"
    report_kimg: float = 4.0
    metric_kimg: float = 40.0
    metric_samples: int = 5000

    def __post_init__(self):
        blocks = check_resolution(self.resolution)
        for name in ("channels", "discriminator_channels"):
            object.__setattr__(self, name, check_channels(getattr(self, name), blocks))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
                raise SettingsError(f"{field.name} is {value}: it must be a number of at least 0.")
        for name in ("z_dim", "w_dim", "batch", "r1_interval", "path_length_interval", "augment_images", "ema_kimg"):
            if getattr(self, name) == 0:
                raise SettingsError(f"{name} is 0: it must be larger.")
        if min(self.report_kimg, self.metric_kimg) < 0.001:
            raise SettingsError("report_kimg and metric_kimg are at least 0.001, one image.")
        if self.mapping_steps and self.z_dim != self.w_dim:
            raise SettingsError(f"The warm start needs z_dim == w_dim, but they are {self.z_dim} and {self.w_dim}.")
        if self.augment_least > STRONGEST:
            raise SettingsError(f"augment_least is {self.augment_least}: at most {STRONGEST}, or faces show it.")
        if self.encoded >= 1 or self.style_mixing > 1:
            raise SettingsError("encoded is a share below 1 (some codes are random), style_mixing one of at most 1.")
        if self.discriminator not in DISCRIMINATORS:
            raise SettingsError(
                f"discriminator is {self.discriminator!r}: it is one of {', '.join(DISCRIMINATORS)}."
            )
        if self.dtype not in DTYPES:
            raise SettingsError(f"dtype is {self.dtype!r}: it is one of {', '.join(DTYPES)}.")


PRESETS = {
    "cpu-64": Preset(
        resolution=64,
        channels=(256, 256, 128, 64, 32),
        discriminator_channels=(256, 256, 128, 64, 32),
        autoencode=80.0,
        mapping_steps=300,
        adversarial=600.0,
        discriminator_lead=3.0,
        encoded=0.375,
        reconstruction_weight=3.0,
        refit_kimg=10.0,
        discriminator="projected",
        adversarial_rate=0.001,
        discriminator_rate=0.00025,
        style_mixing=0.1,
        augment_least=0.4,
        noise=False,
        metric_kimg=10.0,
    ),
    "gpu-128": Preset(
        resolution=128,
        channels=(256, 256, 256, 192, 96, 48),
        discriminator_channels=(256, 256, 256, 192, 96, 48),
        batch=64,
        adversarial=2000.0,
        r1_gamma=0.1,
        path_length_weight=2.0,
        ema_kimg=20.0,
        metric_kimg=100.0,
    ),
    "gpu-256": Preset(
        resolution=256,
        channels=(256, 256, 256, 192, 96, 48, 24),
        discriminator_channels=(256, 256, 256, 256, 128, 64, 32),
        batch=32,
        adversarial=2000.0,
        r1_gamma=0.5,
        path_length_weight=2.0,
        ema_kimg=20.0,
        metric_kimg=100.0,
    ),
}
