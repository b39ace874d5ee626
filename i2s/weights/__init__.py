"""Official weight files, read without executing anything in them, and the catalog of their sources.

`i2s.generators` never imports this package; its registry names two functions of it: `find` (a name of the catalog to
its file) and `read_generator` (a file to its generator).

    fetch, catalog                              download and find files
    file_type                                   tell the container by its first bytes
    unpickler, reader, arrays, torch_archive    read it to an object graph (object_graph) within limits (limits)
    nvidia_torch, nvidia_tf, rosinality         convert the graph to a network (module_tree, kwargs, load_state)
    inspect, convert                            the commands `i2s inspect` and `i2s convert`
"""

from pathlib import Path
from typing import TYPE_CHECKING

from i2s.errors import WeightFileError, in_file

if TYPE_CHECKING:
    from i2s.generators.base import Generator


def find(name: str) -> Path:
    """Return the weight file of a generator of the catalog; see `i2s.weights.catalog.find`."""
    from i2s.weights import catalog

    return catalog.find(name)


def read_generator(path: str | Path) -> "Generator":
    """Read a generator from an official weight file; its contents say which format it has.

    Args:
        path: A pickle of StyleGAN2-ADA or StyleGAN3 (torch) or of StyleGAN or StyleGAN2 (TensorFlow), or a .pt of
            rosinality.

    Returns:
        The generator, float32 on the CPU, in evaluation mode, its weights frozen.

    Raises:
        WeightFileError: The file is missing, broken, hostile, or holds no generator; the message begins with its path.
    """
    from i2s.weights import nvidia_tf, nvidia_torch, rosinality
    from i2s.weights.reader import read_weights

    graph = read_weights(path)
    with in_file(path):
        if isinstance(graph, tuple):
            return nvidia_tf.convert(graph)
        if isinstance(graph, dict) and "g_ema" in graph:
            return rosinality.convert(graph)
        if isinstance(graph, dict):
            return nvidia_torch.convert(graph)
        raise WeightFileError(f"The file holds a {type(graph).__name__}, not a generator: choose another.")
