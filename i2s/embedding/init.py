"""Step 1, the initial code.

A code is [N, num_ws, w_dim] in W+, [N, 1, w_dim] in W (one row, which every layer reads; optimising 18 rows that only
start equal would be W+), and [N, 1, z_dim] in Z. To add an initial code, write a function as `mean` and give it a name
in `INITS`.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from i2s.embedding.objective import Objective
from i2s.encoder import ENCODERS, Encoder, load_encoder
from i2s.errors import LatentError, SettingsError
from i2s.generators.base import Generator
from i2s.images import resize

CHUNK = 16  # images generated at once


class InitSettings(Protocol):
    """The part of `EmbedSettings` that an initial code depends on."""

    space: str
    init: str
    seed: int
    candidates: int


def initial_code(
    generator: Generator,
    settings: InitSettings,
    count: int,
    start: Any = None,
    objective: Objective | None = None,
) -> Tensor:
    """Return the code that the optimisation of each of `count` photos starts from.

    What is random is drawn once for all photos: a photo's code does not depend on how many others come with it.

    Args:
        generator: The generator.
        settings: `init` names the code, one of `INITS`.
        count: Photos, N.
        start: A code in place of it, see `start_code`.
        objective: What "nearest" and "encoder" compare with, and look at.

    Returns:
        [N, num_ws, w_dim] in W+, [N, 1, w_dim] in W, [N, 1, z_dim] in Z, in memory of its own.

    Raises:
        LatentError: `start` has another shape, or holds NaN or infinity.
        SettingsError: There is no such code in this space or for this generator.
    """
    rows = generator.num_ws if settings.space == "w+" else 1
    width = generator.z_dim if settings.space == "z" else generator.w_dim
    if start is not None:
        code = _check_start(start_code(start, settings.space), generator, settings.space, count)
    else:
        code = INITS[settings.init](generator, settings, objective)
    return code.to(generator.w_mean).expand(count, rows, width).clone()


def start_code(start: Any, space: str) -> Tensor:
    """Convert a code that was given to a tensor of its own.

    Args:
        start: [w_dim], [1 | N, w_dim], [num_ws, w_dim] or [1 | N, 1 | num_ws, w_dim]; in Z [z_dim], [1 | N, z_dim] or
            [1 | N, 1, z_dim]; a tensor, an array, what has a `w_plus` (an `EmbedResult`), or a list of these. Of two
            dimensions, as many rows as layers are one code.
        space: "z", "w" or "w+".

    Raises:
        LatentError: It is no code, or one of another space.
    """
    if isinstance(start, list | tuple) and any(hasattr(one, "shape") or hasattr(one, "w_plus") for one in start):
        codes = [start_code(one, space) for one in start]
        if len({code.shape for code in codes}) > 1:
            shapes = ", ".join(str(list(code.shape)) for code in codes)
            raise LatentError(f"The initial codes have shapes {shapes}: give codes of one shape.")
        codes = [code[None] if code.ndim == 1 else code for code in codes]
        return torch.cat(codes) if codes[0].ndim == 3 else torch.stack(codes)
    if hasattr(start, "w_plus"):
        if space == "z":
            raise LatentError("The initial code is of W+, but space is 'z': use space='w+', or give a z.")
        start = start.w_plus
    try:
        code = start if isinstance(start, Tensor) else torch.as_tensor(start, device="cpu")
        code = code.detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise LatentError(f"The initial code is a {type(start).__name__}: give a tensor or a result.") from error
    if code.dtype == torch.bool or code.is_complex():
        raise LatentError(f"The initial code is of {code.dtype}: give real numbers.")
    return code


def to_w_plus(code: Tensor, generator: Generator, space: str) -> Tensor:
    """Convert a code of any space to what the synthesis network reads, [N, num_ws, w_dim]; differentiable."""
    if space == "z":
        return generator.mapping(code[:, 0])
    return code.expand(-1, generator.num_ws, -1)


# ---- the initial codes: each broadcasts to [N, rows, width] ----------------------------------------------------------


def mean(generator: Generator, settings: InitSettings, objective: Objective | None) -> Tensor:
    """The mean latent; in Z, of random z, the one whose w is nearest to it.

    z = 0 is no such code, as z counts by its direction alone.
    """
    if settings.space != "z":
        return generator.w_mean
    z = generator.sample_z(settings.candidates, settings.seed)
    with torch.no_grad():
        distance = (generator.mapping(z)[:, 0] - generator.w_mean).square().sum(dim=1)
    return z[distance.argmin()]


def uniform(generator: Generator, settings: InitSettings, objective: Objective | None) -> Tensor:
    """Random numbers, uniform in [-1, 1]."""
    rows = generator.num_ws if settings.space == "w+" else 1
    width = generator.z_dim if settings.space == "z" else generator.w_dim
    rng = torch.Generator().manual_seed(settings.seed)
    return torch.rand(1, rows, width, generator=rng, dtype=torch.float32, device="cpu") * 2 - 1


def zeros(generator: Generator, settings: InitSettings, objective: Objective | None) -> Tensor:
    """Zeros."""
    return torch.zeros_like(generator.w_mean[:1])


@torch.no_grad()
def nearest(generator: Generator, settings: InitSettings, objective: Objective | None) -> Tensor:
    """For each photo, of `candidates` random codes, the one whose image has the lowest loss."""
    objective = _needed(objective, settings)
    z = generator.sample_z(settings.candidates, settings.seed)
    losses = []
    for some in z.split(CHUNK):
        w_plus = generator.mapping(some)
        images = generator.synthesis(w_plus)
        photos = torch.arange(len(objective), device=z.device)[:, None].expand(-1, len(some))
        terms = [objective.select(k)(w_plus, [], images) for k in photos]  # each photo against all of these images
        losses.append(torch.stack([sum(values.values()) for values in terms]))
    best = torch.cat(losses, dim=1).argmin(dim=1)  # [N, candidates] -> [N]
    return (z if settings.space == "z" else generator.mapping(z)[:, 0])[best][:, None]


def encoder(generator: Generator, settings: InitSettings, objective: Objective | None) -> Tensor:
    """The code that the encoder predicts of each photo as the loss sees it."""
    objective = _needed(objective, settings)
    if settings.space == "z":
        raise SettingsError("The encoder names a code of W, not of Z: use space='w' or 'w+', or another init.")
    network = _encoder_of(generator)
    if network is None:
        raise SettingsError(
            f"There are encoders for {' and '.join(ENCODERS)}, but none knows the generator "
            f"{generator.name or 'unnamed'!r}: use another init, such as 'mean'."
        )
    return _encoded(network, objective)


def auto(generator: Generator, settings: InitSettings, objective: Objective | None) -> Tensor:
    """The encoder's code if a shipped encoder was trained with this generator, else the mean."""
    if settings.space != "z" and (network := _encoder_of(generator)) is not None:
        return _encoded(network, _needed(objective, settings))
    return mean(generator, settings, objective)


