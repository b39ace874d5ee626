"""Our own weight files: safetensors, which hold tensors and text and nothing that could be executed.

The metadata says what the tensors are: `format`, `version`, `kind` ("stylegan2"), `config` (JSON), `precision`, and
whatever a model card needs (name, licence, data, attribution).
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from i2s.errors import SettingsError, WeightFileError, in_file, one_line, printable
from i2s.files import write_safetensors
from i2s.generators.base import Generator
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.generators.stylegan3 import StyleGAN3, StyleGAN3Config
from i2s.latents import LatentStatistics

FORMAT, VERSION = "i2s-generator", 1
STATISTICS = tuple(f"latents.{name}" for name in ("mean", "components", "std"))  # a file may hold them, or none
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
MAX_NUMBERS = 2**28  # 1 GB in float32; the largest official generator has 33 million
NETWORKS = {
    "stylegan1": (StyleGAN1, StyleGAN1Config),
    "stylegan2": (StyleGAN2, StyleGAN2Config),
    "stylegan3": (StyleGAN3, StyleGAN3Config),
}


def save_generator(
    generator: Generator, path: str | Path, half: bool = True, extra_metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a generator as safetensors.

    Args:
        generator: The generator.
        path: The file; it is complete before it takes the place of an older one.
        half: Store trained weights in float16 (half the size, a relative error of about 0.0005 in each); the mean
            latent, noise maps, filters and statistics stay float32. False is exact for a float32 generator.
        extra_metadata: Further texts for the model card.

    Returns:
        The file's path.

    Raises:
        WeightFileError: A weight is not finite, or too large for float16.
        OutputError: The file cannot be written.
    """
    config = asdict(generator.config)
    if config["mapping_width"] is None:  # as files were before there was this setting
        del config["mapping_width"]
    metadata = {str(name): str(text) for name, text in (extra_metadata or {}).items()}
    metadata |= {"kind": generator.kind, "config": json.dumps(config), "precision": "float16" if half else "float32"}
    trained = {name for name, _ in generator.named_parameters()}
    tensors = {}
    for name, tensor in generator.state_dict().items():
        dtype = torch.float16 if half and name in trained else torch.float32
        tensors[name] = tensor.detach().to("cpu", dtype)
        if not torch.isfinite(tensors[name]).all():
            raise WeightFileError(f"The generator cannot be saved: {name} is not finite in {dtype}; try half=False.")
    if generator.latents is not None:
        for name in STATISTICS:
            tensors[name] = getattr(generator.latents, name.split(".")[1]).to("cpu", torch.float32)
    return write_safetensors(path, tensors, FORMAT, VERSION, metadata)


def load(path: str | Path) -> Generator:
    """Load a file of `save_generator`: float32, on the CPU, in evaluation mode, its weights frozen.

    Raises:
        WeightFileError: The file is missing, broken, or holds no generator.
    """
    with _opened(path) as file:
        network, config = _description(file.metadata() or {})
        generator = empty_network(network, config)
        shapes = {name: list(tensor.shape) for name, tensor in generator.state_dict().items()}
        check_names(file.keys(), shapes, unused=STATISTICS)
        # tensor by tensor, into memory of their own
        state = {name: _tensor(file, name, shape).clone() for name, shape in shapes.items()}
        generator.load_state_dict(state, assign=True)
        generator.latents = _statistics(file, generator.w_dim)
    return generator.eval().requires_grad_(False)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read the texts of a safetensors file: format, version, kind, config, model card. No tensor is read.

    Raises:
        WeightFileError: The file is missing, or broken.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


def is_safetensors(path: str | Path) -> bool:
    """True if a file begins as safetensors do: the length of a header of JSON, and the header."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(10)
    except (OSError, ValueError):
        return False
    return len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100 << 20


# ---- checks, which readers of other formats share --------------------------------------------------------------------


@contextmanager
def config_errors() -> Iterator[None]:
    """Turn the SettingsError of a network's configuration into a WeightFileError."""
    try:
        yield
    except SettingsError as error:
        reason = str(error).rstrip(".")
        raise WeightFileError(
            f"The settings in the file describe no network that i2s can build ({reason}): choose another file."
        ) from error


