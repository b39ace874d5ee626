"""The paper's perceptual network: VGG-16 trained on ImageNet (Simonyan and Zisserman 2015), cut at conv4_2.

The paper names the four feature maps, and leaves open the range of the input and whether they are taken before or
after the ReLU. The defaults are those of the public ports of the paper's code, so that losses can be compared.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.errors import DownloadError, SettingsError, WeightFileError
from i2s.files import offline
from i2s.images import downsample
from i2s.losses.base import TAP_NAMES, check_images

FILE = "vgg16-397923af.pth"  # torchvision's VGG16_Weights.IMAGENET1K_V1
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# the paper's names -> (index in torchvision's `vgg16().features`, input channels, output channels)
LAYERS = {
    "conv1_1": (0, 3, 64),
    "conv1_2": (2, 64, 64),
    "conv2_1": (5, 64, 128),
    "conv2_2": (7, 128, 128),
    "conv3_1": (10, 128, 256),
    "conv3_2": (12, 256, 256),
    "conv3_3": (14, 256, 256),
    "conv4_1": (17, 256, 512),
    "conv4_2": (19, 512, 512),
}


@dataclass(frozen=True)
class VGG16Settings:
    """What the paper leaves open; the defaults are the ports' choices."""

    relu: str = "after"  # take the feature maps "after" or "before" the ReLU
    normalize: bool = False  # False feeds [0, 1]; True standardises by ImageNet's mean and deviation, as in training
    size: int | None = 256  # larger images are reduced to this many px on the shorter side first; None: never
    taps: tuple[str, ...] = TAP_NAMES  # in the network's order; Image2StyleGAN++: conv1_1, conv1_2, conv2_2, conv3_3

    def __post_init__(self):
        object.__setattr__(self, "taps", tuple(self.taps))
        if not self.taps or list(self.taps) != [name for name in LAYERS if name in self.taps]:
            raise SettingsError(f"taps is {self.taps}: take some of {', '.join(LAYERS)}, in this order.")
        if self.relu not in ("after", "before"):
            raise SettingsError(f"relu is {self.relu!r}: it is 'after' or 'before'.")
        if self.size is not None and self.size < 16:
            raise SettingsError(f"size is {self.size} px, but VGG-16 needs at least 16.")


DEFAULT = VGG16Settings()


class VGG16(nn.Module):
    """VGG-16 up to conv4_2, with random weights; `load_vgg16` loads trained ones."""

    name = "vgg16"

    def __init__(self, settings: VGG16Settings = DEFAULT):
        super().__init__()
        self.settings = settings
        self.reason = ""  # why "auto" chose it, for `describe`
        for name, (_, in_channels, out_channels) in LAYERS.items():
            self.add_module(name, nn.Conv2d(in_channels, out_channels, 3, padding=1))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    @property
    def tap_names(self) -> tuple[str, ...]:
        return self.settings.taps

    def features(self, images: Tensor, count: int | None = None) -> list[Tensor]:
        """Compute the feature maps of `settings.taps`.

        Args:
            images: [N, 3, H, W] in [-1, 1], at least 16 px.
            count: How many of the taps, from the first on; None: all.

        Returns:
            By default conv1_1 [N, 64, H, W], conv1_2 [N, 64, H, W], conv3_2 [N, 256, H/4, W/4] and
            conv4_2 [N, 512, H/8, W/8], rounded down, of the images' dtype.

        Raises:
            SettingsError: The images have another shape.
        """
        check_images(images)
        x = (downsample(images, self.settings.size) + 1) / 2
        if self.settings.normalize:
            x = (x - self.mean) / self.std
        x = x.contiguous(memory_format=torch.channels_last)
        wanted = self.settings.taps[:count]
        maps = []
        for name in LAYERS:
            if len(maps) == len(wanted):
                break
            if name in ("conv2_1", "conv3_1", "conv4_1"):
                x = F.max_pool2d(x, 2)
            x = getattr(self, name)(x)
            before = name in wanted and self.settings.relu == "before"
            if before:
                maps.append(x)
            x = F.relu(x) if before else F.relu_(x)
            if name in wanted and not before:
                maps.append(x)
        return maps

    forward = features

    def describe(self) -> str:
        """One line that says which network this is, and how its input is prepared."""
        s = self.settings
        entry = "ImageNet normalisation" if s.normalize else "[0, 1], not normalised"
        size = f"reduced to {s.size} px" if s.size else "at full size"
        taps = "taps" if s.taps == TAP_NAMES else f"taps {', '.join(s.taps)}"
        text = f"VGG-16 (torchvision, ImageNet; {taps} {s.relu} the ReLU; input {entry}, {size})"
        return text + (f"; {self.reason}" if self.reason else "")


def cached_file() -> Path:
    """Path of the weights in torch's cache, whether they are there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE


def load_vgg16(settings: VGG16Settings = DEFAULT, progress: bool = True) -> VGG16:
    """Load VGG-16 with torchvision's ImageNet weights, frozen, in float32, on the CPU.

    Args:
        settings: What the paper leaves open.
        progress: Show the download, 528 MB, which only the first call needs.

    Raises:
        DownloadError: The weights cannot be fetched, or I2S_OFFLINE=1 forbids it.
        WeightFileError: The file in torch's cache is broken.
    """
    state = _fetch(progress)
    with torch.device("cpu"):  # whatever the default is
        net = VGG16(settings).float()
    try:
        net.load_state_dict(rename(state))
    except (KeyError, TypeError, RuntimeError) as error:
        raise WeightFileError(f"{cached_file()} is not VGG-16: remove it, and it will be fetched again.") from error
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a torchvision state dict to the paper's names, up to conv4_2."""
    parts = [(name, place, part) for name, (place, _, _) in LAYERS.items() for part in ("weight", "bias")]
    return {f"{name}.{part}": state[f"features.{place}.{part}"] for name, place, part in parts}


def _fetch(progress: bool) -> dict[str, Tensor]:
    """Load torchvision's state dict from torch's cache or the network."""
    try:
        from torchvision.models import VGG16_Weights
    except ImportError as error:
        raise SettingsError("VGG-16 comes with torchvision: install it, or choose perceptual='slim'.") from error
    was_there = cached_file().is_file()
    if offline() and not was_there:
        raise DownloadError(
            "VGG-16 is not in torch's cache and I2S_OFFLINE forbids downloads: unset it, choose perceptual='slim', "
            f"which ships with i2s, or put {FILE} into {cached_file().parent}."
        )
    try:
        return VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=progress, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        if was_there:
            raise WeightFileError(f"{cached_file()} is broken: remove it, and it will be fetched again.") from error
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"VGG-16's weights could not be fetched ({reason}): choose perceptual='slim', which ships with i2s, "
            f"or put {FILE} into {cached_file().parent}."
        ) from error
