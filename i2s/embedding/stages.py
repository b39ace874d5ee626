"""The stages of an embedding: the code, then perhaps the noise maps, then perhaps the generator's weights.

A stage says what is optimised (`groups`), how an image is made of it (`synthesize`), and by which loss; `loop.optimize`
does the rest.
"""

import copy
import importlib.util
import zlib
from typing import NamedTuple

import torch
from torch import Tensor

from i2s.device import in_float64
from i2s.embedding.cuda_graphs import GraphedSynthesis, graphed_synthesis, way_of
from i2s.embedding.init import to_w_plus
from i2s.embedding.optim import OPTIMIZERS, Adam, Groups, Optimizer, as_dict, w_noise_factor
from i2s.embedding.preconditioner import gauss_newton_preconditioner
from i2s.embedding.settings import EmbedSettings
from i2s.errors import SettingsError
from i2s.generators.base import Generator
from i2s.latents import latent_statistics
from i2s.losses import (
    LPIPS,
    TAP_NAMES,
    Degraded,
    Masked,
    NoiseRegularization,
    Perceptual,
    PixelMSE,
    PNorm,
    Term,
    WeightedSum,
)
from i2s.losses.base import FeatureNet
from i2s.losses.vgg16 import cached_file


class Synthesis(NamedTuple):
    """What a stage generates for n photos."""

    w_plus: Tensor  # [n, num_ws, w_dim]
    noise: list[Tensor]  # maps that are optimised or were, each [n, 1, H, W]; [] for the stored ones
    images: Tensor  # [n, 3, R, R]


class Stage:
    """Base of all.

    Attributes:
        rows: Numbers, among all photos, of those that are optimised, [n].
        steps: Updates; None for as many as the clock allows.
        schedule: Name of the learning rate's schedule.
        has_noise: True if noise maps are among the variables.
        synthesis: What generates the images, if CUDA graphs are tried.
    """

    name: str
    generator: Generator
    settings: EmbedSettings
    rows: Tensor
    steps: int | None
    schedule: str = "constant"
    has_noise: bool = False
    synthesis: GraphedSynthesis | None = None

    @property
    def way(self) -> str:
        """In words, how the newest images were generated; see `GraphedSynthesis`."""
        return way_of(self.generator) if self.synthesis is None else self.synthesis.way

    def groups(self) -> Groups:
        """Return the variables, tensors [n, ...], and their learning rates."""
        raise NotImplementedError

    def synthesize(self, step: int, progress: float) -> Synthesis:
        """Generate the images of the variables, differentiable in them."""
        raise NotImplementedError

    def optimizer(self, loss: WeightedSum) -> Optimizer:
        """Return what moves the variables: Adam, unless the stage has a choice."""
        return Adam(self.groups(), self.settings.betas, self.settings.epsilon)

    def updated(self) -> None:
        """Called after each update."""

    def reached(self, terms: dict[str, Tensor]) -> Tensor:
        """Return which photos are as good as they need to be, [n] of bool."""
        return torch.zeros(len(self.rows), dtype=torch.bool, device=self.rows.device)

    def select(self, index: Tensor) -> "Stage":
        """Return the stage for the photos `index` of the batch, with variables of its own."""
        some = copy.copy(self)
        some.rows = self.rows[index]
        return some

    def variables(self) -> list[Tensor]:
        return [x for group in self.groups() for x in group["params"]]

    def state_dict(self) -> dict:
        """Return the rows and the variables."""
        return {"rows": self.rows, "variables": as_dict(self.variables())}

    def load_state_dict(self, state: dict) -> None:
        """Take over the variables of a stage of the same rows."""
        for k, x in enumerate(self.variables()):
            x.data.copy_(state["variables"][str(k)])


