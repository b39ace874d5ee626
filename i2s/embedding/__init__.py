"""Embed photos into a latent space: Image2StyleGAN's five steps (Abdal, Qin, Wonka 2019), and later ones.

    1. start with an initial code          starts.py
    2. generate an image of it             generator.synthesis
    3. compare it with the photo           objective.py, i2s.losses
    4. update the code by gradient descent adam.py; lbfgs.py, from what metric.py says of the generator
    5. repeat                              loop.py

run.py          `embed`, the verb that puts them together
settings.py     what a search depends on; presets.py: the settings of the papers; schedules.py: learning rates
stages.py       what is searched for: the code, the noise maps (noise_maps.py); tuning.py: the generator's weights
tasks.py        inpainting, colorization, super-resolution, denoising on the same loop; full_size.py
recorder.py     what a search leaves behind; checkpoints.py: going on with one that was killed
"""

from i2s.embedding.embed import embed, load_mask
from i2s.embedding.full_size import full_size
from i2s.embedding.history import Recorder, Step
from i2s.embedding.init import initial_code
from i2s.embedding.presets import PRESETS, preset_settings
from i2s.embedding.settings import EmbedSettings, NoiseSettings, TuningSettings
from i2s.embedding.tasks import TASKS, degradation_for

__all__ = [
    "PRESETS",
    "EmbedSettings",
    "NoiseSettings",
    "Recorder",
    "Step",
    "TASKS",
    "TuningSettings",
    "degradation_for",
    "embed",
    "full_size",
    "initial_code",
    "load_mask",
    "preset_settings",
]
