"""Image2StyleGAN as it is usually ported: the measure of what `i2s` gains. The same mathematics, written plainly.

Each image convolves with weights of its own in one grouped convolution; filters go through zero insertion, padding and
cropping; noise is added whatever its strength; VGG-16 runs to its end; the photo's features are computed again at every
step; the generator's weights are not frozen, so autograd computes their gradients too. Nothing is slowed down on
purpose: all of this is found in the public ports of StyleGAN2 and of the paper, when they run without CUDA extensions.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.generators.stylegan2 import StyleGAN2, SynthesisLayer, ToRGB

VGG16_REST = ((512, 512), "pool", (512, 512), (512, 512), (512, 512), "pool")  # after conv4_2


class Straightforward:
    """An embedding of photos [N, 3, R, R] in [-1, 1], with `step()`; weights are those of `generator` and `net`."""

    def __init__(self, generator: StyleGAN2, net, photos: Tensor, learning_rate: float = 0.01):
        self.generator = _copy(generator).requires_grad_(True)
        self.net, self.photos = net, photos
        wide = net.conv4_2.out_channels
        self.rest = nn.Sequential()
        for part in VGG16_REST if wide == 512 else ():
            self.rest.extend([nn.MaxPool2d(2)] if part == "pool" else [nn.Conv2d(*part, 3, padding=1), nn.ReLU()])
        self.rest.requires_grad_(False).to(photos.device)
        self.code = generator.w_mean.expand(len(photos), generator.num_ws, -1).clone().requires_grad_()
        self.adam = torch.optim.Adam([self.code], lr=learning_rate)

    def step(self) -> Tensor:
        """One step of Adam; the loss [N] before it."""
        self.adam.zero_grad()
        loss = self.loss(self.code)
        loss.sum().backward()
        self.adam.step()
        return loss.detach()

    def loss(self, code: Tensor) -> Tensor:
        """The paper's loss of each image, [N]."""
        image = synthesis(self.generator, code)
        total = ((image - self.photos) / 2).pow(2).flatten(1).mean(1)
        for ours, theirs in zip(self.features(image), self.features(self.photos)):
            total = total + (ours - theirs).pow(2).flatten(1).mean(1)
        return total

    def features(self, images: Tensor) -> list[Tensor]:
        """The four maps; the rest of VGG-16 runs too, unused."""
        net = self.net
        vgg = net.name == "vgg16"
        if vgg and min(images.shape[2:]) > 256:
            images = F.interpolate(images, (256, 256), mode="bicubic", antialias=True)
        x = (images + 1) / 2 if vgg else images
        maps = {}
        for block, convolutions in enumerate((2, 2, 3 if vgg else 2, 2), start=1):
            if block > 1:
                x = F.max_pool2d(x, 2)
            for k in range(1, convolutions + 1):
                layer = getattr(net, f"conv{block}_{k}")
                maps[f"conv{block}_{k}"] = x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1))
        self.rest(x)
        found = [maps[name] for name in ("conv1_1", "conv1_2", "conv3_2", "conv4_2")]
        return found if vgg else [tap(x) for tap, x in zip(net.taps, found)]


def synthesis(generator: StyleGAN2, code: Tensor) -> Tensor:
    """The image [N, 3, R, R] of W+ codes, block by block."""
    network = generator.synthesis
    fir = network.fir
    x = network.const.repeat(len(code), 1, 1, 1)
    image, row = None, 0
    for block in network.blocks:
        for layer in block.layers():
            x = styled_conv(layer, x, code[:, row], fir)
            row += 1
        rgb = to_rgb(block.to_rgb, x, code[:, row])
        image = rgb if image is None else upfirdn(image, fir * 4, up=2, before=2, after=1) + rgb
    return image


def styled_conv(layer: SynthesisLayer, x: Tensor, w: Tensor, fir: Tensor) -> Tensor:
    """Modulated, demodulated convolution; noise; bias; leaky ReLU."""
    count, wide, height, width = x.shape
    style = layer.affine(w)
    weight = layer.weight[None] * style[:, None, :, None, None]  # [N, out, in, 3, 3]
    demodulation = torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + layer.epsilon)
    weight = weight * demodulation[:, :, None, None, None]
    out = weight.shape[1]
    x = x.reshape(1, count * wide, height, width)
    if layer.up:
        weight = weight.transpose(1, 2).reshape(count * wide, out, 3, 3)
        x = F.conv_transpose2d(x, weight, stride=2, groups=count)
        x = x.view(count, out, *x.shape[2:])
        x = upfirdn(x, fir * 4, up=1, before=1, after=1)
    else:
        x = F.conv2d(x, weight.view(count * out, wide, 3, 3), padding=1, groups=count)
        x = x.view(count, out, *x.shape[2:])
    x = x + layer.noise_strength * layer.noise
    return F.leaky_relu(x + layer.bias[None, :, None, None], 0.2) * math.sqrt(2)


def to_rgb(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    """Modulated 1x1 convolution to three colours."""
    count, wide, height, width = x.shape
    style = layer.affine(w)
    weight = layer.weight[None] / math.sqrt(wide) * style[:, None, :, None, None]
    x = F.conv2d(x.reshape(1, -1, height, width), weight.view(count * 3, wide, 1, 1), groups=count)
    return x.view(count, 3, height, width) + layer.bias[None, :, None, None]


def upfirdn(x: Tensor, kernel: Tensor, up: int, before: int, after: int) -> Tensor:
    """Zeros between the pixels, zeros around them, the filter: each channel by itself."""
    count, wide, height, width = x.shape
    x = x.reshape(-1, 1, height, 1, width, 1)
    x = F.pad(x, [0, up - 1, 0, 0, 0, up - 1])
    x = x.reshape(-1, 1, height * up, width * up)
    x = F.pad(x, [before, after, before, after])
    x = F.conv2d(x, kernel.flip(0, 1)[None, None])
    return x.view(count, wide, *x.shape[2:])


def _copy(generator: StyleGAN2) -> StyleGAN2:
    twin = StyleGAN2(generator.config).to(generator.device)
    twin.load_state_dict(generator.state_dict())
    return twin
