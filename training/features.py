"""SqueezeNet 1.1 features: the eye of the auto-encoder's loss and of the metric (Iandola et al. 2016)."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from i2s.errors import WeightFileError, one_line

MEAN_BGR = (103.939, 116.779, 123.68)
FIRES = [f"fire{k}.{part}" for k in range(2, 10) for part in ("squeeze1x1", "expand1x1", "expand3x3")]
LAYERS = ("conv1", *FIRES)


def read_weights(path: str | Path, layers: Sequence[str], what: str) -> nn.ParameterDict:
    """`{layer}_weight` and `{layer}_bias` of a safetensors file, frozen, float32; WeightFileError if missing."""
    try:
        with safe_open(str(path), framework="pt") as file:
            names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
            found = {name.replace(".", "_"): file.get_tensor(name).float() for name in names}
    except (OSError, SafetensorError) as error:
        reason = one_line(error)
        raise WeightFileError(f"{path} does not hold the weights of {what} ({reason}): give their file.") from error
    return nn.ParameterDict({name: nn.Parameter(tensor, requires_grad=False) for name, tensor in found.items()})


class SqueezeNet(nn.Module):
    """Frozen SqueezeNet 1.1, read from a safetensors file with `conv1` and `fire2` .. `fire9`.

    Called with images [N, 3, H, W] in [-1, 1], it returns four feature maps, at 1/4, 1/8, 1/16 and 1/16 of the size.
    """

    def __init__(self, path: str | Path):
        super().__init__()
        self.weights = read_weights(path, LAYERS, "SqueezeNet 1.1")
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))

    def _conv(self, x: Tensor, name: str, **options) -> Tensor:
        weight, bias = self.weights[f"{name}_weight"], self.weights[f"{name}_bias"]
        return F.relu(F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), **options))

    def _fire(self, x: Tensor, name: str) -> Tensor:
        x = self._conv(x, f"{name}_squeeze1x1")
        return torch.cat([self._conv(x, f"{name}_expand1x1"), self._conv(x, f"{name}_expand3x3", padding=1)], dim=1)

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        x = (image.flip(1) + 1) * 127.5 - self.mean  # BGR, 0..255, minus the mean
        x = x.to(dtype or x.dtype).contiguous(memory_format=torch.channels_last)
        pool = lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)  # noqa: E731
        x = pool(self._conv(x, "conv1", stride=2))
        x = self._fire(self._fire(x, "fire2"), "fire3")
        taps = [x]  # [N, 128, H/4, W/4]
        x = self._fire(self._fire(pool(x), "fire4"), "fire5")
        taps.append(x)  # [N, 256, H/8, W/8]
        x = self._fire(self._fire(pool(x), "fire6"), "fire7")
        taps.append(x)  # [N, 384, H/16, W/16]
        x = self._fire(self._fire(x, "fire8"), "fire9")
        return taps + [x]  # [N, 512, H/16, W/16]

    def embedding(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """One vector for each image: the last features averaged over the picture, [N, 512]."""
        return self(image, dtype)[-1].float().mean(dim=(2, 3))


def feature_distance(ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
    """Distance of two lists of feature maps: squared difference of each pixel's features of length 1; a scalar."""
    total = 0.0
    for a, b in zip(ours, theirs):
        total = total + (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(dim=1).mean()
    return total / len(ours)


class VGG19(nn.Module):
    """Frozen VGG-19 up to conv3_4 (Simonyan and Zisserman 2015): a second judge, unknown to the training's losses."""

    LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4")

    def __init__(self, path: str | Path):
        super().__init__()
        self.weights = read_weights(path, self.LAYERS, "VGG-19")
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))

    def features(self, image: Tensor, taps: Sequence[str], dtype: torch.dtype | None = None) -> list[Tensor]:
        """The maps of the layers `taps`, after the ReLU, of images [N, 3, H, W] in [-1, 1]; values in the hundreds."""
        x = (image.flip(1) + 1) * 127.5 - self.mean  # BGR, 0..255, minus the mean
        x = x.to(dtype or x.dtype).contiguous(memory_format=torch.channels_last)
        found = {}
        for layer in self.LAYERS[: self.LAYERS.index(taps[-1]) + 1]:
            if layer in ("conv2_1", "conv3_1"):
                x = F.max_pool2d(x, 2)
            weight, bias = self.weights[f"{layer}_weight"], self.weights[f"{layer}_bias"]
            x = F.relu(F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), padding=1))
            found[layer] = x
        return [found[tap] for tap in taps]

    def embedding(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """One vector for each image [N, 3, H, W] in [-1, 1]: conv3_4 averaged over the picture, in tens, [N, 256]."""
        return self.features(image, ["conv3_4"], dtype)[0].float().mean(dim=(2, 3)) / 10
