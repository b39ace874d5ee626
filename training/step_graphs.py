"""CUDA graphs of whole training steps: losses, gradients and optimisers in one launch.

A step of small networks starts thousands of kernels, and the GPU waits for most of them; a graph starts all at once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Step = Callable[[], dict[str, Tensor]]
WARM_UP = 3  # steps that let cuDNN choose its algorithms, and Adam create its state


def can_capture(device: torch.device) -> bool:
    """True if steps with a random number generator of their own can be captured there (torch 2.3 on)."""
    return device.type == "cuda" and hasattr(torch.cuda.CUDAGraph, "register_generator_state")


def capture(
    step: Step,
    state: Callable[[], dict[str, Tensor]],
    optimizers: Sequence[torch.optim.Optimizer],
    rng: torch.Generator,
) -> Step:
    """Capture a step as a CUDA graph.

    Args:
        step: Changes tensors in place, and returns its terms; waits for no value. Its optimisers are `capturable`.
        state: Returns all tensors that the step changes, by name; capturing leaves them as they were. Those that only
            exist after the first step (of Adam) begin at 0.
        optimizers: Of the step; their gradients become the graph's.
        rng: The step's only source of random numbers, on the device.

    Returns:
        A function that runs the step and returns its terms, which the next run overwrites.
    """
    saved = {name: tensor.detach().clone() for name, tensor in state().items()}
    rng_state = rng.get_state()
    stream = torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(rng)

    # Warm up
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            _drop_gradients(optimizers)
            step()
    torch.cuda.synchronize()

    # Capture, which executes nothing
    _drop_gradients(optimizers)
    with torch.cuda.graph(graph, stream=stream):
        terms = step()
    _drop_gradients(optimizers)

    # Restore
    with torch.no_grad():
        for name, tensor in state().items():
            if name in saved:
                tensor.copy_(saved[name])
            else:
                tensor.zero_()
    rng.set_state(rng_state)

    def replay() -> dict[str, Tensor]:
        graph.replay()
        return terms

    return replay


def _drop_gradients(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
