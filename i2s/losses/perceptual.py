"""Differences of feature maps: the perceptual part of the paper's loss."""

import importlib.util
import inspect
from dataclasses import fields

import torch
from torch import Tensor, nn

from i2s.errors import DeviceError, SettingsError, one_line
from i2s.losses.base import check_weight, mean_square_difference
from i2s.losses.slim import TAP_NAMES


class Perceptual:
    """Mean squared difference of four feature maps, each reported by its tap's name.

    net: has `features(images) -> four maps` (`i2s.load_perceptual`), and `tap_names` where these are others than
    `TAP_NAMES`. What goes in, and whether taps are before or after the ReLU, are its settings
    (`i2s.losses.vgg16.VGG16Settings`). weights: the lambdas, in the order of the taps; a tap of weight 0 is left
    out. A net whose `features` takes `count` is run no further than the last tap that has a weight.
    """

    def __init__(self, net, weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)):
        names = getattr(net, "tap_names", TAP_NAMES)
        if len(weights) != len(names):
            raise SettingsError(f"There are {len(names)} taps, but {len(weights)} tap weights.")
        self.net = net
        self.weights = {name: check_weight(f"tap weight {name}", value) for name, value in zip(names, weights)}
        needed = max((place for place, weight in enumerate(weights, start=1) if weight), default=0)
        can_stop = "count" in inspect.signature(net.features).parameters
        self.settings = {"count": needed} if can_stop and needed < len(names) else {}

    def prepare(self, target: Tensor) -> list[Tensor]:
        return [features.detach() for features in self.net.features(target.detach(), **self.settings)]

    def __call__(self, images: Tensor, prepared: list[Tensor], mask: Tensor | None = None) -> dict[str, Tensor]:
        taps = zip(self.weights.items(), self.net.features(images, **self.settings), prepared)
        return {
            name: weight * mean_square_difference(ours, theirs, mask) for (name, weight), ours, theirs in taps if weight
        }


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
        reason = one_line(error).rstrip(".")
        raise DeviceError(f"{net.name} cannot be put on {device} ({reason}): choose another device.") from error


def _load(name: str, settings: dict) -> nn.Module:
    """The network on the CPU."""
    if name == "auto":
        from i2s.losses.vgg16 import cached_file

        if cached_file().is_file() and importlib.util.find_spec("torchvision"):
            net = _load("vgg16", settings)
            net.reason = "chosen because its weights are in torch's cache"
        else:
            net = _load("slim", {})
            net.reason = "chosen because VGG-16 is not in torch's cache (perceptual='vgg16' fetches it, 528 MB)"
        return net
    if name == "vgg16":
        from i2s.losses.vgg16 import VGG16Settings, load_vgg16

        known = [field.name for field in fields(VGG16Settings)]
        if unknown := sorted(set(settings) - set(known)):
            raise SettingsError(f"VGG-16 has no setting {', '.join(unknown)}: it takes {', '.join(known)}.")
        return load_vgg16(VGG16Settings(**settings))
    if name == "slim":
        from i2s.losses.slim import load_slim

        if settings:
            raise SettingsError(f"The slim network takes no settings, but got {', '.join(settings)}: leave them out.")
        return load_slim()
    raise SettingsError(f"perceptual is {name!r}: it is one of {', '.join(map(repr, NAMES))}.")
