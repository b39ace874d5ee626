"""Distorted images for training and testing a perceptual distance.

Images are faces, photographs that scikit-image ships, and drawn textures; `DISTORTIONS` are nine ways to make a second
image from a first.
"""

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from i2s.images import dequantize, gaussian_blur, to_tensor, to_uint8

# All CC0 or in the public domain, by the docstrings of skimage.data; those held out are for the evaluation alone.
PHOTOGRAPHS = ("astronaut", "brick", "camera", "cell", "clock", "coffee", "grass", "retina", "rocket", "text")
HELD_OUT_PHOTOGRAPHS = ("chelsea", "gravel", "hubble_deep_field")


# --- distortions: (images [N, 3, H, W] in [-1, 1], strength [N] in 0..1, rng) -> images of the same shape -----------


def blur(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """Gaussian blur of 0.4 to 4 px."""
    return gaussian_blur(x, 0.4 * 10**strength, radius=12)


def noise(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """Gaussian noise of 0.02 to 0.5; the range of an image is 2."""
    return x + torch.randn(x.shape, generator=rng) * _column(0.02 * 25**strength)


def shift(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """Shift by 0.25 to 8 px in any direction, mirrored at the border."""
    angle = 2 * math.pi * torch.rand(len(x), generator=rng)
    offset = torch.stack([angle.cos(), angle.sin()], dim=1) * (0.25 * 32**strength)[:, None]  # [N, 2]
    return _displace(x, offset[:, None, None, :])


def warp(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """Warp by a smooth field of displacements, of up to 0.25 to 8 px."""
    field = torch.randn(len(x), 2, 5, 5, generator=rng)
    field = F.interpolate(field, x.shape[2:], mode="bicubic", align_corners=True)
    field = field / field.square().sum(dim=1, keepdim=True).sqrt().amax(dim=(2, 3), keepdim=True)
    return _displace(x, (field * _column(0.25 * 32**strength)).permute(0, 2, 3, 1))


def colour(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """Mix and offset the channels."""
    matrix = torch.eye(3) + 0.4 * strength[:, None, None] * torch.randn(len(x), 3, 3, generator=rng)
    move = 0.3 * (0.05 + strength[:, None]) * torch.randn(len(x), 3, generator=rng)
    return torch.einsum("nij,njhw->nihw", matrix, x) + move[:, :, None, None]


def contrast(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """Multiply or divide contrast by up to 4, about the mean, and gamma by up to 2."""
    up = torch.randint(0, 2, (2, len(x)), generator=rng) * 2.0 - 1
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    y = mean + (x - mean) * _column(4 ** (up[0] * (0.03 + strength)))
    return ((y.clamp(-1, 1) + 1) / 2) ** _column(2 ** (up[1] * strength)) * 2 - 1


def jpeg(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """JPEG compression of quality 95 down to 3."""
    made = []
    for pixels, s in zip(to_uint8(x), strength.tolist()):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=round(95 - 92 * s))
        made.append(to_tensor(Image.open(file)))
    return torch.cat(made)


def blend(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """Blend with the next image of the batch: 3 % to all of it."""
    return x.lerp(x.roll(1, dims=0), _column(0.03 + 0.97 * strength))


def other(x: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """The next image of the batch itself; mirrored, so that it is not the one that `blend` takes."""
    return x.roll(1, dims=0).flip(3)


DISTORTIONS = {f.__name__: f for f in (blur, noise, shift, warp, colour, contrast, jpeg, blend, other)}


def distort(kind: str, images: Tensor, strength: Tensor, rng: torch.Generator) -> Tensor:
    """Apply the distortion `kind` to images at their strengths [N]; the result is in [-1, 1]."""
    return DISTORTIONS[kind](images, strength, rng).clamp(-1, 1)


def _column(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _displace(x: Tensor, offset: Tensor) -> Tensor:
    """Displace pixels by offsets [N, 1 or H, 1 or W, 2] = (across, down) in px, mirrored at the border."""
    n, _, height, width = x.shape
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([columns, rows], dim=-1) + offset  # [N, H, W, 2]
    place = (place * 2 + 1) / torch.tensor([width, height]) - 1
    return F.grid_sample(x, place.expand(n, -1, -1, -1), "bicubic", "reflection", align_corners=False)


# --- images ---------------------------------------------------------------------------------------------------------


def face_crops(faces: Tensor, count: int, size: int, rng: torch.Generator) -> Tensor:
    """Random square crops, most to all of a face, of uint8 faces [M, 3, R, R]: [count, 3, size, size] in [-1, 1]."""
    rows = torch.randint(len(faces), (count,), generator=rng).tolist()
    smallest = min(max(0.4 * faces.shape[2], 0.75 * size), faces.shape[2])
    return torch.stack([_crop(faces[row], smallest, size, rng) for row in rows])


def texture_crops(photographs: list[Tensor], count: int, size: int, rng: torch.Generator) -> Tensor:
    """Crops of photographs (uint8 [3, H, W]) and drawn textures, half each: [count, 3, size, size] in [-1, 1]."""
    made = []
    for _ in range(count):
        if _one(rng) < 0.5:
            photograph = photographs[_below(len(photographs), rng)]
            made.append(_crop(photograph, size, size, rng))
        else:
            made.append(DRAWN[_below(len(DRAWN), rng)](size, rng))
    return torch.stack(made)


def photographs(names: tuple[str, ...] = PHOTOGRAPHS) -> list[Tensor]:
    """Load images of skimage.data as uint8 [3, H, W]; only those that come with the package."""
    import skimage.data

    found = []
    for name in names:
        array = np.asarray(getattr(skimage.data, name)())
        array = np.stack([array] * 3, axis=-1) if array.ndim == 2 else array[..., :3]
        found.append(torch.from_numpy(array.copy()).permute(2, 0, 1))
    return found


def cloud(size: int, rng: torch.Generator) -> Tensor:
    """Draw noise with a 1/f^a spectrum, a in 0 to 2.5, in random colours."""
    frequency = torch.fft.fftfreq(size)[:, None] ** 2 + torch.fft.rfftfreq(size)[None] ** 2
    fall = (frequency + 1 / size**2) ** (-1.25 * _one(rng))
    y = torch.fft.irfft2(torch.fft.rfft2(torch.randn(3, size, size, generator=rng)) * fall, s=(size, size))
    y = (y - y.mean(dim=(1, 2), keepdim=True)) / y.std(dim=(1, 2), keepdim=True)
    mix = torch.randn(3, 3, generator=rng) * 0.3
    return (torch.einsum("ij,jhw->ihw", mix, y) + _colours(1, rng)[0][:, None, None]).clamp(-1, 1)


def gradient(size: int, rng: torch.Generator) -> Tensor:
    """Draw a linear or radial ramp between two colours."""
    x, y = _rotated(size, rng)
    ramp = (x**2 + y**2).sqrt() if _one(rng) < 0.5 else x
    return _between((ramp - ramp.min()) / (ramp.max() - ramp.min()), rng)


def checkerboard(size: int, rng: torch.Generator) -> Tensor:
    """Draw squares or stripes of 2 to 24 px in two colours, at any angle, with sharp or soft edges."""
    x, y = _rotated(size, rng)
    period = 4.0 * 12 ** _one(rng)
    wave = torch.sin(2 * math.pi * x / period)
    if _one(rng) < 0.6:
        wave = wave * torch.sin(2 * math.pi * y / period)
    return _between(torch.sigmoid(wave * 40 ** _one(rng)), rng)


def text(size: int, rng: torch.Generator) -> Tensor:
    """Draw lines of random letters in 8 to 28 px."""
    paper, ink = ((_colours(2, rng) + 1) * 127.5).round().int().tolist()
    image = Image.new("RGB", (size, size), tuple(paper))
    draw = ImageDraw.Draw(image)
    height = 8 + _below(21, rng)
    font = ImageFont.load_default(height)
    for top in range(-_below(height, rng), size, height + 2):
        letters = (33 + torch.randint(94, (2 * size // height + 4,), generator=rng)).tolist()
        draw.text((-_below(height, rng), top), "".join(map(chr, letters)), fill=tuple(ink), font=font)
    return to_tensor(image)[0]


DRAWN = (cloud, gradient, checkerboard, text)


def _crop(image: Tensor, smallest: float, size: int, rng: torch.Generator) -> Tensor:
    """Crop a random square of at least `smallest` px of a uint8 image [3, H, W], resize and mirror it at random."""
    largest = min(image.shape[1:])
    side = round(smallest + (largest - smallest) * _one(rng)) if largest > smallest else largest
    top = _below(image.shape[1] - side + 1, rng)
    left = _below(image.shape[2] - side + 1, rng)
    square = dequantize(image[None, :, top : top + side, left : left + side])
    if side != size:
        square = F.interpolate(square, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)
    return (square.flip(3) if _one(rng) < 0.5 else square)[0]


def _one(rng: torch.Generator) -> float:
    return float(torch.rand((), generator=rng))


def _below(count: int, rng: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=rng))


def _colours(count: int, rng: torch.Generator) -> Tensor:
    return torch.rand(count, 3, generator=rng) * 2 - 1


def _between(share: Tensor, rng: torch.Generator) -> Tensor:
    """Interpolate from one random colour (share [H, W] = 0) to another (1)."""
    a, b = _colours(2, rng)[:, :, None, None]
    return a + (b - a) * share


def _rotated(size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coordinates (x, y) in px about a random point, turned by a random angle; each [size, size]."""
    angle = 2 * math.pi * _one(rng)
    line = torch.arange(float(size))
    y, x = torch.meshgrid(line - size * _one(rng), line - size * _one(rng), indexing="ij")
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
