"""Step 3, compare the images with the photos."""

from collections.abc import Callable

from torch import Tensor

from i2s.errors import SettingsError
from i2s.losses import Masked, WeightedSum
from i2s.losses.base import select


class Objective:
    """The loss of images against N photos; what depends on the photos alone is computed once.

    Args:
        loss: The terms.
        photos: [N, 3, R, R] in [-1, 1].
        degradation: A function of images [N, 3, R, R] that destroys what shall not be compared
            (`i2s.embedding.degradations`), or None.
        mask: [N|1, 1, R, R] in 0..1, how much each pixel counts, or None.

    Attributes:
        seen: The photos as they are compared, after the degradation.

    Raises:
        SettingsError: The mask is of another size, or a term takes none.
    """

    def __init__(
        self,
        loss: WeightedSum,
        photos: Tensor,
        degradation: Callable[[Tensor], Tensor] | None = None,
        mask: Tensor | None = None,
    ):
        self.loss = loss
        self.photos = photos
        self.degradation = degradation
        self.mask = mask
        if mask is not None:
            for term in loss.image_parts:
                Masked(term, mask)  # raises if the term takes no mask
            if mask.shape[2:] != photos.shape[2:] or len(mask) not in (1, len(photos)):
                size = f"1, {photos.shape[2]}, {photos.shape[3]}"
                raise SettingsError(
                    f"The mask is {list(mask.shape)}, but the photos need [{len(photos)}, {size}] or [1, {size}]."
                )
        self.seen = self._degraded(photos).detach()
        self.prepared = loss.prepare(self.seen)  # the photos' features: once, not at every step

    def __len__(self) -> int:
        return len(self.photos)

    def __call__(self, w_plus: Tensor, noise: list[Tensor], images: Tensor) -> dict[str, Tensor]:
        """Return {term: [N]}, weighted and differentiable.

        Args:
            w_plus: Codes [N, num_ws, w_dim].
            noise: Noise maps that are optimised, each [N, 1, H, W]; [] for none.
            images: Their images [N, 3, R, R].
        """
        masked = {} if self.mask is None else {"mask": self.mask}
        terms = self.loss(self._degraded(images), self.prepared, **masked)
        return terms | self.loss.latent_terms(w_plus, noise)

    def select(self, index: Tensor) -> "Objective":
        """Return the objective of the photos `index` alone; a photo may be there several times."""
        mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[index]
        return Objective(select(self.loss, index), self.photos[index], select(self.degradation, index), mask)

    def with_loss(self, loss: WeightedSum) -> "Objective":
        """Return the same photos compared by another loss."""
        return Objective(loss, self.photos, self.degradation, self.mask)

    def _degraded(self, images: Tensor) -> Tensor:
        return images if self.degradation is None else self.degradation(images)
