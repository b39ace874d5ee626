"""Tasks on the same loop, by name: degradations that the generator makes good, and the way back into the photo."""

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from i2s.embedding.degradations import Blur, Compose, Degradation, Downsample, Grey, Inpaint
from i2s.embedding.settings import EmbedSettings
from i2s.errors import ImageError, SettingsError
from i2s.images import load_mask, resize, to_tensor

TASKS = ("inpainting", "colorization", "super-resolution", "denoising")
P_NORM_WEIGHT = 0.03  # codes of random z have a P_N+ of about 1


def degradation_for(task: str, resolution: int, mask: Tensor | None = None) -> Degradation:
    """Return the degradation of a task, to be given to `embed(degradation=...)`.

    Args:
        task: "inpainting" hides what the mask leaves at 0; "colorization" takes the colours away; "super-resolution" or
            "super-resolution:PX" compares at PX px (a quarter of the resolution, but at least the 16 that feature maps
            need); "denoising" or "denoising:PX" blurs both sides by PX px (a 64th of the resolution).
        resolution: Of the generator, in px.
        mask: [N|1, 1, R, R] in 0..1, for inpainting.

    Raises:
        SettingsError: There is no such task, or its value or mask is wrong or missing.
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


def _number(task: str, value: str, default: float) -> float:
    try:
        return float(value) if value else default
    except ValueError:
        raise SettingsError(f"The task {task!r} ends in no number: write it like super-resolution:16.") from None


def with_default_p_norm(settings: EmbedSettings, degradation: Degradation | None) -> EmbedSettings:
    """Add P_N+ regularisation (II2S) for inpainting and colorization in W+, unless the settings have a weight for it.

    The rows of W+ are free where the loss sees nothing, and what they draw there is no face: the term keeps them near
    the codes of random z.
    """
    if settings.space != "w+" or settings.p_norm_weight or not _hides(degradation):
        return settings
    return replace(settings, p_norm_weight=P_NORM_WEIGHT)


def _hides(degradation: Degradation | None) -> bool:
    """True if whole parts of the image have no influence."""
    if isinstance(degradation, Compose):
        return any(map(_hides, degradation.steps))
    return isinstance(degradation, Inpaint | Grey)


def full_size(image: Tensor, photo, task: str = "", mask=None) -> Tensor:
    """Put an embedding back into the photo at its own size, in place of the central square.

    Args:
        image: [3, R, R] or [1, 3, R, R].
        photo: As for `read_image`.
        task: Of "colorization" only the colours are taken, the light being the photo's; of "inpainting" only what the
            mask hides.
        mask: For inpainting, a tensor [1, 1, R, R]; or, for edges as sharp as the photo's, an image as for `load_mask`.

    Returns:
        [1, 3, H, W] in [-1, 1].

    Raises:
        ImageError: Photo or mask cannot be read, or the mask is missing.
        SettingsError: The tensor is no mask.
    """
    whole = to_tensor(photo)  # [1, 3, H, W]
    side = min(whole.shape[2:])
    top, left = ((length - side) // 2 for length in whole.shape[2:])
    square = whole[..., top : top + side, left : left + side]  # a view
    patch = resize(image, side)
    name = task.partition(":")[0]
    if name == "colorization":
        patch = patch - patch.mean(dim=1, keepdim=True) + square.mean(dim=1, keepdim=True)
    elif name == "inpainting":
        if mask is None:
            raise ImageError("The mask of the inpainting is missing: give it, as it says what the photo knows.")
        known = load_mask(mask, side, [photo])[:1].to(whole)
        known = F.interpolate(known, (side, side), mode="bilinear")
        patch = known * square + (1 - known) * patch
    square.copy_(patch.clamp(-1, 1))
    return whole
