"""Step 1: the code that a search starts from.

A code is [N, num_ws, w_dim] in W+, [N, 1, w_dim] in W (one row, which every layer reads; optimising 18 rows
that only start equal would be W+), and [N, 1, z_dim] in Z.
"""

from dataclasses import replace

import torch
from torch import Tensor

from i2s.embedding.objective import Objective
from i2s.embedding.settings import EmbedSettings
from i2s.errors import LatentError, SettingsError
from i2s.generators.base import Generator

CHUNK = 16  # images drawn at once


def to_w_plus(code: Tensor, generator: Generator, space: str) -> Tensor:
    """What the synthesis network reads, [N, num_ws, w_dim], of a code; gradients flow through."""
    if space == "z":
        return generator.mapping(code[:, 0])
    return code.expand(-1, generator.num_ws, -1)


def initial_code(
    generator: Generator,
    settings: EmbedSettings,
    count: int,
    start: Tensor | None = None,
    objective: Objective | None = None,
) -> Tensor:
    """The code that the search for each of `count` photos starts from, by `EmbedSettings.init`.

    start: given in place of it: [w_dim], [num_ws, w_dim] or [N, num_ws, w_dim]; in Z [z_dim] or [N, z_dim].
    objective: what "nearest" and "encoder" look at. What is random is drawn once for all photos: a photo's
    start does not depend on how many others come with it. LatentError, SettingsError.
    """
    rows = generator.num_ws if settings.space == "w+" else 1
    width = generator.z_dim if settings.space == "z" else generator.w_dim
    if settings.init == "auto":
        found = settings.space != "z" and has_encoder(generator)
        settings = replace(settings, init="encoder" if found else "mean")
    if start is not None:
        code = _check_start(start, generator, settings.space, count)
    elif settings.init == "mean":
        code = _mean_z(generator, settings) if settings.space == "z" else generator.w_mean
    elif settings.init == "uniform":
        code = torch.rand(1, rows, width, generator=torch.Generator().manual_seed(settings.seed)) * 2 - 1
    elif settings.init == "zeros":
        code = torch.zeros(width)
    elif objective is None:
        raise SettingsError(f"init is {settings.init!r}, which looks at the photos: leave it to embed().")
    elif settings.init == "nearest":
        code = _nearest(generator, settings, objective)
    else:
        code = _encoded(generator, settings, objective)
    return code.to(generator.w_mean).expand(count, rows, width).clone()


def _mean_z(generator: Generator, settings: EmbedSettings) -> Tensor:
    """The random z whose w is nearest to the mean; z = 0 is no code, as z counts by its direction alone."""
    z = generator.sample_z(settings.candidates, settings.seed)
    with torch.no_grad():
        distance = (generator.mapping(z)[:, 0] - generator.w_mean).square().sum(dim=1)
    return z[distance.argmin()]


@torch.no_grad()
def _nearest(generator: Generator, settings: EmbedSettings, objective: Objective) -> Tensor:
    """For each photo the random code whose image has the least loss: [N, 1, z_dim | w_dim]."""
    z = generator.sample_z(settings.candidates, settings.seed)
    losses = []
    for some in z.split(CHUNK):
        w_plus = generator.mapping(some)
        images = generator.synthesis(w_plus)
        photos = torch.arange(len(objective), device=z.device)[:, None].expand(-1, len(some))
        terms = [objective.keep(k)(images, w_plus, []) for k in photos]  # each photo against all of these images
        losses.append(torch.stack([sum(values.values()) for values in terms]))
    best = torch.cat(losses, dim=1).argmin(dim=1)  # [N, candidates] -> [N]
    return (z if settings.space == "z" else generator.mapping(z)[:, 0])[best][:, None]


@torch.no_grad()
def _encoded(generator: Generator, settings: EmbedSettings, objective: Objective) -> Tensor:
    """The code that the encoder names for each photo, as the loss sees it: [N, 1, w_dim]."""
    from i2s.encoder import load_encoder
    from i2s.images import resize

    if settings.space == "z":
        raise SettingsError("The encoder names a code of W, not of Z: use space='w' or 'w+', or another init.")
    encoder = load_encoder(device=generator.device)
    if not _belongs(encoder, generator):
        raise SettingsError(
            f"The encoder belongs to the generator {encoder.generator!r} and knows nothing of "
            f"{generator.name or 'unnamed'!r}: use another init, such as 'mean'."
        )
    seen = objective.seen
    if seen.shape[-2:] != (encoder.resolution, encoder.resolution):
        seen = resize(seen, encoder.resolution).to(generator.device)
    return encoder(seen.float())[:, None]


def has_encoder(generator: Generator) -> bool:
    """Whether the shipped encoder was trained with this generator."""
    from i2s.encoder import load_encoder

    return _belongs(load_encoder(), generator)


def _belongs(encoder, generator: Generator) -> bool:
    return encoder.generator == generator.name and encoder.w_dim == generator.w_dim


def _check_start(start: Tensor, generator: Generator, space: str, count: int) -> Tensor:
    """The given code as [1 | N, rows, width]."""
    if not torch.isfinite(start).all():
        raise LatentError("The initial code holds NaN or infinity: give a code of finite numbers.")
    shape = list(start.shape)
    if space == "z":
        code = start[None] if start.ndim == 1 else start  # [1 | N, z_dim]
        if code.ndim != 2 or code.shape[1] != generator.z_dim or len(code) not in (1, count):
            raise LatentError(
                f"The initial code has shape {shape}, but {count} photos with this generator need [{generator.z_dim}] "
                f"or [{count}, {generator.z_dim}] in Z."
            )
        return code[:, None]
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
    if code.shape[1] != generator.num_ws and start.ndim > 1:
        raise LatentError(
            f"The initial code has {code.shape[1]} rows, but this generator has {generator.num_ws} layers."
        )
    return code
