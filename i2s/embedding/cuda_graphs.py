"""CUDA graph capture of the synthesis network's forward and backward pass.

A step launches some thousand small kernels, one after the other, and where images are small the GPU waits for the next
one longer than it works. A CUDA graph launches all of them at once. It generates the same images; whether it is faster
depends on the card and on the size, so that is tried, and where it is not, or where capture fails, nothing changes.
With I2S_CUDA_GRAPHS=0 in the environment it is not tried.
"""

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from i2s.generators.base import Generator

WARMUP = 20  # calls of one size before it is captured: the size changes when photos leave the batch
TRIALS = 5  # calls that each of the two ways is timed by
TOLERANCE = 0.01  # of the largest number; half precision alone makes a tenth of it

_lock = threading.Lock()
_running = 0  # embeddings in this process

Function = Callable[..., Tensor]  # of tensors, differentiable


class GraphedSynthesis:
    """A generator's synthesis network, which is replaced by a graph of it once that is faster.

    Args:
        generator: The generator.
        capture: Takes a function of tensors, and such tensors, and returns the function's graph; None captures nothing.
    """

    def __init__(self, generator: Generator, capture: Callable[[Function, Sequence[Tensor]], Function] | None):
        self.generator = generator
        self.capture = capture
        self.graph: Function | None = None
        self.size: list[tuple] = []
        self.calls = 0  # of this size
        self.kept: list = []  # what the graph reads and the network may let go of, which would free its memory

    def __call__(self, w_plus: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Generate images [n, 3, R, R].

        Args:
            w_plus: [n, num_ws, w_dim].
            noise: Maps [n, 1, H, W], or [] for the stored ones.
        """
        inputs = w_plus, *noise
        if self.capture is None or not torch.is_grad_enabled():
            return self.synthesis(*inputs)
        size = [(tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in inputs]
        if size != self.size:
            self.size = size
            self.calls = 0
            self.graph = None
            self.kept = []
        self.calls += 1
        if self.calls == WARMUP:
            self.graph = self._captured(inputs)
        if self.graph is None:
            return self.synthesis(*inputs)
        return self.graph(*inputs).clone()  # the next call overwrites the graph's own output

    def synthesis(self, w_plus: Tensor, *noise: Tensor) -> Tensor:
        """Generate images without a graph."""
        return self.generator.synthesis(w_plus, list(noise) or "const")

    def _captured(self, inputs: Sequence[Tensor]) -> Function | None:
        """Return the graph if it can be captured, returns the same, and is faster; else None.

        Beside another embedding, in another thread, nothing is captured: what that one does would end the capture.
        """
        with _lock:
            return self._tried(inputs) if _running <= 1 else None

    def _tried(self, inputs: Sequence[Tensor]) -> Function | None:
        # captured with other numbers than it is tried with: a number that it has stored would not be seen otherwise
        samples, trial = (
            [(tensor.detach() * factor).requires_grad_(tensor.requires_grad) for tensor in inputs]
            for factor in (0.5, 1)
        )
        try:
            graph = self.capture(self.synthesis, samples)
            (known, slow), (found, fast) = (timed(function, trial) for function in (self.synthesis, graph))
        except RuntimeError:  # something that cannot be captured, or no memory for it
            return None
        if fast >= slow or not all(map(close, known, found)):
            return None
        # a layer keeps its prepared weights in one precision: asked for another, it drops those
        self.kept = [getattr(module, "_frozen", None) for module in self.generator.modules()]
        return graph


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Count an embedding; it begins once no capture is under way."""
    global _running
    with _lock:
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1


def graphed_synthesis(generator: Generator) -> GraphedSynthesis:
    """Return a `GraphedSynthesis` that captures if the generator is on CUDA, unless the environment forbids it."""
    wanted = os.environ.get("I2S_CUDA_GRAPHS", "").lower() not in ("0", "false", "no", "off")
    return GraphedSynthesis(generator, capture if wanted and generator.device.type == "cuda" else None)


def capture(function: Function, samples: Sequence[Tensor]) -> Function:
    """Capture a function and its gradients as CUDA graphs, for tensors of the size of `samples`.

    Raises:
        RuntimeError: It cannot be captured.
    """
    with torch.cuda.device(samples[0].device), _stream_mismatch_allowed():  # the current device is captured
        return torch.cuda.make_graphed_callables(function, tuple(samples), allow_unused_input=True)


@contextlib.contextmanager
def _stream_mismatch_allowed() -> Iterator[None]:
    """Silence the warning about the gradients' stream: torch warms up on one stream, and captures on another."""
    warn = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if warn is None:  # before torch 2.10
        yield
        return
    warn(False)
    try:
        yield
    finally:
        warn(True)


def timed(function: Function, inputs: Sequence[Tensor]) -> tuple[list[Tensor], float]:
    """Return the image of `inputs` and its gradients, 0 where it has none; and the median of the seconds."""
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    taken = []
    for _ in range(TRIALS):
        synchronize(inputs[0])
        start = time.perf_counter()
        image = function(*inputs)
        loss = image.square().mean(dim=(1, 2, 3)).sum() * 256  # about as large as in half precision (`loss_scale`)
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
        synchronize(inputs[0])
        taken.append(time.perf_counter() - start)
    complete = [torch.zeros_like(x) if gradient is None else gradient for x, gradient in zip(wanted, gradients)]
    return [tensor.detach().clone() for tensor in (image, *complete)], statistics.median(taken)


def close(known: Tensor, found: Tensor) -> bool:
    """True if two tensors agree but for the rounding of half precision."""
    return bool((known - found).abs().amax() <= TOLERANCE * known.abs().amax())


def synchronize(tensor: Tensor) -> None:
    """Wait until the tensor's device has finished."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
