"""Step 3: what is compared, and by which loss."""

import importlib.util

import torch
from torch import Tensor

from i2s.embedding.settings import EmbedSettings
from i2s.errors import SettingsError
from i2s.generators.base import Generator
from i2s.latents import latent_statistics
from i2s.losses import LPIPS, TAP_NAMES, Degraded, Masked, NoiseRegularization, Perceptual, PixelMSE, PNorm, Sum
from i2s.losses.combine import select
from i2s.losses.vgg16 import cached_file


class Objective:
    """The loss of images against N photos; what depends on the photos alone is computed once.

    loss: a `Sum` of terms. photos: [N, 3, R, R] in [-1, 1]. degradation: a function of images [N, 3, R, R]
    that destroys what shall not be compared (`i2s.embedding.degradations`), or None. mask: [N|1, 1, R, R] in 0..1, how
    much pixels count, or None. seen: the photos as they are compared. SettingsError.
    """

    def __init__(self, loss: Sum, photos: Tensor, degradation=None, mask: Tensor | None = None):
        self.loss, self.photos, self.degradation, self.mask = loss, photos, degradation, mask
        if mask is not None:
            for term in loss.image_parts:
                Masked(term, mask)  # says so where a term takes no mask
            if mask.shape[2:] != photos.shape[2:] or len(mask) not in (1, len(photos)):
                size = f"1, {photos.shape[2]}, {photos.shape[3]}"
                raise SettingsError(
                    f"The mask is {list(mask.shape)}, but the photos need [{len(photos)}, {size}] or [1, {size}]."
                )
        self.seen = self._degraded(photos).detach()
        self.prepared = loss.prepare(self.seen)  # the photos' features: once, not at every step

    def __len__(self) -> int:
        return len(self.photos)

    def __call__(self, images: Tensor, w_plus: Tensor, noise: list[Tensor]) -> dict[str, Tensor]:
        """{term: [N]}, weighted, differentiable, of images [N, 3, R, R], their codes and noise maps."""
        masked = {} if self.mask is None else {"mask": self.mask}
        terms = self.loss(self._degraded(images), self.prepared, **masked)
        return terms | self.loss.latent_terms(w_plus, noise)

    def keep(self, rows: Tensor) -> "Objective":
        """That of the photos `rows` alone; a row may be there several times."""
        mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[rows]
        loss, degradation = (select(part, rows) for part in (self.loss, self.degradation))
        return Objective(loss, self.photos[rows], degradation, mask)

    def _degraded(self, images: Tensor) -> Tensor:
        return images if self.degradation is None else self.degradation(images)


HALF_SCALE = 256.0  # the loss is multiplied by it, and the gradients divided, where convolutions are in float16


def loss_scale(generator: Generator) -> float:
    """What a loss is multiplied by before `backward`, so that its gradients survive the generator's precision.

    Half precision ends at 6e-8, and a mean over a picture gives smaller gradients: see load_generator.
    """
    half = getattr(getattr(generator, "synthesis", None), "dtype", None) is torch.float16
    return HALF_SCALE if half else 1.0


def code_loss(settings: EmbedSettings, generator: Generator, perceptual, notices: list[str]) -> Sum:
    """The loss that the settings describe.

    Where LPIPS is asked for but cannot be had, the four feature maps of the perceptual network take its
    place, and a line in `notices` says so.
    """
    terms = [PixelMSE(settings.mse_weight)] if settings.mse_weight else []
    terms += _feature_terms(settings, perceptual, settings.lpips_weight, notices)
    if settings.p_norm_weight:
        terms.append(PNorm(latent_statistics(generator), settings.p_norm_weight))
    if settings.noise is not None and settings.noise.when == "joint" and settings.noise.regularization:
        terms.append(NoiseRegularization(settings.noise.regularization))
    return Sum(*terms)


def noise_loss(settings: EmbedSettings) -> Sum:
    """Pixels alone (Image2StyleGAN++): what noise maps draw is fine texture, which needs no features."""
    weight = settings.noise.regularization
    return Sum(PixelMSE(), *([NoiseRegularization(weight)] if weight else []))


def tuning_loss(loss: Sum, settings: EmbedSettings) -> Sum:
    """The feature terms of the search, and pixels (Roich et al. 2021, equation 2).

    SettingsError for a loss of the user's own with a mask or a degradation in it: the pixels would know nothing of it.
    """
    if any(isinstance(term, Masked | Degraded) for term in loss.image_parts):
        raise SettingsError(
            "Tuning compares pixels too, but the loss has a mask or a degradation for terms of its own: "
            "give it to embed(mask=...) or embed(degradation=...), where it is for all of them."
        )
    features = [term for term in loss.image_parts if isinstance(term, (LPIPS, Perceptual))]
    return Sum(PixelMSE(settings.tuning.mse_weight), *features)


def lpips_weight(loss: Sum) -> float | None:
    """The weight of the loss's LPIPS term, if it has one."""
    return next((term.weight for term in loss.image_parts if isinstance(term, LPIPS)), None)


def _feature_terms(settings: EmbedSettings, perceptual, weight: float, notices: list[str]) -> list:
    taps, terms = settings.tap_weights, []
    if weight and (reason := _no_lpips()):
        notices.append(f"The perceptual network's four feature maps take the place of LPIPS, {reason}.")
        taps = taps if any(taps) else (weight,) * 4
    elif weight:
        terms.append(LPIPS("vgg", weight))
    own = tuple(getattr(perceptual, "tap_names", TAP_NAMES))
    if any(taps) and own != settings.taps != TAP_NAMES:
        notices.append(
            f"The {getattr(perceptual, 'name', 'given')} network has no feature maps {', '.join(settings.taps)}: "
            f"{', '.join(own)} take their place."
        )
    return terms + ([Perceptual(perceptual, taps)] if any(taps) else [])


def _no_lpips() -> str:
    """Why LPIPS cannot be had, or "": it downloads nothing unasked."""
    if importlib.util.find_spec("lpips") is None:
        return 'whose package is not installed (pip install "i2s[lpips]")'
    if not cached_file().is_file():
        return "whose VGG-16 is not in torch's cache (perceptual='vgg16' fetches it, 528 MB)"
    return ""
