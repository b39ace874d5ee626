"""Frozen feature extractors: SqueezeNet 1.1 and VGG-19, and both together as teachers of the slim perceptual network.

SqueezeNet (Iandola et al. 2016) serves the reconstruction loss and the metric, VGG-19 (Simonyan and Zisserman 2015)
the projected discriminator and a second metric that no loss of the training knows. Their images are [N, 3, H, W] in
[-1, 1].
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from i2s.errors import WeightFileError, one_line

MEAN_BGR = (103.939, 116.779, 123.68)
FIRES = [f"fire{k}.{part}" for k in range(2, 10) for part in ("squeeze1x1", "expand1x1", "expand3x3")]
SQUEEZENET_LAYERS = ("conv1", *FIRES)
VGG_FILE = "vgg19-conv1_1-to-conv3_4-fp16.safetensors"
SQUEEZENET_FILE = "squeezenet1.1-features-fp16.safetensors"


class FeatureNet(Protocol):
    """Feature extractor of the losses and the metrics."""

    def __call__(self, image: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Feature maps of images."""

    def embedding(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """One vector for each image, [N, C]."""


def read_weights(path: str | Path, names: Sequence[str], network: str) -> nn.ParameterDict:
    """Read `{layer}_weight` and `{layer}_bias` of the layers `names`, frozen, float32.

    Raises:
        WeightFileError: The file does not hold them.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            keys = [f"{name}.{part}" for name in names for part in ("weight", "bias")]
            found = {key.replace(".", "_"): file.get_tensor(key).float() for key in keys}
    except (OSError, SafetensorError) as error:
        reason = one_line(error)
        raise WeightFileError(f"{path} does not hold the weights of {network} ({reason}): give their file.") from error
    return nn.ParameterDict({name: nn.Parameter(tensor, requires_grad=False) for name, tensor in found.items()})


def caffe_input(image: Tensor, mean: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Images in [-1, 1] as BGR in 0..255 minus the mean, channels last."""
    x = (image.flip(1) + 1) * 127.5 - mean
    return x.to(dtype or x.dtype).contiguous(memory_format=torch.channels_last)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1, read from a safetensors file with `conv1` and `fire2` .. `fire9`.

    Raises:
        WeightFileError: The file does not hold them.
    """

    def __init__(self, path: str | Path):
        super().__init__()
        self.weights = read_weights(path, SQUEEZENET_LAYERS, "SqueezeNet 1.1")
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Four feature maps, at 1/4, 1/8, 1/16 and 1/16 of the size."""
        x = caffe_input(image, self.mean, dtype)
        x = _pool(self._conv(x, "conv1", stride=2))
        x = self._fire(self._fire(x, "fire2"), "fire3")
        taps = [x]  # [N, 128, H/4, W/4]
        x = self._fire(self._fire(_pool(x), "fire4"), "fire5")
        taps.append(x)  # [N, 256, H/8, W/8]
        x = self._fire(self._fire(_pool(x), "fire6"), "fire7")
        taps.append(x)  # [N, 384, H/16, W/16]
        x = self._fire(self._fire(x, "fire8"), "fire9")
        return [*taps, x]  # [N, 512, H/16, W/16]

    def embedding(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The last features averaged over the image, [N, 512]."""
        return self(image, dtype)[-1].float().mean(dim=(2, 3))

    def _conv(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight = self.weights[f"{name}_weight"].to(x.dtype)
        bias = self.weights[f"{name}_bias"].to(x.dtype)
        return F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))

    def _fire(self, x: Tensor, name: str) -> Tensor:
        x = self._conv(x, f"{name}_squeeze1x1")
        return torch.cat([self._conv(x, f"{name}_expand1x1"), self._conv(x, f"{name}_expand3x3", padding=1)], dim=1)


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


def feature_distance(maps: list[Tensor], others: list[Tensor]) -> Tensor:
    """Squared difference of two lists of feature maps, each pixel's features scaled to length 1; a scalar."""
    total = 0.0
    for a, b in zip(maps, others):
        total = total + (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(dim=1).mean()
    return total / len(maps)


class VGG19(nn.Module):
    """VGG-19 up to conv3_4.

    Raises:
        WeightFileError: The file does not hold it.
    """

    LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4")

    def __init__(self, path: str | Path):
        super().__init__()
        self.weights = read_weights(path, self.LAYERS, "VGG-19")
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))

    def features(self, image: Tensor, taps: Sequence[str], dtype: torch.dtype | None = None) -> list[Tensor]:
        """Maps of the layers `taps`, after the ReLU; values in the hundreds."""
        x = caffe_input(image, self.mean, dtype)
        found = {}
        for layer in self.LAYERS[: self.LAYERS.index(taps[-1]) + 1]:
            if layer in ("conv2_1", "conv3_1"):
                x = F.max_pool2d(x, 2)
            weight = self.weights[f"{layer}_weight"].to(x.dtype)
            bias = self.weights[f"{layer}_bias"].to(x.dtype)
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
            found[layer] = x
        return [found[tap] for tap in taps]

    def embedding(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """conv3_4 averaged over the image, in tens, [N, 256]."""
        return self.features(image, ["conv3_4"], dtype)[0].float().mean(dim=(2, 3)) / 10


class Teachers(nn.Module):
    """Teachers of the slim perceptual network: VGG-19 for three taps, SqueezeNet 1.1 for the fourth.

    VGG-19's first convolutions have the shapes of VGG-16's, which torchvision only downloads.

    Args:
        folder: Holds `VGG_FILE` and `SQUEEZENET_FILE`.

    Raises:
        WeightFileError: It does not.
    """

    def __init__(self, folder: str | Path):
        super().__init__()
        self.vgg = VGG19(Path(folder) / VGG_FILE)
        self.squeezenet = SqueezeNet(Path(folder) / SQUEEZENET_FILE)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Four maps after the ReLU of images [N, 3, H, W], H and W multiples of 8.

        conv1_1 [N, 64, H, W], conv1_2 [N, 64, H, W], conv3_2 [N, 256, H/4, W/4] of VGG-19 and, where VGG-16 has
        conv4_2, fire5 [N, 256, H/8, W/8] of SqueezeNet, which sees 63 px across (conv4_2: 76 px).
        """
        taps = self.vgg.features(images, ("conv1_1", "conv1_2", "conv3_2"))
        # SqueezeNet's first layers do not pad: with 3 and 4 px more, its cells lie where VGG's do (to half a pixel)
        padded = F.pad(images, (3, 4, 3, 4), mode="reflect")
        return [*taps, self.squeezenet(padded)[1]]
