"""LPIPS (Zhang et al. 2018): feature maps whose channels are weighted by human similarity judgements.

By the package `lpips`, which brings the learned weights; its backbone is torchvision's, fetched on first use.
"""

import pickle
import warnings

import torch
from torch import Tensor

from i2s.errors import DownloadError, SettingsError, WeightFileError
from i2s.images import downsample
from i2s.losses.base import check_weight, full_precision, masked_mean

NETS = ("vgg", "alex", "squeeze")
SMALLEST = 32  # px; below, nothing is left at the end of AlexNet


class LPIPS:
    """LPIPS distance, reported as "lpips": what `lpips.LPIPS` returns, with the photos' features computed once.

    Args:
        net: "vgg" (that of II2S and of the StyleGAN2 projector; 528 MB are fetched on first use), "alex" (233 MB; the
            one that most papers report), "squeeze" (5 MB), or a loaded `lpips.LPIPS`.
        weight: Its lambda.
        size: Larger images are reduced to this many px on the shorter side first (bicubic, antialiased), smaller ones
            are never enlarged; None never resizes. II2S takes 256.

    Raises:
        SettingsError: The package is missing, or the images have less than 32 px.
        DownloadError: The network cannot be fetched.
        WeightFileError: The network's file is broken.
    """

    def __init__(self, net: str | torch.nn.Module = "vgg", weight: float = 1.0, size: int | None = 256):
        self.weight = check_weight("lpips weight", weight)
        if size is not None and size < SMALLEST:
            raise SettingsError(f"size is {size} px, but LPIPS needs at least {SMALLEST}.")
        self.size = size
        self.model = load_lpips(net) if isinstance(net, str) else net

    def prepare(self, target: Tensor) -> list[Tensor]:
        if min(target.shape[2:]) < SMALLEST:
            raise SettingsError(f"LPIPS needs {SMALLEST} px, but the photos have {list(target.shape[2:])}.")
        self.model.to(target.device, torch.float64 if target.dtype == torch.float64 else None)
        return [features.detach() for features in self._features(target.detach())]

    def __call__(self, images: Tensor, prepared: list[Tensor], mask: Tensor | None = None) -> dict[str, Tensor]:
        total = 0
        for ours, theirs, weigh in zip(self._features(images), prepared, self.model.lins):
            squares = (ours - theirs).square().to(next(weigh.parameters()))  # [N, C, h, w]
            total = total + masked_mean(weigh(squares), mask)  # [N, 1, h, w] -> [N]
        return {"lpips": self.weight * total}

    def _features(self, images: Tensor) -> list[Tensor]:
        """The network's feature maps, normalised to unit length along the channels."""
        maps = self.model.net(self.model.scaling_layer(downsample(images, self.size)))
        return [_unit(full_precision(x)) for x in maps]


def _unit(x: Tensor) -> Tensor:
    # vector_norm has slope 0 at 0; the root of a sum of squares has an infinite one, and NaN is what becomes of it
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10)


def load_lpips(net: str = "vgg") -> torch.nn.Module:
    """Load the package's network by name, frozen, in float32 on the CPU; it raises what `LPIPS` does."""
    if net not in NETS:
        raise SettingsError(f"The network of LPIPS is {net!r}: it is one of {', '.join(map(repr, NETS))}.")
    try:
        import lpips
    except ImportError as error:
        raise SettingsError('LPIPS needs the package lpips: install it with pip install "i2s[lpips]".') from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package calls torchvision by names that are deprecated
            model = lpips.LPIPS(net=net, verbose=False)
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"The network of LPIPS could not be fetched ({reason}): connect once, or use Perceptual with the slim "
            "network, which ships with i2s."
        ) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightFileError(
            f"The network of LPIPS in {torch.hub.get_dir()}/checkpoints is broken: remove it to have it fetched again."
        ) from error
    return model.eval().requires_grad_(False)
