"""Our own weight files: safetensors, which hold tensors and text and nothing that could be executed.

The text says what the tensors are: `format`, `version`, `kind` ("stylegan2"), `config` (JSON), `precision`, and
whatever a model card needs (name, licence, data, attribution).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from i2s.errors import WeightFileError, one_line
from i2s.files import write_atomically
from i2s.generators.base import Generator
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.generators.stylegan3 import StyleGAN3, StyleGAN3Config
from i2s.latents import LatentStatistics
from i2s.weights.kwargs import settings_of_a_file
from i2s.weights.limits import printable
from i2s.weights.load_state import Entry, assemble, tensor_of

FORMAT, VERSION = "i2s-generator", 1
STATISTICS = tuple(f"latents.{name}" for name in ("mean", "components", "std"))  # a file may hold them, or none
NETWORKS = {
    "stylegan1": (StyleGAN1, StyleGAN1Config),
    "stylegan2": (StyleGAN2, StyleGAN2Config),
    "stylegan3": (StyleGAN3, StyleGAN3Config),
}


def save_generator(
    generator: Generator, path: str | Path, half: bool = True, extra_metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a generator to a safetensors file, complete or not at all; an older file is replaced at the end.

    half: trained weights in float16 (half the size, a relative error of about 0.0005 in each); the mean latent, noise
    maps, filters and `latents` stay float32, as all does with `half=False`, which is exact for a float32 generator.
    extra_metadata: further texts for the model card. Errors: WeightFileError (NaN, too large for float16), OutputError.
    """
    config = asdict(generator.config)
    metadata = {str(name): str(text) for name, text in (extra_metadata or {}).items()}
    metadata |= {"format": FORMAT, "version": str(VERSION), "kind": generator.kind, "config": json.dumps(config)}
    metadata["precision"] = "float16" if half else "float32"
    trained = {name for name, _ in generator.named_parameters()}
    tensors = {}
    for name, tensor in generator.state_dict().items():
        dtype = torch.float16 if half and name in trained else torch.float32
        tensors[name] = tensor.detach().to("cpu", dtype).contiguous()
        if not torch.isfinite(tensors[name]).all():
            raise WeightFileError(f"The generator cannot be saved: {name} is not finite in {dtype}; try half=False.")
    if generator.latents is not None:
        for name in STATISTICS:
            tensors[name] = getattr(generator.latents, name.split(".")[1]).to("cpu", torch.float32).contiguous()
    return write_atomically(path, save(tensors, metadata))


def load(path: str | Path) -> Generator:
    """The generator of a file that `save_generator` wrote, float32 on the CPU.

    WeightFileError says, as the end of a sentence, what is wrong with the file; all is checked as for a foreign one.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
        kind, config = _description(metadata)
        network = NETWORKS[kind][0]
        with torch.device("meta"), settings_of_a_file():
            names = list(network(config).state_dict())
        tensors = _Tensors(file)
        generator = assemble(network, config, tensors, {name: Entry(name) for name in names}, unused=STATISTICS)
        generator.latents = _statistics(tensors, generator.w_dim)
        return generator


def read_metadata(path: str | Path) -> dict[str, str]:
    """The texts of a safetensors file: format, version, kind, config, model card. No tensor is read."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


def _statistics(tensors: Mapping[str, torch.Tensor], w_dim: int) -> LatentStatistics | None:
    """The statistics of W, if the file holds them."""
    found = set(STATISTICS).intersection(tensors)
    if not found:
        return None
    if len(found) < len(STATISTICS):
        raise WeightFileError("its statistics of the latent space are incomplete: the file is damaged")
    parts = [tensor_of(tensors[name], name).float() for name in STATISTICS]
    for name, part, shape in zip(STATISTICS, parts, ([w_dim], [w_dim, w_dim], [w_dim])):
        if list(part.shape) != shape or not part.isfinite().all():
            raise WeightFileError(f"tensor {name} is not of finite numbers {shape}: the file is damaged")
    if not parts[2].min() > 0:
        raise WeightFileError("tensor latents.std holds a spread that is not above 0: the file is damaged")
    return LatentStatistics(*parts)


class _Tensors(Mapping):
    """A file's tensors by name, each read when it is asked for."""

    def __init__(self, file):
        self._file, self._names = file, list(file.keys())

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def _opened(path: str | Path) -> Iterator[safe_open]:
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise WeightFileError(f"it is a damaged safetensors file ({printable(error)})") from error
    except OSError as error:
        raise WeightFileError(f"it cannot be read ({one_line(error)})") from error


def _description(metadata: Mapping[str, str]) -> tuple[str, object]:
    """Kind and configuration that the texts describe."""
    if metadata.get("format") != FORMAT:
        raise WeightFileError("it is a safetensors file, but no generator (its format is not 'i2s-generator')")
    version, kind = metadata.get("version", ""), metadata.get("kind", "")
    if version != str(VERSION):
        shown = printable(version, 20)
        raise WeightFileError(f"its format version is '{shown}', but this i2s reads {VERSION}: update i2s")
    if kind not in NETWORKS:
        raise WeightFileError(f"it holds a '{printable(kind, 20)}': this i2s reads {', '.join(NETWORKS)}")
    try:
        values = json.loads(metadata.get("config", ""))
    except (ValueError, RecursionError) as error:
        raise WeightFileError("its configuration is not JSON: the file is damaged") from error
    config_class = NETWORKS[kind][1]
    known = {field.name for field in fields(config_class)}
    if not isinstance(values, dict) or not set(values) <= known:
        raise WeightFileError("its configuration has settings that this i2s does not know: update i2s")
    with settings_of_a_file():
        return kind, config_class(**values)
