"""The encoder: one forward pass from a photo to the code w where its embedding may start.

    encoder = load_encoder()
    w = encoder(i2s.load_photos(files, 128))  # [N, w_dim]
    result = i2s.embed(files, generator, start=w[:, None].repeat(1, generator.num_ws, 1))

An encoder belongs to the generator that it was trained with: it maps to the W of that generator alone. Its backbone
is that of StyleGAN2's discriminator (Karras et al. 2020).
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.device import move_to
from i2s.errors import ImageError, WeightFileError
from i2s.files import data_dir, read_safetensors, write_safetensors
from i2s.generators import layers
from i2s.generators.base import check_channels, check_resolution, check_size

FORMAT, VERSION = "i2s-encoder", 1
ENCODERS = {"faces-64": "encoder-64.safetensors", "faces-128": "encoder-128.safetensors"}  # of the shipped generators
LARGE = "dense.weight"  # the one matrix that is stored in 8 bits,
SCALE = ".scale"  # and the ending of the name of its scales


class Encoder(nn.Module):
    """Predict a code w for each image in one pass.

    Args:
        channels: Feature maps of the backbone; `channels[k]` at 4 * 2**k px.
        w_dim: Width of the code.
    """

    generator: str = ""  # name of the generator that it was trained with, "" if its file does not say

    def __init__(self, channels: tuple[int, ...], w_dim: int):
        super().__init__()
        self.channels = channels
        self.w_dim = w_dim
        self.resolution = 4 * 2 ** (len(channels) - 1)
        self.trunk = Backbone(channels)  # the name of its tensors in files
        self.dense = layers.EqualizedLinear(channels[0] * 16, channels[0] * 2)
        self.out = layers.EqualizedLinear(channels[0] * 2, w_dim)

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Codes w [N, w_dim] of images [N, 3, R, R] in [-1, 1]; `dtype` is the precision of the convolutions.

        Raises:
            ImageError: The images have another shape.
        """
        if image.shape[1:] != (3, self.resolution, self.resolution):
            shape, size = list(image.shape), self.resolution
            raise ImageError(f"The encoder got {shape}: it takes [N, 3, {size}, {size}], see i2s.load_photos.")
        x = self.trunk(image, dtype).float().flatten(1)  # [N, 16 C]
        x = layers.leaky_relu(self.dense(x))
        return layers.leaky_relu(self.out(x))  # w ends in a leaky ReLU, as the mapping network's does


class Backbone(nn.Module):
    """Residual downsampling network from images to 4x4 features; `channels[k]` maps at 4 * 2**k px."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.register_buffer("fir", layers.fir_kernel())
        self.from_rgb = layers.EqualizedConv2d(3, channels[-1], 1)
        pairs = zip(channels[:0:-1], channels[-2::-1])
        self.blocks = nn.ModuleList(DownBlock(i, o) for i, o in pairs)

    def forward(self, image: Tensor, dtype: torch.dtype | None = None) -> Tensor:  # [N, 3, R, R] -> [N, C, 4, 4]
        x = image.to(dtype or image.dtype).contiguous(memory_format=torch.channels_last)
        x = layers.leaky_relu(self.from_rgb(x))
        for block in self.blocks:
            x = block(x, self.fir)
        return x


class DownBlock(nn.Module):
    """Two convolutions to half the size beside a 1x1 shortcut; the sum is scaled to keep its variance."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv0 = layers.EqualizedConv2d(in_channels, in_channels, 3)
        self.conv1 = layers.EqualizedConv2d(in_channels, out_channels, 3)
        self.shortcut = layers.EqualizedConv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor, fir: Tensor) -> Tensor:  # [N, in, H, W] -> [N, out, H/2, W/2]
        y = self.shortcut(F.avg_pool2d(x, 2)) * math.sqrt(0.5)  # a box filter is enough for the shortcut
        x = layers.leaky_relu(self.conv0(x))
        x = layers.filter2d(x, fir, padding=(2, 2))  # [N, in, H + 1, W + 1]
        weight = (self.conv1.weight * self.conv1.weight_gain).to(x.dtype)
        x = F.conv2d(x, weight, self.conv1.bias.to(x.dtype), stride=2)  # [N, out, H/2, W/2]
        return layers.leaky_relu(x, gain=1.0) + y  # sqrt(2) of the activation times sqrt(1/2) of the sum


def save_encoder(
    encoder: Encoder, path: str | Path, half: bool = True, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write an encoder as safetensors.

    Args:
        encoder: The encoder.
        path: The file; it is complete before it takes the place of an older one.
        half: Store half precision, and the large dense matrix, half of all numbers, in 8 bits with a scale for each
            row, which adds a noise of about 1 % to the code.
        metadata: Texts to store; "generator" is the name of the one it was trained with.

    Returns:
        The file's path.

    Raises:
        OutputError: The file cannot be written.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {name: tensor.detach().to("cpu", dtype) for name, tensor in encoder.state_dict().items()}
    if half:
        exact = encoder.state_dict()[LARGE].detach().cpu().float()
        scale = (exact.abs().amax(dim=1, keepdim=True).clamp_min(1e-8) / 127).half()  # [rows, 1]
        tensors[LARGE] = (exact / scale.float()).round().clamp(-127, 127).to(torch.int8)
        tensors[LARGE + SCALE] = scale
    config = {"channels": encoder.channels, "w_dim": encoder.w_dim, "resolution": encoder.resolution}
    return write_safetensors(path, tensors, FORMAT, VERSION, {**(metadata or {}), "config": json.dumps(config)})


def load_encoder(
    path: str | Path | None = None, device: str | torch.device = "cpu", generator: str = "faces-128"
) -> Encoder:
    """Load an encoder, frozen, in float32.

    Args:
        path: A file of `save_encoder`; None is the shipped encoder of `generator`.
        device: Where to.
        generator: The name of a shipped generator, one of `ENCODERS`.

    Raises:
        WeightFileError: The file is missing, broken, or holds no encoder.
        DeviceError: There is no such device.
    """
    path = Path(path) if path is not None else data_dir() / ENCODERS[generator]
    tensors, metadata = read_safetensors(
        path, FORMAT, VERSION, WeightFileError, kind="an encoder", advice="install i2s again, or name another file"
    )
    tensors = {name: tensor.float() for name, tensor in tensors.items()}
    try:
        config = json.loads(metadata["config"])
        channels = check_channels(config["channels"], check_resolution(config["resolution"]))
        check_size("w_dim", config["w_dim"])
        with torch.device("meta"):
            encoder = Encoder(channels, config["w_dim"])
        if LARGE + SCALE in tensors:
            tensors[LARGE] = tensors[LARGE] * tensors.pop(LARGE + SCALE)
        encoder.load_state_dict(tensors, assign=True)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:  # a SettingsError is a ValueError
        raise WeightFileError(f"{path} is broken and cannot be read as an encoder: fetch it again.") from error
    if not all(tensor.isfinite().all() for tensor in encoder.state_dict().values()):
        raise WeightFileError(f"{path} holds NaN or infinity: fetch it again.")
    encoder.generator = metadata.get("generator", "")
    return move_to(encoder.eval().requires_grad_(False), device, "The encoder")
