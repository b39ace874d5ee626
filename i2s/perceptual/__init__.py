"""Networks whose features tell how alike two pictures look: the paper's VGG-16, and a slim one that ships with i2s.

Both have `features(images)`, which gives the four feature maps of the paper's loss, `name`, and `describe()`.
"""

import importlib.util

import torch
from torch import nn

from i2s.errors import SettingsError

NAMES = ("auto", "vgg16", "slim")


def load_perceptual(name: str = "auto", device: str | torch.device | None = None, **settings) -> nn.Module:
    """A perceptual network by name, frozen, in float32 on `device` (None: the CPU).

    "vgg16": torchvision's VGG-16, the paper's; fetched on first use. `settings` go to `VGG16Settings`.
    "slim": the small one that ships with i2s; it takes no settings.
    "auto": vgg16 when its weights are in torch's cache already, else slim: it downloads nothing. Which one it is,
    and why, is in `describe()`, to be shown to the user.
    Errors: SettingsError, DownloadError, WeightFileError.
    """
    device = "cpu" if device is None else device
    if name == "auto":
        from i2s.perceptual.vgg16 import cached_file

        if cached_file().is_file() and importlib.util.find_spec("torchvision"):
            net = load_perceptual("vgg16", device, **settings)
            net.reason = "chosen because its weights are in torch's cache"
        else:
            net = load_perceptual("slim", device)
            net.reason = "chosen because VGG-16 is not in torch's cache (perceptual='vgg16' fetches it, 528 MB)"
        return net
    if name == "vgg16":
        from i2s.perceptual.vgg16 import VGG16Settings, load_vgg16

        return load_vgg16(VGG16Settings(**settings), device)
    if name == "slim":
        from i2s.perceptual.slim import load_slim

        if settings:
            raise SettingsError(f"The slim network takes no settings, but got {', '.join(settings)}: leave them out.")
        return load_slim(device=device)
    raise SettingsError(f"perceptual is {name!r}: it is one of {', '.join(map(repr, NAMES))}.")
