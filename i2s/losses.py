"""What an embedding minimises (Abdal, Qin, Wonka 2019, equations 1 and 2):

    L = sum_j lambda_j / N_j * |F_j(G(w)) - F_j(I)|^2  +  lambda_mse / N * |G(w) - I|^2

for each image of a batch by itself. F_j are the four feature maps of a perceptual network, N_j the numbers in one of
them, C * H * W, and N those in one image, 3 * H * W.

A loss is a `Sum` of terms. A term has two methods: `prepare(target)` computes once what depends on the photo alone,
and `term(images, prepared)` gives {name: [N]}, its weighted share of the loss of each image. So the values add up.
"""

from typing import Any, Protocol

from torch import Tensor

from i2s.errors import SettingsError

TAP_NAMES = ("conv1_1", "conv1_2", "conv3_2", "conv4_2")


class Term(Protocol):
    """One part of a loss; images and targets are [N, 3, H, W] in [-1, 1]."""

    def prepare(self, target: Tensor) -> Any: ...

    def __call__(self, images: Tensor, prepared: Any) -> dict[str, Tensor]: ...


class PixelMSE:
    """Mean squared difference of the pixels, reported as "mse".

    pixel_range: the range in which the difference is taken. (0, 1), the default, is that of the ports and of the seed
    author's published numbers; the same weight with (-1, 1) means a term four times as large.
    """

    def __init__(self, weight: float = 1.0, pixel_range: tuple[float, float] = (0, 1)):
        self.weight = _weight("mse_weight", weight)
        low, high = pixel_range
        if not low < high:
            raise SettingsError(f"pixel_range is {pixel_range}, but goes from a lower to a higher number.")
        self.scale = (high - low) / 2  # images are in [-1, 1]

    def prepare(self, target: Tensor) -> Tensor:
        return target.detach()

    def __call__(self, images: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"mse": self.weight * self.scale**2 * mean_square(images - target)}


class Perceptual:
    """Mean squared difference of four feature maps, each reported by its tap's name.

    net: has `features(images) -> four maps` (`i2s.load_perceptual`). weights: the lambdas, in the order of
    `TAP_NAMES`; a tap of weight 0 is left out.
    """

    def __init__(self, net, weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)):
        if len(weights) != len(TAP_NAMES):
            raise SettingsError(f"There are {len(TAP_NAMES)} taps, but {len(weights)} tap weights.")
        self.net = net
        self.weights = {name: _weight(f"tap weight {name}", value) for name, value in zip(TAP_NAMES, weights)}

    def prepare(self, target: Tensor) -> list[Tensor]:
        return [features.detach() for features in self.net.features(target.detach())]

    def __call__(self, images: Tensor, prepared: list[Tensor]) -> dict[str, Tensor]:
        taps = zip(self.weights.items(), self.net.features(images), prepared)
        return {name: weight * mean_square(ours - theirs) for (name, weight), ours, theirs in taps if weight}


class Sum:
    """Several terms as one; `prepared` holds what each of them prepared."""

    def __init__(self, *terms: Term):
        self.terms = terms

    def prepare(self, target: Tensor) -> tuple[tuple[int, ...], list]:
        return tuple(target.shape), [term.prepare(target) for term in self.terms]

    def __call__(self, images: Tensor, prepared: tuple[tuple[int, ...], list]) -> dict[str, Tensor]:
        """{name: [N]}, weighted; differentiable in `images`. SettingsError when images and targets differ in shape."""
        shape, parts = prepared
        if tuple(images.shape) != shape:
            raise SettingsError(f"Images {list(images.shape)} and photos {list(shape)} differ in shape: resize one.")
        found: dict[str, Tensor] = {}
        for term, part in zip(self.terms, parts):
            values = term(images, part)
            if twice := found.keys() & values.keys():
                raise SettingsError(f"Two terms of the loss report {', '.join(sorted(twice))}: give one of them.")
            found |= values
        return found


class ImageLoss(Sum):
    """The paper's loss: pixels and four feature maps; all lambdas are 1 there.

        loss = ImageLoss(load_perceptual("slim"))
        prepared = loss.prepare(photos)     # once
        terms = loss(images, prepared)      # {"mse", "conv1_1", "conv1_2", "conv3_2", "conv4_2"}: [N] each
        sum(terms.values()).sum().backward()
    """

    def __init__(
        self,
        perceptual,
        mse_weight: float = 1.0,
        tap_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
        pixel_range: tuple[float, float] = (0, 1),
    ):
        pixels, features = PixelMSE(mse_weight, pixel_range), Perceptual(perceptual, tap_weights)
        terms = ([pixels] if mse_weight else []) + ([features] if any(tap_weights) else [])
        if not terms:
            raise SettingsError("All weights of the loss are 0: give at least one a value above 0.")
        super().__init__(*terms)


def mean_square(x: Tensor) -> Tensor:
    """|x|^2 / N of each image by itself, N being the numbers in one: [N, C, H, W] -> [N]."""
    return x.square().mean(dim=(1, 2, 3))


def _weight(name: str, value: float) -> float:
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name} is {value}, but must be a number of at least 0.")
    return float(value)
