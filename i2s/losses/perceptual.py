"""Differences of feature maps: the perceptual part of the paper's loss."""

import inspect

from torch import Tensor

from i2s.errors import SettingsError
from i2s.losses.term import check_weight, mean_square_difference
from i2s.perceptual.slim import TAP_NAMES


class Perceptual:
    """Mean squared difference of four feature maps, each reported by its tap's name.

    net: has `features(images) -> four maps` (`i2s.load_perceptual`), and `tap_names` where these are others than
    `TAP_NAMES`. What goes in, and whether taps are before or after the ReLU, are its settings
    (`i2s.perceptual.vgg16.VGG16Settings`). weights: the lambdas, in the order of the taps; a tap of weight 0 is left
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
