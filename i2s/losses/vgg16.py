"""The paper's perceptual network: VGG-16 trained on ImageNet (Simonyan and Zisserman 2015), cut at conv4_2.

The paper names the four feature maps, and leaves open what goes in and whether they are taken before or after the
ReLU. The defaults here are those of the public ports of the paper's code, so that losses can be compared with theirs.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.errors import DownloadError, SettingsError, WeightFileError
from i2s.files import offline
from i2s.losses.slim import TAP_NAMES, check_images, reduced

FILE = "vgg16-397923af.pth"  # torchvision's VGG16_Weights.IMAGENET1K_V1
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# the paper's names, with the places of the layers in torchvision's `vgg16().features`, and their widths
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
    """What the paper leaves open; the defaults are the ports' choices.

    relu: take the features "after" (default) or "before" the ReLU.
    normalize: False (default) feeds [0, 1] as it is; True subtracts ImageNet's mean and divides by its deviation, as
    the network was trained.
    size: larger images are reduced to this many px on the shorter side first (bicubic, antialiased); smaller ones are
    never enlarged; None never resizes. The ports take 256.
    taps: the layers whose maps are compared, in their order in the network; Image2StyleGAN++ takes conv1_1, conv1_2,
    conv2_2, conv3_3. The network is run no further than the last one.
    """

    relu: str = "after"
    normalize: bool = False
    size: int | None = 256
    taps: tuple[str, ...] = TAP_NAMES

    def __post_init__(self):
        object.__setattr__(self, "taps", tuple(self.taps))
        if not self.taps or list(self.taps) != [name for name in LAYERS if name in self.taps]:
            raise SettingsError(f"taps is {self.taps}: take some of {', '.join(LAYERS)}, in this order.")
        if self.relu not in ("after", "before"):
            raise SettingsError(f"relu is {self.relu!r}: it is 'after' or 'before'.")
        if self.size is not None and self.size < 16:
            raise SettingsError(f"size is {self.size} px, but VGG-16 needs at least 16.")


class VGG16(nn.Module):
    """VGG-16 up to conv4_2, with random weights until `load_vgg16` or `load_state_dict` brings trained ones."""

    name = "vgg16"

    def __init__(self, settings: VGG16Settings = VGG16Settings()):
        super().__init__()
        self.settings, self.reason = settings, ""
        for name, (_, wide, out) in LAYERS.items():
            self.add_module(name, nn.Conv2d(wide, out, 3, padding=1))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    @property
    def tap_names(self) -> tuple[str, ...]:
        return self.settings.taps

    def features(self, images: Tensor, count: int | None = None) -> list[Tensor]:
        """The feature maps of `settings.taps` (of the first `count`) of images [N, 3, H, W] in [-1, 1], at least 16 px.

        By default conv1_1 [N, 64, H, W], conv1_2 [N, 64, H, W], conv3_2 [N, 256, H/4, W/4] and
        conv4_2 [N, 512, H/8, W/8], rounded down, of the images' dtype. SettingsError for another shape.
        """
        check_images(images)
        x = (reduced(images, self.settings.size) + 1) / 2
        if self.settings.normalize:
            x = (x - self.mean) / self.std
        x = x.contiguous(memory_format=torch.channels_last)
        wanted, found = self.settings.taps[:count], []
        for name in LAYERS:
            if len(found) == len(wanted):
                break
            if name in ("conv2_1", "conv3_1", "conv4_1"):
                x = F.max_pool2d(x, 2)
            x = getattr(self, name)(x)
            before = name in wanted and self.settings.relu == "before"
            if before:
                found.append(x)
            x = F.relu(x) if before else F.relu_(x)
            if name in wanted and not before:
                found.append(x)
        return found

    forward = features

    def describe(self) -> str:
        """One line that says which network this is, and what goes in."""
        s = self.settings
        entry = "ImageNet normalisation" if s.normalize else "[0, 1], not normalised"
        size = f"reduced to {s.size} px" if s.size else "at full size"
        taps = "taps" if s.taps == TAP_NAMES else f"taps {', '.join(s.taps)}"
        text = f"VGG-16 (torchvision, ImageNet; {taps} {s.relu} the ReLU; input {entry}, {size})"
        return text + (f"; {self.reason}" if self.reason else "")


def cached_file() -> Path:
    """Where torchvision keeps the weights, whether they are there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE


def load_vgg16(settings: VGG16Settings = VGG16Settings(), progress: bool = True) -> VGG16:
    """VGG-16 with torchvision's ImageNet weights, frozen, in float32, on the CPU; the first call fetches them (528 MB).

    DownloadError when they cannot be fetched (or I2S_OFFLINE=1 forbids it), WeightFileError when the file in torch's
    cache is broken.
    """
    state, net = _fetch(progress), VGG16(settings)
    try:
        net.load_state_dict(rename(state))
    except (KeyError, TypeError, RuntimeError) as error:
        raise WeightFileError(f"{cached_file()} is not VGG-16: remove it, and it will be fetched again.") from error
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def rename(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors up to conv4_2 of a torchvision state dict, under the paper's names."""
    parts = [(name, place, part) for name, (place, _, _) in LAYERS.items() for part in ("weight", "bias")]
    return {f"{name}.{part}": state[f"features.{place}.{part}"] for name, place, part in parts}


def _fetch(progress: bool) -> dict[str, Tensor]:
    """Torchvision's state dict, from torch's cache or the network."""
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
