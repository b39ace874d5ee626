"""Original resolution in, same out: the embedding in its place in the photo."""

import torch.nn.functional as F
from torch import Tensor

from i2s.embedding.embed import load_mask
from i2s.errors import ImageError
from i2s.images import resize, to_tensor


def full_size(image: Tensor, photo, task: str = "", mask=None) -> Tensor:
    """The photo at its own size, its central square replaced by the embedding: [1, 3, H, W] in [-1, 1].

    image: [3, R, R] or [1, 3, R, R]. photo: as for `read_image`. task: of "colorization" only the colours are
    taken, the light being the photo's; of "inpainting" only what the mask hides: a tensor [1, 1, R, R], or, for edges
    as sharp as the photo's, the picture that `load_mask` reads. ImageError, SettingsError.
    """
    whole = to_tensor(photo)  # [1, 3, H, W]
    side = min(whole.shape[2:])
    top, left = ((length - side) // 2 for length in whole.shape[2:])
    square = whole[..., top : top + side, left : left + side]  # a view
    patch = resize(image, side)
    name = task.partition(":")[0]
    if name == "colorization":
        patch = patch - patch.mean(dim=1, keepdim=True) + square.mean(dim=1, keepdim=True)
    elif name == "inpainting":
        if mask is None:
            raise ImageError("The mask of the inpainting is missing: give it, as it says what the photo knows.")
        known = load_mask(mask, side)[:1].to(whole)
        known = F.interpolate(known, (side, side), mode="bilinear")
        patch = known * square + (1 - known) * patch
    square.copy_(patch.clamp(-1, 1))
    return whole