class CodeStage(Stage):
    """Optimises the code in Z, W or W+.

    Args:
        generator: The generator.
        settings: The settings.
        code: The initial code, see `init.py`.
        noise: Maps [N, 1, H, W] that are optimised with it, or [] for the stored ones.
    """

    name = "code"

    def __init__(self, generator: Generator, settings: EmbedSettings, code: Tensor, noise: list[Tensor]):
        self.generator = generator
        self.settings = settings
        self.synthesis = graphed_synthesis(generator)
        self.code, *self.noise = trainable_copies([code, *noise])
        self.steps = settings.steps
        self.schedule = settings.schedule
        self.rows = torch.arange(len(code), device=code.device)
        self.has_noise = bool(noise)
        self.w_std = std_of_w(generator, settings.seed) if settings.w_noise else 0.0

    def groups(self) -> Groups:
        groups = [{"params": [self.code], "lr": self.settings.learning_rate}]
        return groups + ([{"params": self.noise, "lr": self.settings.noise.learning_rate}] if self.noise else [])

    def synthesize(self, step: int, progress: float) -> Synthesis:
        code = self.code
        if self.settings.w_noise and (factor := w_noise_factor(progress)):
            # seeded by the step, so that a resumed run draws what it would have drawn
            rng = torch.Generator().manual_seed(zlib.crc32(f"{self.settings.seed} {step}".encode()))
            noise = torch.randn(1, *code.shape[1:], generator=rng, dtype=torch.float32, device="cpu").to(code)
            code = code + noise * (self.settings.w_noise * self.w_std * factor)
        w_plus = to_w_plus(code, self.generator, self.settings.space)  # [n, num_ws, w_dim]
        return Synthesis(w_plus, self.noise, self.synthesis(w_plus, self.noise))

    def optimizer(self, loss: WeightedSum) -> Optimizer:
        def curvature() -> tuple[Tensor | None, float]:
            return self._preconditioner(loss), self._trust_radius()

        make = OPTIMIZERS[self.settings.optimizer]
        return make(self.groups(), self.settings.betas, self.settings.epsilon, curvature)

    def _preconditioner(self, loss: WeightedSum) -> Tensor | None:
        """Return the preconditioner of the space's rows."""
        if self.settings.space == "z":
            return None
        inverse = gauss_newton_preconditioner(self.generator, loss)
        if inverse is not None and self.settings.space == "w":
            # one row that all layers read: their Hessians add up
            inverse = torch.linalg.inv(torch.linalg.inv(in_float64(inverse)).sum(0, keepdim=True)).to(inverse)
        return inverse

    def _trust_radius(self) -> float:
        if self.settings.space == "z":
            return self.code.shape[2] ** 0.5 / 2  # random z are about sqrt(z_dim) from 0
        return std_of_w(self.generator, self.settings.seed, 1000) / 2

    def updated(self) -> None:
        if self.noise:
            normalize(self.noise)

    def select(self, index: Tensor) -> "CodeStage":
        some = super().select(index)
        some.code, *some.noise = trainable_copies([self.code, *self.noise], index)
        return some


class NoiseStage(Stage):
    """Optimises the noise maps [N, 1, H, W] for codes that are found (Image2StyleGAN++)."""

    name = "noise"
    has_noise = True

    def __init__(self, generator: Generator, settings: EmbedSettings, w_plus: Tensor, noise: list[Tensor]):
        self.generator = generator
        self.settings = settings
        self.synthesis = graphed_synthesis(generator)
        self.w_plus = w_plus
        self.noise = trainable_copies(noise)
        self.steps = settings.steps and settings.noise.steps
        self.rows = torch.arange(len(w_plus), device=w_plus.device)

    def groups(self) -> Groups:
        return [{"params": self.noise, "lr": self.settings.noise.learning_rate}]

    def synthesize(self, step: int, progress: float) -> Synthesis:
        return Synthesis(self.w_plus, self.noise, self.synthesis(self.w_plus, self.noise))

    def select(self, index: Tensor) -> "NoiseStage":
        some = super().select(index)
        some.w_plus = self.w_plus[index]
        some.noise = trainable_copies(self.noise, index)
        return some


