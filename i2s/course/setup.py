"""The first cell of every lesson: what this machine has, what is used, and how long things take."""

import os
import platform
import time
from dataclasses import dataclass

import torch

from i2s.generators import load_generator
from i2s.generators.base import Generator
from i2s.losses.perceptual import load_perceptual


@dataclass(frozen=True)
class Lab:
    """The generator and the perceptual network of a lesson, on the device that was chosen."""

    device: torch.device
    generator: Generator
    perceptual: object
    seconds_per_step: float

    def minutes(self, steps: int, photos: int = 1) -> float:
        """About how long an embedding takes here, in minutes."""
        return steps * photos * self.seconds_per_step / 60


def setup(
    generator: str | None = None, perceptual: str = "auto", device: str | None = None, steps: int | None = None
) -> Lab:
    """Choose device, generator and perceptual network, and print each choice with its reason.

    generator: a name of `i2s generators` or a weight file; None is the one that ships with the course.
    steps: how many embedding steps the cells of a lesson come to; printed as the minutes that they take here.
    """
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    print(f"Python {platform.python_version()}, torch {torch.__version__}")
    if chosen.type == "cuda":
        free, total = torch.cuda.mem_get_info(chosen)
        print(f"device      {torch.cuda.get_device_name(chosen)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    else:
        why = "as you asked" if device else "no CUDA GPU was found; the course is made for that"
        threads = torch.get_num_threads()
        many = f"{threads} thread{'' if threads == 1 else 's'}"
        print(f"device      CPU, {many}, {_memory_gib():.0f} GiB memory ({why})")
    network = load_generator(generator, device=chosen) if generator else load_generator(device=chosen)
    print(f"generator   {network.describe()} ({'as you asked' if generator else 'it ships with the course'})")
    eye = load_perceptual(perceptual, device=chosen)
    print(f"perceptual  {eye.describe()}")
    lab = Lab(chosen, network, eye, _time_step(network, eye))
    one = lab.seconds_per_step
    print(f"speed       {1 / one:.0f} embedding steps a second: 300 steps take {300 * one:.0f} s")
    if steps is not None:
        print(f"lesson      all its cells together take {_about(lab.minutes(steps))}")
    return lab


def _about(minutes: float) -> str:
    if minutes < 0.75:
        return "less than a minute"
    return f"about {minutes:.0f} minute{'' if round(minutes) == 1 else 's'}"


def _memory_gib() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):  # not a POSIX system
        return float("nan")


def _time_step(generator: Generator, perceptual) -> float:
    """Seconds of one embedding step of one photo: a short run, after one that warms up."""
    from i2s.embedding import embed

    target = torch.zeros(1, 3, generator.resolution, generator.resolution)
    for steps in (2, 8):
        start = time.perf_counter()
        embed(target, generator, steps=steps, perceptual=perceptual, progress=False, snapshots=0)
    return (time.perf_counter() - start) / 9
