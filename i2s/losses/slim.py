"""The perceptual network that ships with i2s: VGG's shape, a fifth of its size, for use without a network connection.

Distilled from VGG-19 and SqueezeNet 1.1 by `python -m training distill-perceptual`, it ranks pairs of images by
distance as they do; `data/perceptual-slim.md` has the numbers.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.errors import SettingsError, WeightFileError
from i2s.files import data_dir, read_safetensors, write_safetensors
from i2s.images import downsample
from i2s.losses.base import TAP_NAMES, check_images

LARGEST = 256  # px; the ports of the paper's code feed VGG no more either
FORMAT, VERSION = "i2s-perceptual", 1
FILE = "perceptual-slim.safetensors"


@dataclass(frozen=True)
class SlimConfig:
    """Sizes of the network."""

    channels: tuple[int, int, int, int] = (32, 64, 144, 208)  # of the two convolutions at 1, 1/2, 1/4, 1/8 of the size
    taps: tuple[int, int, int, int] = (24, 32, 192, 192)  # of the four feature maps

    def __post_init__(self):
        for name in ("channels", "taps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 4 or min(getattr(self, name)) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}, but must be four numbers of at least 1.")


DEFAULT = SlimConfig()


class SlimNet(nn.Module):
    """Eight convolutions in four blocks, as VGG's up to conv4_2; each block but the first halves the size.

    A tap is a 1x1 convolution of the output of the block's ReLU (of both ReLUs in the first block). It has no ReLU of
    its own: it is trained to be the principal components of the teacher's map after the ReLU. The taps are scaled so
    that two unrelated faces are at a mean squared distance of about 1.
    """

    name = "slim"
    tap_names = TAP_NAMES
    LAYERS = tuple(f"conv{block}_{layer}" for block in (1, 2, 3, 4) for layer in (1, 2))

    def __init__(self, config: SlimConfig = DEFAULT):
        super().__init__()
        self.config = config
        self.reason = ""  # why "auto" chose it, for `describe`
        in_channels = 3
        for block, width in enumerate(config.channels, start=1):
            self.add_module(f"conv{block}_1", nn.Conv2d(in_channels, width, 3, padding=1))
            self.add_module(f"conv{block}_2", nn.Conv2d(width, width, 3, padding=1))
            in_channels = width
        first, _, third, fourth = config.channels
        # without bias: it would cancel in the difference of two maps
        self.taps = nn.ModuleList(
            nn.Conv2d(i, o, 1, bias=False) for i, o in zip((first, first, third, fourth), config.taps)
        )

    def features(self, images: Tensor, count: int = 4) -> list[Tensor]:
        """Compute feature maps.

        Args:
            images: [N, 3, H, W], RGB in [-1, 1], H and W at least 16. Images of more than 256 px are reduced to that.
            count: How many of the four taps, from the first on.

        Returns:
            For the taps conv1_1, conv1_2, conv3_2, conv4_2: [N, 24, H, W], [N, 32, H, W], [N, 192, H/4, W/4] and
            [N, 192, H/8, W/8], rounded down, of the images' dtype.

        Raises:
            SettingsError: The images have another shape.
        """
        check_images(images)
        x = downsample(images, LARGEST).contiguous(memory_format=torch.channels_last)
        maps = []
        for name in self.LAYERS:
            if len(maps) == count:
                break
            if name in ("conv2_1", "conv3_1", "conv4_1"):
                x = F.max_pool2d(x, 2)
            x = F.relu_(getattr(self, name)(x))
            if name in TAP_NAMES:
                # a 1x1 convolution as a matrix product: in channels-last nothing is copied
                tap = F.linear(x.permute(0, 2, 3, 1), self.taps[len(maps)].weight[:, :, 0, 0])  # [N, h, w, channels]
                maps.append(tap.permute(0, 3, 1, 2))
        return maps

    forward = features

    def describe(self) -> str:
        """One line that says which network this is."""
        count = sum(p.numel() for p in self.parameters())
        text = f"slim ({count / 1e6:.2f} M parameters, distilled from VGG-19 and SqueezeNet; shipped with i2s)"
        return text + (f"; {self.reason}" if self.reason else "")


def save_slim(net: SlimNet, path: str | Path, training: Mapping[str, object]) -> Path:
    """Write the network as safetensors in half precision.

    Args:
        net: The network.
        path: The file.
        training: How it was trained, for JSON.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().half() for name, tensor in net.state_dict().items()}
    metadata = {"config": json.dumps(asdict(net.config)), "training": json.dumps(training)}
    return write_safetensors(path, tensors, FORMAT, VERSION, metadata)


def load_slim(path: str | Path | None = None) -> SlimNet:
    """Load the shipped network (or that of another file), frozen, in float32, on the CPU.

    Raises:
        WeightFileError: The file is missing, broken, or holds another network.
    """
    path, tensors, metadata = _read(path)
    try:
        with torch.device("cpu"):  # whatever the default is
            net = SlimNet(SlimConfig(**json.loads(metadata["config"]))).float()
        net.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise WeightFileError(f"{path} is broken and cannot be read: install i2s again.") from error
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def training_metadata(path: str | Path | None = None) -> dict:
    """How the network of a file (None: the shipped one) was trained, as given to `save_slim`.

    Raises:
        WeightFileError: The file is missing, broken, or does not say.
    """
    path, _, metadata = _read(path)
    try:
        return json.loads(metadata["training"])
    except (LookupError, ValueError) as error:
        raise WeightFileError(f"{path} does not say how it was trained: give a network that i2s trained.") from error


def _read(path: str | Path | None) -> tuple[Path, dict[str, Tensor], dict[str, str]]:
    path = Path(path) if path is not None else data_dir() / FILE
    kind, advice = "a perceptual network", "install i2s again, it ships with one"
    return path, *read_safetensors(path, FORMAT, VERSION, WeightFileError, kind=kind, advice=advice)
