"""Embed photos into a latent space: Image2StyleGAN's five steps (Abdal, Qin, Wonka 2019), and later ones.

    1. start with an initial code           init.py
    2. generate an image of it              stages.py
    3. compare it with the photo            objective.py, i2s.losses
    4. update the code by gradient descent  optim.py, preconditioner.py
    5. repeat                               loop.py

simple.py       the five steps as the paper has them, in one function
embed.py        `embed`, which puts them together
settings.py     what an embedding depends on; presets.py: the settings of the papers
stages.py       what is optimised: the code, the noise maps, the generator's weights
stopping.py     when it ends; history.py: what it leaves behind; result.py: the result and its file
checkpoint.py   resuming; cuda_graphs.py: speed on CUDA
tasks.py        inpainting, colorization, super-resolution, denoising on the same loop; degradations.py
"""

from i2s.embedding.embed import embed
from i2s.embedding.history import History, Step
from i2s.embedding.init import INITS, initial_code
from i2s.embedding.presets import PRESETS, preset_settings
from i2s.embedding.result import EmbedInterrupted, EmbedResult, interrupted_result
from i2s.embedding.settings import EmbedSettings, NoiseSettings, TuningSettings
from i2s.embedding.simple import embed_simple
from i2s.embedding.stopping import StopReason
from i2s.embedding.tasks import TASKS, degradation_for, full_size
from i2s.images import load_mask

__all__ = [
    "INITS",
    "PRESETS",
    "TASKS",
    "EmbedInterrupted",
    "EmbedResult",
    "EmbedSettings",
    "History",
    "NoiseSettings",
    "Step",
    "StopReason",
    "TuningSettings",
    "degradation_for",
    "embed",
    "embed_simple",
    "full_size",
    "initial_code",
    "interrupted_result",
    "load_mask",
    "preset_settings",
]
