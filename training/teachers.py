"""The networks that the slim perceptual network learns from: VGG-19 for three taps, SqueezeNet 1.1 for the fourth.

Torchvision's VGG-16 is fetched when a user asks for it; the distillation needs nothing but two small files: the first
ten convolutions of VGG-19 (Simonyan and Zisserman 2015), the same in shape as VGG-16's up to conv3_3, and SqueezeNet.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.features import MEAN_BGR, SqueezeNet, read_weights

VGG_FILE, SQUEEZENET_FILE = "vgg19-conv1_1-to-conv3_4-fp16.safetensors", "squeezenet1.1-features-fp16.safetensors"
LAYERS = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2")


class Teachers(nn.Module):
    """Frozen, read from a folder that holds `VGG_FILE` and `SQUEEZENET_FILE` (WeightFileError where it does not).

    Called with images [N, 3, H, W] in [-1, 1], H and W multiples of 8, it returns four maps after the ReLU:

    conv1_1 [N, 64, H, W], conv1_2 [N, 64, H, W], conv3_2 [N, 256, H/4, W/4] of VGG-19 and, where VGG-16 has conv4_2,
    fire5 [N, 256, H/8, W/8] of SqueezeNet, which sees 63 px across (conv4_2: 76 px).
    """

    def __init__(self, folder: str | Path):
        super().__init__()
        self.weights = read_weights(Path(folder) / VGG_FILE, LAYERS, "VGG-19")
        self.squeezenet = SqueezeNet(Path(folder) / SQUEEZENET_FILE)
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        x = (images.flip(1) + 1) * 127.5 - self.mean  # BGR, 0..255, minus the mean
        x = x.contiguous(memory_format=torch.channels_last)
        taps = []
        for layer in LAYERS:
            if layer in ("conv2_1", "conv3_1"):
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, self.weights[f"{layer}_weight"], self.weights[f"{layer}_bias"], padding=1))
            if layer in ("conv1_1", "conv1_2", "conv3_2"):
                taps.append(x)
        # SqueezeNet's first layers do not pad: with 3 and 4 px more, its cells lie where VGG's do (to half a pixel)
        padded = F.pad(images, (3, 4, 3, 4), mode="reflect")
        return taps + [self.squeezenet(padded)[1]]
