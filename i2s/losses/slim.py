"""The perceptual network that ships with i2s: VGG's shape, a fifth of its size, for machines without network.

It was distilled from VGG-19 and SqueezeNet 1.1 by `training.distill_perceptual`, and its distances rank pairs of pictures
as theirs do; `data/perceptual-slim.md` holds the numbers.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from i2s.errors import SettingsError, WeightFileError
from i2s.files import data_dir

TAP_NAMES = ("conv1_1", "conv1_2", "conv3_2", "conv4_2")  # the paper's
LARGEST = 256  # px; the ports of the paper's code feed VGG no more either
FORMAT, VERSION = "i2s-perceptual", 1
FILE = "perceptual-slim.safetensors"


@dataclass(frozen=True)
class SlimConfig:
    """Sizes of the network.

    channels: of the two convolutions at 1, 1/2, 1/4 and 1/8 of the size. taps: of the four feature maps.
    """

    channels: tuple[int, int, int, int] = (32, 64, 144, 208)
    taps: tuple[int, int, int, int] = (24, 32, 192, 192)

    def __post_init__(self):
        for name in ("channels", "taps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 4 or min(getattr(self, name)) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}, but must be four numbers of at least 1.")


class SlimNet(nn.Module):
    """Eight convolutions in four blocks, as VGG's up to conv4_2, each block but the first at half the size before.

    A tap is a 1x1 convolution of what comes out of the block's ReLU (of both ReLUs in the first block). It has no
    ReLU of its own: it is trained to be the principal components of the teacher's map after the ReLU. The unit of
    each tap is such that two unrelated faces are at a mean squared distance of about 1.
    """

    name, tap_names = "slim", TAP_NAMES
    LAYERS = tuple(f"conv{block}_{layer}" for block in (1, 2, 3, 4) for layer in (1, 2))

    def __init__(self, config: SlimConfig = SlimConfig()):
        super().__init__()
        self.config, self.reason = config, ""
        wide, widths = 3, config.channels
        for block, width in enumerate(widths, start=1):
            self.add_module(f"conv{block}_1", nn.Conv2d(wide, width, 3, padding=1))
            self.add_module(f"conv{block}_2", nn.Conv2d(width, width, 3, padding=1))
            wide = width
        sources = (widths[0], widths[0], widths[2], widths[3])
        # without bias: the difference of two maps is all that a distance sees
        self.taps = nn.ModuleList(nn.Conv2d(i, o, 1, bias=False) for i, o in zip(sources, config.taps))

    def features(self, images: Tensor, count: int = 4) -> list[Tensor]:
        """The first `count` of four feature maps of images [N, 3, H, W], RGB in [-1, 1], H and W at least 16.

        For the taps conv1_1, conv1_2, conv3_2, conv4_2: [N, 24, H, W], [N, 32, H, W], [N, 192, H/4, W/4] and
        [N, 192, H/8, W/8], rounded down, of the images' dtype. Images of more than 256 px are reduced to that first.
        SettingsError for another shape.
        """
        check_images(images)
        x = reduced(images, LARGEST).contiguous(memory_format=torch.channels_last)
        found = []
        for name in self.LAYERS:
            if len(found) == count:
                break  # what follows has no part in the result
            if name in ("conv2_1", "conv3_1", "conv4_1"):
                x = F.max_pool2d(x, 2)
            x = F.relu_(getattr(self, name)(x))
            if name in TAP_NAMES:
                # a 1x1 convolution as a matrix product: in channels-last nothing is copied
                tap = F.linear(x.permute(0, 2, 3, 1), self.taps[len(found)].weight[:, :, 0, 0])  # [N, h, w, channels]
                found.append(tap.permute(0, 3, 1, 2))
        return found

    forward = features

    def describe(self) -> str:
        """One line that says which network this is."""
        count = sum(p.numel() for p in self.parameters())
        text = f"slim ({count / 1e6:.2f} M parameters, distilled from VGG-19 and SqueezeNet; shipped with i2s)"
        return text + (f"; {self.reason}" if self.reason else "")


def reduced(images: Tensor, size: int | None) -> Tensor:
    """Images [N, 3, H, W] with at most `size` px on the shorter side (bicubic, antialiased); never enlarged.

    By way of float32, as torch has no such filter for bfloat16 on the CPU.
    """
    shorter = min(images.shape[2:])
    if size is None or shorter <= size:
        return images
    smaller = [round(side * size / shorter) for side in images.shape[2:]]
    full = images if images.dtype == torch.float64 else images.float()
    return F.interpolate(full, smaller, mode="bicubic", antialias=True).to(images.dtype)


def check_images(images: Tensor, smallest: int = 16) -> None:
    """SettingsError unless `images` is a float tensor [N, 3, H, W] with H and W at least `smallest`."""
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < smallest or not images.is_floating_point():
        raise SettingsError(
            f"The perceptual network got {images.dtype} of shape {list(images.shape)}: "
            f"it takes float images [N, 3, H, W] of at least {smallest} px."
        )


def load_slim(path: str | Path | None = None) -> SlimNet:
    """The shipped network (or that of another file), frozen, in float32. WeightFileError when the file is unusable."""
    path = Path(path) if path is not None else data_dir() / FILE
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or int(metadata["version"]) > VERSION:
                raise WeightFileError(f"{path} is not a perceptual network of this version of i2s: install i2s again.")
            net = SlimNet(SlimConfig(**json.loads(metadata["config"])))
            net.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})
    except FileNotFoundError:
        raise WeightFileError(f"There is no file {path}: install i2s again, it ships with it.") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, WeightFileError):
            raise
        raise WeightFileError(f"{path} is broken and cannot be read: install i2s again.") from error
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def slim_bytes(net: SlimNet, notes: dict) -> bytes:
    """The network as a safetensors file in half precision; `notes` tell how it was trained."""
    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in net.state_dict().items()}
    header = {"format": FORMAT, "version": str(VERSION), "config": json.dumps(asdict(net.config))}
    return save(tensors, header | {"training": json.dumps(notes)})


def training_notes(path: str | Path | None = None) -> dict:
    """How the network of a file (None: the shipped one) was trained: the `notes` of `slim_bytes`; WeightFileError."""
    path = path or data_dir() / FILE
    try:
        with safe_open(str(path), framework="pt") as file:
            return json.loads((file.metadata() or {})["training"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightFileError(f"{path} does not say how it was trained: give a network that i2s trained.") from error
