"""The recipes: every number that a training run is made of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A whole run. Lengths are in thousands of images (kimg) shown to the networks.

    `autoencode` and `mapping_steps` are the warm start of a CPU run; 0 leaves it out (plain StyleGAN2).
    `discriminator_lead`: the discriminator learns alone for so
    long before the generator moves. `encoded` is the share of the generator's batch that starts from encoded photos instead of random z.
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
    learning_rate: float = 0.0025
    r1_gamma: float = 0.2
    r1_interval: int = 16
    path_length_weight: float = 0.0
    path_length_interval: int = 4
    style_mixing: float = 0.5
    ema_kimg: float = 10.0
    augment_images: float = 200_000.0
    dtype: str = "bfloat16"
    report_kimg: float = 4.0
    metric_kimg: float = 40.0
    metric_samples: int = 5000


PRESETS = {
    "cpu-64": Preset(
        resolution=64,
        channels=(256, 256, 128, 64, 32),
        discriminator_channels=(256, 256, 128, 64, 32),
        autoencode=80.0,
        mapping_steps=300,
        adversarial=600.0,
        discriminator_lead=3.0,
        encoded=0.25,
        ema_kimg=5.0,
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