class TuningStage(Stage):
    """Pivotal tuning (Roich et al. 2021): a copy of the generator learns to draw one photo of its code.

    Args:
        generator: The generator, which is left alone.
        settings: The settings.
        k: Number of the photo.
        w_plus: Its code [1, num_ws, w_dim].
        noise: Its maps [1, 1, H, W], or [] for the stored ones.
        lpips_weight: Weight of LPIPS in the loss; None if it has no such term.
    """

    name = "tuning"

    def __init__(
        self,
        generator: Generator,
        settings: EmbedSettings,
        k: int,
        w_plus: Tensor,
        noise: list[Tensor],
        lpips_weight: float | None,
    ):
        self.settings = settings
        self.w_plus = w_plus
        self.noise = noise
        self.lpips_weight = lpips_weight
        self.steps = settings.steps and settings.tuning.steps
        self.rows = torch.arange(k, k + 1, device=w_plus.device)
        self.generator = copy.deepcopy(generator)
        self.generator.synthesis.requires_grad_(True)

    def groups(self) -> Groups:
        return [{"params": list(self.generator.synthesis.parameters()), "lr": self.settings.tuning.learning_rate}]

    def synthesize(self, step: int, progress: float) -> Synthesis:
        images = self.generator.synthesis(self.w_plus, self.noise or "const")
        return Synthesis(self.w_plus, self.noise, images)

    def reached(self, terms: dict[str, Tensor]) -> Tensor:
        if self.lpips_weight is None:
            return super().reached(terms)
        return terms["lpips"].detach() <= self.settings.tuning.lpips_stop * self.lpips_weight

    def weights(self) -> dict[str, Tensor]:
        """Return the tuned weights, by their names in the synthesis network."""
        return {name: weight.detach().clone() for name, weight in self.generator.synthesis.named_parameters()}


def trainable_copies(tensors: list[Tensor], index: Tensor | slice = slice(None)) -> list[Tensor]:
    """Copy tensors [n, ...], or some of their rows, to leaves that require gradients."""
    return [tensor.detach()[index].clone().requires_grad_(True) for tensor in tensors]


def std_of_w(generator: Generator, seed: int, count: int = 10_000) -> float:
    """Return the root mean square distance of random w from the mean, the unit of `w_noise` (StyleGAN2)."""
    with torch.no_grad():
        parts = generator.sample_z(count, seed).split(1000)
        squares = [(generator.mapping(z)[:, 0] - generator.w_mean).square().sum(dim=1) for z in parts]
    return float(torch.cat(squares).mean().sqrt())


# ---- noise maps ------------------------------------------------------------------------------------------------------


def shows_noise(generator: Generator) -> bool:
    """True if noise maps change the image at all: there are some, and not every strength is 0."""
    strengths = [p for name, p in generator.named_parameters() if name.endswith("noise_strength")]
    return bool(generator.noise_maps()) and any(strength.any() for strength in strengths)


def stored_maps(generator: Generator, count: int) -> list[Tensor]:
    """Copy the generator's own maps for each photo, [count, 1, H, W]."""
    return [noise.expand(count, 1, *noise.shape[-2:]).clone() for noise in generator.noise_maps()]


def fresh_maps(generator: Generator, count: int, seed: int) -> list[Tensor]:
    """Draw maps [count, 1, H, W] of N(0, 1), the same for every photo, so that none depends on its neighbours."""
    rng = torch.Generator().manual_seed(seed)
    shapes = [noise.shape[-2:] for noise in generator.noise_maps()]
    drawn = (torch.randn(1, 1, *shape, generator=rng, dtype=torch.float32, device="cpu") for shape in shapes)
    maps = [noise.to(generator.w_mean) for noise in drawn]
    return [noise.expand(count, -1, -1, -1).clone() for noise in maps]


@torch.no_grad()
def normalize(maps: list[Tensor]) -> None:
    """Bring each map back to mean 0 and deviation 1, in place (StyleGAN2's projector, after each update)."""
    for noise in maps:
        noise -= noise.mean(dim=(1, 2, 3), keepdim=True)
        noise *= noise.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()


# ---- the losses of the stages ----------------------------------------------------------------------------------------


def needs_perceptual(settings: EmbedSettings) -> bool:
    """True if the loss of these settings compares the feature maps of a perceptual network."""
    return any(settings.tap_weights) or bool(settings.lpips_weight and _no_lpips())


