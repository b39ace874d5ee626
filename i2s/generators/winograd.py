"""3x3 convolutions with a quarter of the multiplications: F(4x4, 3x3) of Lavin and Gray (arXiv 1509.09308).

A tile of 4 x 4 results depends on 6 x 6 numbers. Both tile and kernel are polynomials; at six points their product is
six multiplications, where the plain sums take twelve, and in two dimensions 36 in place of 144:

    y = A^T [(G w G^T) * (B^T x B)] A      * number by number, summed over the channels: 36 matrix products

The points 0, 1, -1, 1/2, -2 and infinity lose least to rounding (Barabasz et al., arXiv 1803.10986); in float32 the
error is about three times that of the plain sums, 1e-6 of the result. The transform of the weights takes four times
their memory and is worth it where they are fixed. On a GPU, cuDNN has this already.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 4
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity
FEWEST_CHANNELS, FEWEST_TILES = 192, 16  # with less, the transforms cost more than the multiplications saved


def _values(count: int) -> Tensor:
    """Matrix [6, count] that evaluates a polynomial of `count` coefficients at the points; the last row is infinity."""
    points = torch.tensor(POINTS, dtype=torch.float64, device="cpu")
    infinity = torch.eye(count, dtype=torch.float64, device="cpu")[-1:]
    return torch.cat([points[:, None] ** torch.arange(count, device="cpu"), infinity])


def _both_axes(matrix: Tensor) -> Tensor:
    """The transform of both axes of a tile at once, from that of one."""
    return torch.kron(matrix, matrix).float()


RESULT = _both_axes(_values(TILE).T)  # A^T: [16, 36]
KERNEL = _both_axes(_values(3))  # G: [36, 9]
INPUT = _both_axes(torch.linalg.inv(_values(6)).T)  # B^T: [36, 36]


def pays(weight: Tensor, size: torch.Size) -> bool:
    """True if a frozen convolution [out, in, 3, 3] of images [N, in, H, W] is faster so: wide, not tiny, on a CPU."""
    height, width = size[2:]
    fits = height % TILE == 0 and width % TILE == 0 and height * width >= FEWEST_TILES * TILE**2
    return fits and min(weight.shape[:2]) >= FEWEST_CHANNELS and weight.device.type == "cpu"


def transform(weight: Tensor) -> Tensor:
    """Transform a kernel [out, in, 3, 3] to [36, in, out]."""
    out, channels = weight.shape[:2]
    return (KERNEL @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(-1, channels, out)


def conv(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve x [N, in, H, W] with a transformed kernel, padding 1; returns [N, out, H, W] in channels-last memory."""
    count, channels, height, width = x.shape
    rows, columns = height // TILE, width // TILE
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    tiles = _tiles(padded, rows, columns, 0, 0, 6, 6).reshape(-1, 36, channels)
    products = torch.bmm(_of_each(INPUT, tiles).transpose(0, 1), kernel)  # [36, tiles, out]
    y = _of_each(RESULT, products.transpose(0, 1)).view(count, rows, columns, TILE, TILE, -1)
    return y.transpose(2, 3).reshape(count, height, width, -1).permute(0, 3, 1, 2)


def conv_transpose(y: Tensor, kernel: Tensor) -> Tensor:
    """The gradient of `conv` with respect to x, from that of its result y [N, out, H, W]: all steps, backwards."""
    count, channels, height, width = y.shape
    rows, columns = height // TILE, width // TILE
    tiles = y.permute(0, 2, 3, 1).reshape(count, rows, TILE, columns, TILE, -1).transpose(2, 3)
    products = _of_each(RESULT.T, tiles.reshape(-1, TILE**2, channels))
    values = torch.bmm(products.transpose(0, 1), kernel.mT)  # [36, tiles, in]
    tiles = _of_each(INPUT.T, values.transpose(0, 1)).view(count, rows, columns, 6, 6, -1)
    padded = y.new_zeros(count, height + 2, width + 2, kernel.shape[1])
    for top, high in ((0, TILE), (TILE, 2)):  # the tiles overlap, but these parts of them do not
        for left, wide in ((0, TILE), (TILE, 2)):
            part = tiles[:, :, :, top : top + high, left : left + wide]
            _tiles(padded, rows, columns, top, left, high, wide).add_(part)
    return padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _tiles(padded: Tensor, rows: int, columns: int, top: int, left: int, height: int, width: int) -> Tensor:
    """View images [N, H + 2, W + 2, C] as tiles, or as a part of each: [N, rows, columns, height, width, C]."""
    image, row, pixel, _ = padded.stride()
    size = (len(padded), rows, columns, height, width, padded.shape[3])
    stride = (image, TILE * row, TILE * pixel, row, pixel, 1)
    return padded.as_strided(size, stride, padded.storage_offset() + top * row + left * pixel)


def _of_each(matrix: Tensor, tiles: Tensor) -> Tensor:
    """Multiply a matrix with each tile, [tiles, k, channels]; faster than with all at once, far apart in memory."""
    return torch.bmm(matrix.expand(len(tiles), *matrix.shape), tiles)
