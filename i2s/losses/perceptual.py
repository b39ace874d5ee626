"""Differences of feature maps: the perceptual part of the paper's loss."""

import importlib.util
import inspect
from dataclasses import fields

import torch
from torch import Tensor, nn

from i2s.device import move_to
from i2s.errors import SettingsError
from i2s.losses.base import TAP_NAMES, FeatureNet, check_weight, mean_square_difference
from i2s.losses.slim import load_slim
from i2s.losses.vgg16 import VGG16Settings, cached_file, load_vgg16

NAMES = ("auto", "vgg16", "slim")


class Perceptual:
    """Mean squared difference of feature maps, each reported by its tap's name.

    Args:
        net: Network of the feature maps (`load_perceptual`, or another `FeatureNet`). If its `features` takes
            `count`, it is run no further than the last tap that has a weight.
        weights: The lambdas, in the order of the taps; a tap of weight 0 is left out.
    """

    def __init__(self, net: FeatureNet, weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)):
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


def load_perceptual(name: str = "auto", device: str | torch.device | None = None, **settings) -> nn.Module:
    """Load a perceptual network, frozen, in float32.

    Args:
        name: "vgg16" is torchvision's VGG-16, the paper's, fetched on first use. "slim" is the small one that ships
            with i2s. "auto" is vgg16 if its weights are in torch's cache already, else slim: it downloads nothing,
            and the network's `describe()` says which one it is, and why.
        device: Where to; None is the CPU.
        settings: For `VGG16Settings`; slim takes none.

    Raises:
        SettingsError: An unknown name or setting.
        DownloadError: VGG-16 cannot be fetched.
        WeightFileError: The network's file is broken.
        DeviceError: There is no such device, or no memory on it.
    """
    net = _load(name, settings)
    return move_to(net, device, net.name)


def _load(name: str, settings: dict) -> nn.Module:
    """Load the network on the CPU."""
    if name == "auto":
        if cached_file().is_file() and importlib.util.find_spec("torchvision"):
            net = _load("vgg16", settings)
            net.reason = "chosen because its weights are in torch's cache"
        else:
            net = _load("slim", {})
            net.reason = "chosen because VGG-16 is not in torch's cache (perceptual='vgg16' fetches it, 528 MB)"
        return net
    if name == "vgg16":
        known = [field.name for field in fields(VGG16Settings)]
        if unknown := sorted(set(settings) - set(known)):
            raise SettingsError(f"VGG-16 has no setting {', '.join(unknown)}: it takes {', '.join(known)}.")
        return load_vgg16(VGG16Settings(**settings))
    if name == "slim":
        if settings:
            raise SettingsError(f"The slim network takes no settings, but got {', '.join(settings)}: leave them out.")
        return load_slim()
    raise SettingsError(f"perceptual is {name!r}: it is one of {', '.join(map(repr, NAMES))}.")
