"""Official weight files, read without executing anything in them, and the catalog of their sources.

`i2s.generators` never imports this package; its registry names two functions of it: `find` (a name of the catalog to
its file) and `read_generator` (a file to its generator).

    fetch, catalog                              download and find files
    file_type                                   tell the container by its first bytes
    unpickler, reader, arrays, torch_archive    read it to an object graph (object_graph) within limits (limits)
    nvidia_torch, nvidia_tf, rosinality         convert the graph to a network (module_tree, kwargs, load_state)
    latents                                     codes of other tools
    inspect, convert                            the commands `i2s inspect` and `i2s convert`
"""

from pathlib import Path
from typing import TYPE_CHECKING

from i2s.errors import SettingsError, WeightFileError, in_file

if TYPE_CHECKING:
    from torch import Tensor

    from i2s.generators.base import Generator


def find(name: str) -> Path:
    """Return the weight file of a generator of the catalog; see `i2s.weights.catalog.find`."""
    from i2s.weights import catalog

    return catalog.find(name)


def read_latents(path: str | Path) -> "Tensor":
    """Read a code of another tool (.npz, .npy, .pt); see `i2s.weights.latents.read_latents`."""
    from i2s.weights import latents

    return latents.read_latents(path)


def write_latents(w_plus: "Tensor", path: str | Path) -> Path:
    """Write a code for other tools (.npz, .npy, .pt); see `i2s.weights.latents.write_latents`."""
    from i2s.weights import latents

    return latents.write_latents(w_plus, path)


def read_generator(path: str | Path, class_idx: int | None = None) -> "Generator":
    """Read a generator from an official weight file; its contents say which format it has.

    Args:
        path: A pickle of StyleGAN2-ADA or StyleGAN3 (torch) or of StyleGAN or StyleGAN2 (TensorFlow), a generator of
            theirs saved alone (as PTI does), a .pt of rosinality, or a checkpoint of pSp or e4e (its decoder).
        class_idx: The class that a conditional network draws.

    Returns:
        The generator, float32 on the CPU, in evaluation mode, its weights frozen.

    Raises:
        WeightFileError: The file is missing, broken, hostile, or holds no generator, or a conditional one and
            no class is given; the message begins with its path.
        SettingsError: There is no such class.
    """
    from torch import Tensor

    from i2s.weights import nvidia_tf, nvidia_torch, rosinality
    from i2s.weights.object_graph import PersistentObject
    from i2s.weights.reader import read_weights

    graph = read_weights(path)
    with in_file(path):
        official = isinstance(graph, PersistentObject) or (isinstance(graph, dict) and not rosinality.recognizes(graph))
        if official:
            return nvidia_torch.convert(graph, class_idx)
        if class_idx is not None:
            raise SettingsError(f"class_idx is {class_idx!r}, but this network has no classes: leave it out.")
        if isinstance(graph, tuple):
            return nvidia_tf.convert(graph)
        if isinstance(graph, dict):
            return rosinality.convert(graph)
        if isinstance(graph, Tensor):
            raise WeightFileError(
                f"The file holds one tensor of shape {list(graph.shape)}, such as a latent code, not a generator: "
                "choose a weight file."
            )
        raise WeightFileError(f"The file holds a {type(graph).__name__}, not a generator: choose another.")
