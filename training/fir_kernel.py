"""Triton kernel of the FIR filter [1, 3, 3, 1]; see `training.fir`."""

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 8  # output rows of a program: ROWS + 3 input rows are read
BLOCK = 512  # (column, channel) pairs of a program


@triton.jit
def _binomial_kernel(
    x,  # input, [N, H, W, C]
    y,  # output, [N, OH, OW, C]
    height,
    width,
    out_height,
    out_width,
    channels,
    padding,
    gain,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    strips = tl.cdiv(out_height, ROWS)
    image = (tl.program_id(0) // strips).to(tl.int64)
    first = (tl.program_id(0) % strips) * ROWS
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)  # column * channels + channel
    inside = place < out_width * channels
    column = place // channels - padding  # of the leftmost tap
    source = place - padding * channels
    level = tl.zeros([BLOCK], tl.int32) + first  # a vector, as masks are

    # Horizontal sums of the last three input rows
    above3 = tl.zeros([BLOCK], tl.float32)
    above2 = tl.zeros([BLOCK], tl.float32)
    above1 = tl.zeros([BLOCK], tl.float32)
    for k in tl.static_range(ROWS + 3):
        row = level + k - padding
        line = x + (image * height + row) * width * channels
        known = inside & (row >= 0) & (row < height)
        total = tl.zeros([BLOCK], tl.float32)
        for tap in tl.static_range(4):
            weight = 0.375 if tap == 1 or tap == 2 else 0.125
            mask = known & (column + tap >= 0) & (column + tap < width)
            total += weight * tl.load(line + source + tap * channels, mask=mask, other=0.0).to(tl.float32)

        # Vertical sum, once four rows are there
        if k >= 3:
            out_row = level + k - 3
            value = (0.125 * (above3 + total) + 0.375 * (above2 + above1)) * gain
            target = y + (image * out_height + out_row) * out_width * channels + place
            tl.store(target, value.to(y.dtype.element_ty), mask=inside & (out_row < out_height))
        above3 = above2
        above2 = above1
        above1 = total


def binomial_filter(x: Tensor, padding: int, gain: float) -> Tensor:
    """Filter x [N, C, H, W] with zero padding on all sides; the result is channels last."""
    x = x.contiguous(memory_format=torch.channels_last)
    count, channels, height, width = x.shape
    out_height = height + 2 * padding - 3
    out_width = width + 2 * padding - 3
    shape = (count, channels, out_height, out_width)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    grid = (count * triton.cdiv(out_height, ROWS), triton.cdiv(out_width * channels, BLOCK))
    _binomial_kernel[grid](x, y, height, width, out_height, out_width, channels, padding, gain, ROWS=ROWS, BLOCK=BLOCK)
    return y