def code_loss(
    settings: EmbedSettings, generator: Generator, perceptual: FeatureNet | None, notices: list[str]
) -> WeightedSum:
    """Return the loss that the settings describe.

    Args:
        settings: Their weights.
        generator: For the statistics of its W.
        perceptual: The network of the feature maps; see `needs_perceptual`.
        notices: Takes a line if LPIPS is asked for but cannot be had, and feature maps take its place, or if the
            network lacks feature maps that were asked for.
    """
    terms = [PixelMSE(settings.mse_weight)] if settings.mse_weight else []
    terms += _feature_terms(settings, perceptual, notices)
    if settings.p_norm_weight:
        terms.append(PNorm(latent_statistics(generator), settings.p_norm_weight))
    if settings.noise is not None and settings.noise.when == "joint" and settings.noise.regularization:
        terms.append(NoiseRegularization(settings.noise.regularization))
    return WeightedSum(*terms)


def noise_loss(settings: EmbedSettings) -> WeightedSum:
    """Return the loss of the noise maps: pixels alone, as fine texture needs no features (Image2StyleGAN++)."""
    weight = settings.noise.regularization
    return WeightedSum(PixelMSE(), *([NoiseRegularization(weight)] if weight else []))


def tuning_loss(loss: WeightedSum, settings: EmbedSettings) -> WeightedSum:
    """Return the loss of tuning (Roich et al. 2021, equation 2): pixels, and the other image terms of the code's loss.

    `mse_weight` of the tuning takes the place of the weight of `PixelMSE`. Terms of code and noise are left out, as
    both are held.

    Raises:
        SettingsError: The loss has a mask or a degradation of its own, which the pixels would not know.
    """
    if any(isinstance(term, Masked | Degraded) for term in loss.image_parts):
        raise SettingsError(
            "Tuning compares pixels too, but the loss has a mask or a degradation for terms of its own: "
            "give it to embed(mask=...) or embed(degradation=...), where it is for all of them."
        )
    others = [term for term in loss.image_parts if not isinstance(term, PixelMSE)]
    return WeightedSum(PixelMSE(settings.tuning.mse_weight), *others)


def lpips_weight(loss: WeightedSum) -> float | None:
    """Return the weight of the loss's LPIPS term, if it has one."""
    return next((term.weight for term in loss.image_parts if isinstance(term, LPIPS)), None)


def describe_networks(loss: WeightedSum) -> str:
    """Return one line about the networks whose features the loss compares; "" for none."""
    return "; ".join(filter(None, map(_describe_network, loss.image_parts)))


def _describe_network(term: Term) -> str:
    while isinstance(term, Masked | Degraded):
        term = term.term
    if isinstance(term, WeightedSum):
        return describe_networks(term)
    if isinstance(term, LPIPS):
        return "LPIPS"
    if not isinstance(term, Perceptual):
        return ""
    return term.net.describe() if hasattr(term.net, "describe") else type(term.net).__name__


def _feature_terms(settings: EmbedSettings, perceptual: FeatureNet | None, notices: list[str]) -> list[Term]:
    taps = settings.tap_weights
    weight = settings.lpips_weight
    terms: list[Term] = []
    if weight and (reason := _no_lpips()):
        notices.append(f"The perceptual network's four feature maps take the place of LPIPS, {reason}.")
        taps = taps if any(taps) else (weight,) * 4
    elif weight:
        terms.append(LPIPS("vgg", weight))
    if not any(taps):
        return terms
    own = tuple(getattr(perceptual, "tap_names", TAP_NAMES))
    if own != settings.taps != TAP_NAMES:
        notices.append(
            f"The {getattr(perceptual, 'name', 'given')} network has no feature maps {', '.join(settings.taps)}: "
            f"{', '.join(own)} take their place."
        )
    return [*terms, Perceptual(perceptual, taps)]


def _no_lpips() -> str:
    """Return why LPIPS cannot be had, or ""; it downloads nothing unasked."""
    if importlib.util.find_spec("lpips") is None:
        return 'whose package is not installed (pip install "i2s[lpips]")'
    if not cached_file().is_file():
        return "whose VGG-16 is not in torch's cache (perceptual='vgg16' fetches it, 528 MB)"
    return ""
