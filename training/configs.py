"""Training configurations: `CONFIGS["cpu-64"]`, `CONFIGS["faces-128"]`."""

import math
from dataclasses import dataclass, fields

from i2s.errors import SettingsError
from i2s.generators.base import check_channels, check_resolution
from training.augment import PIPELINES, STRONGEST

DISCRIMINATORS = ("stylegan2", "projected")
MAPPINGS = ("adversarial", "refit", "match")
DTYPES = ("float32", "bfloat16", "float16")
SHARES = ("encoded", "blended", "style_mixing", "encoder_rate", "freeze_from", "noise_from", "decay")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run. Lengths are in thousands of images (kimg); shares are in 0..1.

    Raises:
        SettingsError: The settings do not go together.
    """

    # Networks: `channels[k]` feature maps at 4 * 2**k px
    resolution: int
    channels: tuple[int, ...]  # generator
    discriminator_channels: tuple[int, ...]
    encoder_channels: tuple[int, ...]
    z_dim: int = 256
    w_dim: int = 256
    discriminator: str = "stylegan2"  # or "projected": heads on frozen VGG-19 features

    # Phases
    hold: float = 0.0  # kimg at the start that only the encoder learns, if the generator is a trained one (--start)
    autoencode: float = 0.0  # kimg; 0: no warm start
    mapping_steps: int = 0  # optimiser steps of each fit of the mapping network to the codes of the faces
    adversarial: float = 1000.0  # kimg
    discriminator_lead: float = 0.0  # kimg at the start of the adversarial phase that only the discriminator learns

    # Codes
    mapping: str = "adversarial"  # learns by the adversarial loss; "refit": fitted to the codes now and then;
    # "match": follows the bank of the codes at every step (sliced Wasserstein distance)
    refit_kimg: float = 10.0  # interval of the fits, for "refit"
    encoded: float = 0.0  # share of the generator's batch that comes from encoded photos
    blended: float = 0.0  # share of the random codes that are blends of two faces' codes
    style_mixing: float = 0.5  # share of the random codes that mix two (StyleGAN, 3.1)
    code_noise: float = 0.0  # added to the codes of photos; in standard deviations of the codes
    code_penalty: float = 0.0  # weight of the mean square of the codes, while auto-encoding
    freeze_from: float = 1.0  # share of the adversarial phase from which the encoder and the bank stand still

    # Losses and regularisers
    reconstruction_weight: float = 1.0
    r1_gamma: float = 0.2
    r1_interval: int = 16  # steps
    noise_from: float = 0.0  # share of the adversarial phase without noise inputs; 0: always on, 1: never

    # Optimisers
    batch: int = 32
    learning_rate: float = 0.0025
    adversarial_rate: float = 0.0  # of the generator in the adversarial phase; 0: learning_rate
    discriminator_rate: float = 0.0  # 0: the generator's
    encoder_rate: float = 1.0  # of the generator's rate, in the adversarial phase
    match_rate: float = 0.002  # of the mapping network, for "match"
    warm_up: float = 0.0  # kimg of rising rates at the start of each phase
    decay: float = 0.0  # share of the adversarial phase, at its end, of rates that fall to a twentieth
    ema_kimg: float = 10.0  # half-life of the moving average of the generator

    # Augmentation (ADA)
    augment: str = "diffaugment"  # or "ada": geometry too
    augment_images: float = 200_000.0  # images in which p may go from 0 to 1
    augment_least: float = 0.0  # p never falls below

    # Precision of the convolutions, and reports
    dtype: str = "bfloat16"
    report_kimg: float = 4.0
    metric_kimg: float = 40.0
    metric_samples: int = 5000

    def __post_init__(self):
        blocks = check_resolution(self.resolution)
        for name in ("channels", "discriminator_channels", "encoder_channels"):
            object.__setattr__(self, name, check_channels(getattr(self, name), blocks))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
                raise SettingsError(f"{field.name} is {value}: it must be a number of at least 0.")
        for name in ("z_dim", "w_dim", "batch", "r1_interval", "augment_images", "ema_kimg", "refit_kimg"):
            if getattr(self, name) == 0:
                raise SettingsError(f"{name} is 0: it must be larger.")
        for name in SHARES:
            if getattr(self, name) > 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: it is a share, at most 1.")
        if int(self.batch * self.encoded) == self.batch:
            raise SettingsError("encoded leaves no random codes in the batch: choose less.")
        if min(self.report_kimg, self.metric_kimg) < 0.001:
            raise SettingsError("report_kimg and metric_kimg are at least 0.001, one image.")
        if self.mapping_steps and self.z_dim != self.w_dim:
            raise SettingsError(f"The warm start needs z_dim == w_dim, but they are {self.z_dim} and {self.w_dim}.")
        if (self.blended or self.mapping == "match" or self.freeze_from < 1) and not self.mapping_steps:
            raise SettingsError("blended, freeze_from and mapping='match' need the codes of a warm start.")
        if self.augment_least > STRONGEST:
            raise SettingsError(f"augment_least is {self.augment_least}: at most {STRONGEST}, or faces show it.")
        for name, values in (
            ("discriminator", DISCRIMINATORS),
            ("mapping", MAPPINGS),
            ("augment", tuple(PIPELINES)),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in values:
                raise SettingsError(f"{name} is {getattr(self, name)!r}: it is one of {', '.join(values)}.")


CONFIGS = {
    # Two cores of a CPU, a night
    "cpu-64": TrainConfig(
        resolution=64,
        channels=(256, 256, 128, 64, 32),
        discriminator_channels=(256, 256, 128, 64, 32),
        encoder_channels=(256, 256, 128, 64, 32),
        discriminator="projected",
        autoencode=80.0,
        mapping_steps=300,
        adversarial=600.0,
        discriminator_lead=3.0,
        mapping="refit",
        refit_kimg=10.0,
        encoded=0.375,
        style_mixing=0.1,
        code_noise=0.1,
        code_penalty=0.01,
        reconstruction_weight=3.0,
        noise_from=1.0,
        adversarial_rate=0.001,
        discriminator_rate=0.00025,
        augment_least=0.4,
        metric_kimg=10.0,
    ),
    # One GPU, a quarter of an hour; the generator has the layout of the papers: z and w of 512, 8 mapping layers
    "faces-128": TrainConfig(
        resolution=128,
        channels=(256, 256, 256, 128, 64, 32),
        discriminator_channels=(256, 256, 256, 192, 96, 32),
        encoder_channels=(256, 256, 256, 128, 64, 32),
        z_dim=512,
        w_dim=512,
        hold=60.0,
        autoencode=240.0,
        mapping_steps=600,
        adversarial=1200.0,
        mapping="match",
        encoded=0.375,
        blended=0.35,
        style_mixing=0.1,
        code_noise=0.1,
        freeze_from=0.5,
        reconstruction_weight=2.0,
        r1_gamma=0.3,
        r1_interval=8,
        noise_from=0.75,
        batch=64,
        learning_rate=0.002,
        encoder_rate=0.2,
        warm_up=6.4,
        decay=0.25,
        augment="ada",
        augment_images=150_000.0,
        augment_least=0.1,
        report_kimg=12.8,
        metric_kimg=100.0,
    ),
}