def empty_network(network: type[Generator], config: object) -> Generator:
    """Build a network on the meta device: it has shapes only, so that a file can ask for petabytes in vain.

    Raises:
        WeightFileError: No such network can be built, or it would be larger than any that is known.
    """
    with torch.device("meta"), config_errors():
        generator = network(config)
    numbers = sum(math.prod(tensor.shape) for tensor in generator.state_dict().values())
    if numbers > MAX_NUMBERS:
        raise WeightFileError(
            f"The settings describe a network of {numbers:.1e} numbers, more than any known one has: choose another."
        )
    return generator


def check_names(found: Collection[str], wanted: Collection[str], unused: Collection[str] = ()) -> None:
    """WeightFileError unless the names in a file are those of a network; `unused` ones may be there as well."""
    if missing := sorted(set(wanted) - set(found)):
        raise WeightFileError(
            f"{_listed(missing, 'missing')}: the file is incomplete, or a variant that i2s does not read."
        )
    if extra := sorted(set(found) - set(wanted) - set(unused)):
        raise WeightFileError(f"{_listed(extra, 'unknown to this network')}: i2s does not read this variant.")


def _listed(names: list[str], what: str) -> str:
    shown = ", ".join(printable(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"Tensor {shown} is {what}" if len(names) == 1 else f"Tensors {shown} are {what}"


# ---- reading ---------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str | Path) -> Iterator[safe_open]:
    with in_file(path):
        try:
            with safe_open(str(path), framework="pt") as file:
                yield file
        except SafetensorError as error:
            raise WeightFileError(f"It is a damaged safetensors file ({printable(error)}): fetch it again.") from error
        except OSError as error:
            raise WeightFileError(f"It cannot be read ({one_line(error)}): check its name and permissions.") from error


def _description(metadata: Mapping[str, str]) -> tuple[type[Generator], object]:
    """Class and configuration of the network that the metadata describes."""
    if metadata.get("format") != FORMAT:
        raise WeightFileError(
            "It is a safetensors file, but no generator (its format is not 'i2s-generator'): choose another file."
        )
    version, kind = metadata.get("version", ""), metadata.get("kind", "")
    if version != str(VERSION):
        raise WeightFileError(
            f"Its format version is '{printable(version, 20)}', but this i2s reads {VERSION}: update i2s."
        )
    if kind not in NETWORKS:
        raise WeightFileError(
            f"It holds a '{printable(kind, 20)}', but this i2s reads {', '.join(NETWORKS)}: update i2s."
        )
    network, config_class = NETWORKS[kind]
    try:
        values = json.loads(metadata.get("config", ""))
    except (ValueError, RecursionError) as error:
        raise WeightFileError("Its configuration is not JSON: the file is damaged.") from error
    known = {field.name for field in fields(config_class)}
    if not isinstance(values, dict) or not set(values) <= known:
        raise WeightFileError("Its configuration has settings that this i2s does not know: update i2s.")
    with config_errors():
        return network, config_class(**values)


def _tensor(file: safe_open, name: str, shape: list[int]) -> Tensor:
    """Read a tensor of floats of this shape, as float32; it may share the file's memory."""
    tensor = file.get_tensor(name)
    if tensor.dtype not in FLOATS:
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise WeightFileError(f"Tensor {name} holds {dtype} numbers, but float32 is expected: the file is damaged.")
    if list(tensor.shape) != shape:
        raise WeightFileError(
            f"Tensor {name} has shape {list(tensor.shape)}, but the settings in the file ask for {shape}."
        )
    if not tensor.isfinite().all():
        raise WeightFileError(f"Tensor {name} holds NaN or infinity: the file is damaged, or its training diverged.")
    return tensor.float()


def _statistics(file: safe_open, w_dim: int) -> LatentStatistics | None:
    """Read the statistics of W, if the file holds them."""
    found = set(STATISTICS).intersection(file.keys())
    if not found:
        return None
    if len(found) < len(STATISTICS):
        raise WeightFileError("Its statistics of the latent space are incomplete: the file is damaged.")
    shapes = [w_dim], [w_dim, w_dim], [w_dim]
    mean, components, std = (_tensor(file, name, shape).clone() for name, shape in zip(STATISTICS, shapes))
    if not std.min() > 0:
        raise WeightFileError("Tensor latents.std holds a value that is not above 0: the file is damaged.")
    return LatentStatistics(mean, components, std)
