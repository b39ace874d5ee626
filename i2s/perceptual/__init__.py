"""Networks whose features tell how alike two pictures look: the paper's VGG-16, and a slim one that ships with i2s.

Both have `features(images)`, which gives the four feature maps of the paper's loss, `name`, and `describe()`.
"""

import importlib.util
from dataclasses import fields

import torch
from torch import nn

from i2s.errors import DeviceError, SettingsError, reason_of

NAMES = ("auto", "vgg16", "slim")


def load_perceptual(name: str = "auto", device: str | torch.device | None = None, **settings) -> nn.Module:
    """A perceptual network by name, frozen, in float32 on `device` (None: the CPU).

    "vgg16": torchvision's VGG-16, the paper's; fetched on first use. `settings` go to `VGG16Settings`.
    "slim": the small one that ships with i2s; it takes no settings.
    "auto": vgg16 when its weights are in torch's cache already, else slim: it downloads nothing. Which one it is,
    and why, is in `describe()`, to be shown to the user.
    Errors: SettingsError, DownloadError, WeightFileError, DeviceError.
    """
    net = _load(name, settings)
    try:
        return net.to("cpu" if device is None else device)
    except (RuntimeError, AssertionError, TypeError) as error:  # no such device, or no memory on it
        reason = reason_of(error).rstrip(".")
        raise DeviceError(f"{net.name} cannot be put on {device} ({reason}): choose another device.") from error


def _load(name: str, settings: dict) -> nn.Module:
    """The network on the CPU."""
    if name == "auto":
        from i2s.perceptual.vgg16 import cached_file

        if cached_file().is_file() and importlib.util.find_spec("torchvision"):
            net = _load("vgg16", settings)
            net.reason = "chosen because its weights are in torch's cache"
        else:
            net = _load("slim", {})
            net.reason = "chosen because VGG-16 is not in torch's cache (perceptual='vgg16' fetches it, 528 MB)"
        return net
    if name == "vgg16":
        from i2s.perceptual.vgg16 import VGG16Settings, load_vgg16

        known = [field.name for field in fields(VGG16Settings)]
        if unknown := sorted(set(settings) - set(known)):
            raise SettingsError(f"VGG-16 has no setting {', '.join(unknown)}: it takes {', '.join(known)}.")
        return load_vgg16(VGG16Settings(**settings))
    if name == "slim":
        from i2s.perceptual.slim import load_slim

        if settings:
            raise SettingsError(f"The slim network takes no settings, but got {', '.join(settings)}: leave them out.")
        return load_slim()
    raise SettingsError(f"perceptual is {name!r}: it is one of {', '.join(map(repr, NAMES))}.")
