"""What every generator offers: one small protocol, whatever its architecture.

    z [N, z_dim]  --mapping-->  w_plus [N, num_ws, w_dim]  --synthesis-->  image [N, 3, R, R] in about [-1, 1]
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from i2s.errors import LatentError, SettingsError

Noise = str | Sequence[Tensor]


class Generator(nn.Module):
    """Base of StyleGAN1, 2 and 3.

    Attributes: `kind` ("stylegan1", ...), `config` (frozen dataclass; `resolution`, `z_dim`, `w_dim`),
    `num_ws` (rows of a W+ code), `mapping`, `synthesis`, and the buffer `w_mean` [w_dim], the mean of W.
    """

    kind: str
    name: str = ""  # where it came from; set by load_generator
    latents: object | None = None  # LatentStatistics of its file, if it holds them; see i2s.latents
    config: object
    num_ws: int
    mapping: nn.Module
    synthesis: nn.Module

    # (truncation_psi, truncation_cutoff) that the official network applies when it is asked for nothing else.
    # `mapping` itself never truncates unasked: pass these on where the official pictures are wanted.
    official_truncation: tuple[float, int | None] = (1.0, None)

    @property
    def resolution(self) -> int:
        return self.config.resolution

    @property
    def z_dim(self) -> int:
        return self.config.z_dim

    @property
    def w_dim(self) -> int:
        return self.config.w_dim

    @property
    def w_mean(self) -> Tensor:
        """The mean latent, [w_dim]: the code of the average face, and where most embeddings start."""
        return self.mapping.w_mean

    @property
    def device(self) -> torch.device:
        return self.w_mean.device

    def describe(self) -> str:
        """One line for reports: name, architecture, size of image and code."""
        return f"{self.name or 'unnamed'} ({self.kind}, {self.resolution} px, W+ {self.num_ws} x {self.w_dim})"

    def forward(self, z: Tensor, truncation_psi: float = 1.0, noise: Noise = "const") -> Tensor:
        """Image [N, 3, R, R] of z [N, z_dim]: mapping, truncation, synthesis."""
        return self.synthesis(self.mapping(z, truncation_psi), noise)

    def sample_z(self, count: int, seed: int) -> Tensor:
        """`count` latent codes z ~ N(0, I), [count, z_dim]; the same seed gives the same codes on every machine."""
        rng = torch.Generator().manual_seed(seed)
        return torch.randn(count, self.z_dim, generator=rng).to(self.w_mean)

    def noise_maps(self) -> list[Tensor]:
        """The stored noise maps, each [H, W], in the order in which `synthesis(noise=[...])` takes them."""
        return self.synthesis.noise_maps()


def truncate(w_plus: Tensor, w_mean: Tensor, psi: float, cutoff: int | None) -> Tensor:
    """Truncation: pull the first `cutoff` rows (all when None) towards the mean, w_mean + psi (w - w_mean).

    SettingsError for a psi that is not finite or a negative cutoff; a cutoff beyond the last row means all rows.
    """
    if not math.isfinite(psi):
        raise SettingsError(f"truncation_psi is {psi}: it is a number, usually from 0 (the mean) to 1 (no truncation).")
    if cutoff is not None and cutoff < 0:
        raise SettingsError(f"truncation_cutoff is {cutoff}: it counts rows from the first one, or is None for all.")
    if psi == 1:
        return w_plus
    cutoff = w_plus.shape[1] if cutoff is None else cutoff
    near = torch.lerp(w_mean.to(w_plus.dtype), w_plus[:, :cutoff], psi)
    return torch.cat([near, w_plus[:, cutoff:]], dim=1)


def check_z(z: Tensor, z_dim: int) -> None:
    """LatentError unless z is a tensor of floats, [N, z_dim]."""
    _check_floats(z, "z")
    if z.ndim != 2 or z.shape[1] != z_dim:
        raise LatentError(f"z has shape {list(z.shape)}, but this generator takes [N, {z_dim}]: use sample_z().")


def check_w_plus(w_plus: Tensor, num_ws: int, w_dim: int) -> None:
    """LatentError unless w_plus is a tensor of floats, [N, num_ws, w_dim]."""
    _check_floats(w_plus, "The latent code")
    if w_plus.ndim != 3 or w_plus.shape[1:] != (num_ws, w_dim):
        raise LatentError(
            f"The latent code has shape {list(w_plus.shape)}, but this generator takes [N, {num_ws}, {w_dim}]: "
            "use a code made with this generator (a single w is repeated with w[:, None].repeat(1, num_ws, 1))."
        )


def _check_floats(code: Tensor, name: str) -> None:
    if not isinstance(code, Tensor) or not code.is_floating_point():
        kind = code.dtype if isinstance(code, Tensor) else type(code).__name__
        raise LatentError(f"{name} is of type {kind}: give a torch tensor of floating-point numbers.")


def choose_noise(noise: Noise, stored: list[Tensor]) -> list[Tensor | None]:
    """One map (or None) per noise input: the stored ones, none, or those given ([H, W], [1|N, 1, H, W])."""
    if isinstance(noise, str):
        if noise == "const":
            return stored
        if noise == "none":
            return [None] * len(stored)
        raise SettingsError(f"noise is {noise!r}: give 'const' (stored maps), 'none', or a list of tensors.")
    if len(noise) != len(stored):
        raise LatentError(f"{len(noise)} noise maps were given, but there are {len(stored)}: see noise_maps().")
    for given, own in zip(noise, stored):
        if given.shape[-2:] != own.shape[-2:] or given.ndim not in (2, 4):
            raise LatentError(
                f"A noise map has shape {list(given.shape)}, but {list(own.shape)} (or [N, 1, H, W]) is needed."
            )
    return list(noise)


def shown(value: object) -> str:
    """A setting for a message. It may come from a hostile file, so nothing but a short plain value is printed."""
    plain = isinstance(value, (bool, int, float, str, type(None)))
    return ascii(value)[:40] if plain else f"of type {type(value).__name__}"


def check_size(name: str, value: object, low: int = 1, high: int = 65536) -> None:
    """SettingsError unless a network's setting is a whole number within bounds, so that no file asks for petabytes."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{name} is {shown(value)}: it must be a whole number from {low} to {high}.")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """SettingsError unless a network's setting is a finite number within bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise SettingsError(f"{name} is {shown(value)}: it must be a number from {low} to {high}.")


def check_resolution(resolution: object, lowest: int = 4) -> int:
    """Number of doublings from 4 px to `resolution`, plus 1; SettingsError unless that is a power of two to 4096."""
    check_size("resolution", resolution, lowest, 4096)
    if resolution & (resolution - 1):
        raise SettingsError(f"resolution is {resolution}: it must be a power of two from {lowest} to 4096.")
    return resolution.bit_length() - 2


def check_channels(channels: object, blocks: int) -> tuple[int, ...]:
    """The channel counts as a tuple; SettingsError unless there is one for each of `blocks` resolutions."""
    if not isinstance(channels, (tuple, list)) or len(channels) != blocks:
        count = len(channels) if isinstance(channels, (tuple, list)) else shown(channels)
        raise SettingsError(f"The channel counts are {count}, but this resolution needs {blocks} of them.")
    for count in channels:
        check_size("a channel count", count)
    return tuple(channels)
