"""The interface of every generator, whatever its architecture.

z [N, z_dim]  --mapping-->  w_plus [N, num_ws, w_dim]  --synthesis-->  image [N, 3, R, R] in about [-1, 1]
"""

import math
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2s.errors import LatentError, SettingsError
from i2s.latents import LatentStatistics

Noise = str | Sequence[Tensor]


class Generator(nn.Module):
    """Base of StyleGAN1, 2 and 3."""

    kind: str  # "stylegan1", "stylegan2", "stylegan3"
    name: str = ""  # where it came from; set by load_generator
    config: Any  # frozen dataclass with `resolution`, `z_dim`, `w_dim`
    num_ws: int  # rows of a W+ code
    mapping: nn.Module  # z [N, z_dim] -> w_plus [N, num_ws, w_dim]; holds `w_mean`
    synthesis: nn.Module  # w_plus -> image [N, 3, R, R]
    latents: LatentStatistics | None = None  # statistics of W in its file, if there are any

    # (truncation_psi, truncation_cutoff) of the official network's default. `mapping` itself truncates nothing by
    # default: pass these on for the official images.
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
        """The mean latent, [w_dim]: the code of the average face, from which most embeddings start."""
        return self.mapping.w_mean

    @property
    def device(self) -> torch.device:
        return self.w_mean.device

    def describe(self) -> str:
        """One line for reports: name, architecture, size of image and code."""
        return f"{self.name or 'unnamed'} ({self.kind}, {self.resolution} px, W+ {self.num_ws} x {self.w_dim})"

    def forward(self, z: Tensor, truncation_psi: float = 1.0, noise: Noise = "const") -> Tensor:
        """Generate images [N, 3, R, R] from z [N, z_dim]: mapping, truncation, synthesis."""
        return self.synthesis(self.mapping(z, truncation_psi), noise)

    def sample_z(self, count: int, seed: int) -> Tensor:
        """Draw codes z ~ N(0, I), [count, z_dim]; the same seed gives the same codes on every machine."""
        count, seed = operator.index(count), operator.index(seed)  # numbers of NumPy
        rng = torch.Generator().manual_seed(seed)
        return torch.randn(count, self.z_dim, generator=rng, dtype=torch.float32, device="cpu").to(self.w_mean)

    def noise_maps(self) -> list[Tensor]:
        """Stored noise maps, each [H, W], in the order in which `synthesis(noise=[...])` takes them."""
        return self.synthesis.noise_maps()


def truncate(w_plus: Tensor, w_mean: Tensor, psi: float, cutoff: int | None) -> Tensor:
    """Truncate a code: w_mean + psi (w - w_mean) (Karras et al. 2019, appendix B).

    Args:
        w_plus: [N, num_ws, w_dim].
        w_mean: [w_dim].
        psi: 1 changes nothing, 0 gives the mean.
        cutoff: Number of rows that are truncated, from the first on; None, or more than there are: all.

    Returns:
        [N, num_ws, w_dim].

    Raises:
        SettingsError: psi is not finite, or cutoff is negative.
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
    """Choose one noise map (or None) per noise input.

    Args:
        noise: "const" (the stored maps), "none", or maps [H, W] or [1|N, 1, H, W], as `noise_maps()` orders them.
        stored: The generator's own maps, each [H, W].

    Raises:
        SettingsError: `noise` is another word.
        LatentError: Maps of another number or shape.
    """
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
    """Format a setting for a message: it may come from a hostile file, so only a short plain value is printed."""
    plain = isinstance(value, (bool, int, float, str, type(None)))
    return ascii(value)[:40] if plain else f"of type {type(value).__name__}"


def check_size(name: str, value: object, low: int = 1, high: int = 65536) -> None:
    """SettingsError unless the value is a whole number within bounds, so that no file can ask for petabytes."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{name} is {shown(value)}: it must be a whole number from {low} to {high}.")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """SettingsError unless the value is a finite number within bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise SettingsError(f"{name} is {shown(value)}: it must be a number from {low} to {high}.")


def check_resolution(resolution: object, lowest: int = 4) -> int:
    """Return the number of blocks from 4 px to `resolution`; SettingsError unless it is a power of two up to 4096."""
    check_size("resolution", resolution, lowest, 4096)
    if resolution & (resolution - 1):
        raise SettingsError(f"resolution is {resolution}: it must be a power of two from {lowest} to 4096.")
    return resolution.bit_length() - 2


def check_channels(channels: object, blocks: int) -> tuple[int, ...]:
    """Return the channel counts as a tuple; SettingsError unless there is one for each of `blocks` resolutions."""
    if not isinstance(channels, (tuple, list)) or len(channels) != blocks:
        count = len(channels) if isinstance(channels, (tuple, list)) else shown(channels)
        raise SettingsError(f"The channel counts are {count}, but this resolution needs {blocks} of them.")
    for count in channels:
        check_size("a channel count", count)
    return tuple(channels)
