"""Tasks on the same loop: what an embedding is made blind to, and the generator fills in, by name."""

from dataclasses import replace

from torch import Tensor

from i2s.embedding.degradations import Blur, Compose, Degradation, Downsample, Grey, Inpaint
from i2s.embedding.settings import EmbedSettings
from i2s.errors import SettingsError

TASKS = ("inpainting", "colorization", "super-resolution", "denoising")
P_NORM_WEIGHT = 0.03  # codes of random z have a P_N+ of about 1


def degradation_for(task: str, resolution: int, mask: Tensor | None = None) -> Degradation:
    """The degradation of a task "NAME" or "NAME:VALUE", to be given to `embed(degradation=...)`.

    inpainting: what the mask [N|1, 1, R, R] leaves at 0 is hidden. colorization: colours are.
    super-resolution: only VALUE px are looked at (a quarter of the resolution, but at least the 16 that
    feature maps need). denoising: both sides are blurred by VALUE px (a 64th of the resolution).
    SettingsError.
    """
    name, _, value = task.partition(":")
    if name not in TASKS:
        raise SettingsError(f"The task is {name!r}: it is one of {', '.join(TASKS)}.")
    if value and name in ("inpainting", "colorization"):
        raise SettingsError(f"{name.capitalize()} takes no value, but got {value!r}: leave it out.")
    if name == "inpainting":
        if mask is None:
            raise SettingsError(
                "Inpainting needs a mask: a picture that is white where the photo is known, else black."
            )
        return Inpaint(mask)
    if name == "colorization":
        return Grey()
    if name == "super-resolution":
        size = _number(task, value, max(16, resolution // 4))
        if not 16 <= size <= resolution or size != int(size):
            raise SettingsError(
                f"The size of super-resolution is {value} px: give a whole number from 16 to {resolution}."
            )
        return Downsample(int(size))
    return Blur(_number(task, value, resolution / 64))


def held_in_w_plus(settings: EmbedSettings, degradation: Degradation | None) -> EmbedSettings:
    """The settings, with a weight on P_N+ (II2S) where the task hides whole parts: inpainting and colorization in W+.

    The rows of W+ are free where the loss sees nothing, and what they draw there is no face: the term keeps them near
    the codes of random z. A weight of the settings' own stays.
    """
    if settings.space != "w+" or settings.p_norm_weight or not _hides(degradation):
        return settings
    return replace(settings, p_norm_weight=P_NORM_WEIGHT)


def _hides(degradation: Degradation | None) -> bool:
    if isinstance(degradation, Compose):
        return any(map(_hides, degradation.steps))
    return isinstance(degradation, Inpaint | Grey)


def _number(task: str, value: str, default: float) -> float:
    try:
        return float(value) if value else default
    except ValueError:
        raise SettingsError(f"The task {task!r} ends in no number: write it like super-resolution:16.") from None
