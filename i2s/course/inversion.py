"""What a feature map remembers: pixels that give it again, found without any generator."""

import torch
from torch import Tensor


def invert_features(perceptual, photo: Tensor, steps: int = 200, learning_rate: float = 0.05) -> Tensor:
    """For each tap of a perceptual network, an image whose map is that of the photo (Mahendran and Vedaldi 2015).

    photo: [1, 3, H, W] in [-1, 1]. Each search starts from grey, moves the pixels themselves by Adam, and looks at one
    tap alone. Returns [taps, 3, H, W] in [-1, 1]; what a tap does not see is left as chance had it.
    """
    wanted = [tap.detach() for tap in perceptual.features(photo)]
    noise = torch.randn(len(wanted), *photo.shape[1:], generator=torch.Generator().manual_seed(0))
    images = (0.1 * noise).to(photo).requires_grad_()  # not quite grey: at a point of no slope nothing would move
    adam = torch.optim.Adam([images], lr=learning_rate)
    for _ in range(steps):
        taps = perceptual.features(images)
        loss = sum((taps[k][k] - goal[0]).square().mean() for k, goal in enumerate(wanted))
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            images.clamp_(-1, 1)
    return images.detach()
