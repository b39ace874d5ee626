"""On CUDA: the kernels of the synthesis network, recorded once and then played again.

A step starts some thousand small kernels, one after the other, and where pictures are small the GPU waits for the next
one longer than it works. A CUDA graph starts all of them at once. It draws the same images; whether it is faster
depends on the card and on the size, so that is tried, and where it is not, or where recording fails, nothing changes.
With I2S_CUDA_GRAPHS=0 in the environment it is not tried.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from i2s.generators.base import Generator

PATIENCE = 20  # draws of one size before it is recorded: the size changes when photos leave the batch
TURNS = 5  # draws that each of the two ways is timed by
TOLERANCE = 0.01  # of the largest number; half precision alone makes a tenth of it

Draw = Callable[..., Tensor]


class Replay:
    """A generator's synthesis network for a search: images [n, 3, R, R] of w_plus [n, num_ws, w_dim] and noise maps.

    noise: the maps, each [n, 1, H, W], or [] for the stored ones.
    record: takes a function of tensors, and such tensors, and returns the function's recording. None: no recording.
    """

    def __init__(self, generator: Generator, record: Callable[[Draw, Sequence[Tensor]], Draw] | None):
        self.generator, self.record = generator, record
        self.size: list[tuple] = []
        self.drawn = 0  # times, of this size
        self.recording: Draw | None = None
        self.read: list = []  # what the recording reads that the network may let go of, which would free its memory

    def __call__(self, w_plus: Tensor, noise: Sequence[Tensor]) -> Tensor:
        inputs = w_plus, *noise
        if self.record is None or not torch.is_grad_enabled():
            return self._draw(*inputs)
        size = [(tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in inputs]
        if size != self.size:
            self.size, self.drawn, self.recording, self.read = size, 0, None, []
        self.drawn += 1
        if self.drawn == PATIENCE:
            self.recording = self._recorded(inputs)
        if self.recording is None:
            return self._draw(*inputs)
        return self.recording(*inputs).clone()  # the next draw overwrites the recording's own

    def _draw(self, w_plus: Tensor, *noise: Tensor) -> Tensor:
        return self.generator.synthesis(w_plus, list(noise) or "const")

    def _recorded(self, inputs: Sequence[Tensor]) -> Draw | None:
        """The recording, if it can be made, draws the same, and is the faster of the two; else None."""
        # made of other numbers than it is tried with: a number that it has kept would not be seen otherwise
        samples, trial = (
            [(tensor.detach() * share).requires_grad_(tensor.requires_grad) for tensor in inputs] for share in (0.5, 1)
        )
        try:
            recording = self.record(self._draw, samples)
            (known, slow), (found, fast) = (timed(draw, trial) for draw in (self._draw, recording))
        except RuntimeError:  # something that cannot be recorded, or no memory for it
            return None
        if fast >= slow or not all(map(alike, known, found)):
            return None
        # a layer keeps its prepared weights in one precision: asked for another, it drops those
        self.read = [getattr(module, "_frozen", None) for module in self.generator.modules()]
        return recording


def replay_of(generator: Generator) -> Replay:
    """`Replay` by CUDA graphs, where the generator is on CUDA and nobody said no."""
    wanted = os.environ.get("I2S_CUDA_GRAPHS", "").lower() not in ("0", "false", "no", "off")
    return Replay(generator, cuda_graph if wanted and generator.device.type == "cuda" else None)


def cuda_graph(draw: Draw, samples: Sequence[Tensor]) -> Draw:
    """`draw` and its gradients as CUDA graphs, for tensors of the size of `samples`. RuntimeError."""
    with torch.cuda.device(samples[0].device), _other_streams_allowed():  # the current device is captured
        return torch.cuda.make_graphed_callables(draw, tuple(samples), allow_unused_input=True)


@contextlib.contextmanager
def _other_streams_allowed() -> Iterator[None]:
    """No warning about the gradients' stream: torch warms up on one stream, and captures on another."""
    warn = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if warn is None:  # before torch 2.10
        yield
        return
    warn(False)
    try:
        yield
    finally:
        warn(True)


def timed(draw: Draw, inputs: Sequence[Tensor]) -> tuple[list[Tensor], float]:
    """The image of `inputs` and its gradients, 0 where it has none; the median of the seconds that they take."""
    wanted, taken = [tensor for tensor in inputs if tensor.requires_grad], []
    for _ in range(TURNS):
        wait(inputs[0])
        start = time.perf_counter()
        image = draw(*inputs)
        loss = image.square().mean(dim=(1, 2, 3)).sum() * 256  # about as large as a search makes it for half precision
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
        wait(inputs[0])
        taken.append(time.perf_counter() - start)
    whole = [torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(wanted, gradients)]
    return [tensor.detach().clone() for tensor in (image, *whole)], statistics.median(taken)


def alike(known: Tensor, found: Tensor) -> bool:
    return bool((known - found).abs().amax() <= TOLERANCE * known.abs().amax())


def wait(tensor: Tensor) -> None:
    """Until the device is done."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
