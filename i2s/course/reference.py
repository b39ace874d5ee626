"""LPIPS as a reference, where its network is at hand: a lesson goes on without it."""

from pathlib import Path

import torch

from i2s.errors import I2SError
from i2s.losses.lpips import LPIPS

WEIGHTS = "squeezenet1_1-*.pth"  # torchvision's file in torch's cache


def reference_lpips(fetch: bool = False) -> LPIPS | None:
    """LPIPS over SqueezeNet (5 MB), or None; prints which, and why.

    fetch: fetch the network if it is not in torch's cache. Nothing is fetched unasked, and nothing fails.
    """
    cached = any((Path(torch.hub.get_dir()) / "checkpoints").glob(WEIGHTS))
    if not (cached or fetch):
        print("LPIPS's network is not on this machine: reference_lpips(fetch=True) fetches it (5 MB).")
        return None
    try:
        found = LPIPS("squeeze")
    except I2SError as error:
        print(f"No LPIPS here. {error}")
        return None
    print("LPIPS over SqueezeNet")
    return found
