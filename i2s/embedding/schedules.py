"""How fast a search goes; t runs from 0, its start, to 1, its end, by steps or by the clock."""

import math


def constant(t: float) -> float:
    """Image2StyleGAN: the learning rate as it is."""
    return 1.0


def ramp(t: float, up: float = 0.05, down: float = 0.25) -> float:
    """StyleGAN2's projector (Karras et al. 2020, appendix D): a line up, and half a cosine down at the end."""
    falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / down))
    return falling * min(1.0, t / up)


def cosine(t: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 + 0.5 * math.cos(math.pi * t)


SCHEDULES = {"constant": constant, "ramp": ramp, "cosine": cosine}


def w_noise_at(t: float, until: float = 0.75) -> float:
    """Share of the noise that is added to the code: (1 - t / 0.75)^2, none after (StyleGAN2's projector)."""
    return max(0.0, 1 - t / until) ** 2