INITS: dict[str, Callable[[Generator, InitSettings, Objective | None], Tensor]] = {
    "mean": mean,
    "uniform": uniform,
    "zeros": zeros,
    "nearest": nearest,
    "encoder": encoder,
    "auto": auto,
}


def _needed(objective: Objective | None, settings: InitSettings) -> Objective:
    if objective is None:
        raise SettingsError(f"init is {settings.init!r}, which looks at the photos: leave it to embed().")
    return objective


def _encoder_of(generator: Generator) -> Encoder | None:
    """Load the shipped encoder that was trained with this generator, if there is one."""
    if generator.name not in ENCODERS:
        return None
    network = load_encoder(device=generator.device, generator=generator.name)
    return network if network.w_dim == generator.w_dim else None


@torch.no_grad()
def _encoded(network: Encoder, objective: Objective) -> Tensor:
    """Predict the codes [N, 1, w_dim]."""
    seen = objective.seen
    if seen.shape[-2:] != (network.resolution, network.resolution):
        seen = resize(seen, network.resolution).to(objective.photos.device)
    return network(seen.float())[:, None]


def _check_start(start: Tensor, generator: Generator, space: str, count: int) -> Tensor:
    """Return the given code as [1 | N, rows, width]."""
    if not torch.isfinite(start).all():
        raise LatentError("The initial code holds NaN or infinity: give a code of finite numbers.")
    shape = list(start.shape)
    if space == "z":
        code = start[None] if start.ndim == 1 else start  # [1 | N, z_dim]
        code = code[:, 0] if code.ndim == 3 and code.shape[1] == 1 else code
        if code.ndim != 2 or code.shape[1] != generator.z_dim or len(code) not in (1, count):
            raise LatentError(
                f"The initial code has shape {shape}, but {count} photos with this generator need [{generator.z_dim}] "
                f"or [{count}, {generator.z_dim}] in Z."
            )
        return code[:, None]
    if start.ndim == 2 and len(start) != generator.num_ws and len(start) in (1, count):
        start = start[:, None]  # a w for each photo
    code = start[(None,) * (3 - start.ndim)] if start.ndim in (1, 2) else start  # [1 | N, rows, w_dim]
    if code.ndim != 3 or code.shape[2] != generator.w_dim or len(code) not in (1, count):
        raise LatentError(
            f"The initial code has shape {shape}, but {count} photos with this generator need [{generator.w_dim}], "
            f"[{generator.num_ws}, {generator.w_dim}] or [{count}, {generator.num_ws}, {generator.w_dim}]."
        )
    if space == "w":
        if not torch.equal(code, code[:, :1].expand_as(code)):
            raise LatentError(
                "The initial code's rows differ, but space is 'w' (one row for all layers): use space='w+'."
            )
        return code[:, :1]
    if code.shape[1] not in (1, generator.num_ws):
        raise LatentError(
            f"The initial code has {code.shape[1]} rows, but this generator has {generator.num_ws} layers."
        )
    return code
