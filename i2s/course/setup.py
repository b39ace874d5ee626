"""The first cell of every lesson: which device and networks are used, and how long things take here."""

import os
import platform
import time
from dataclasses import dataclass

import torch
from torch import nn

from i2s.device import choose_device
from i2s.embedding import embed
from i2s.generators import load_generator
from i2s.generators.base import Generator
from i2s.losses.perceptual import load_perceptual


@dataclass(frozen=True)
class Lab:
    """The networks of a lesson, on the chosen device."""

    device: torch.device
    generator: Generator
    perceptual: nn.Module
    seconds_per_step: float  # of the embedding of one photo

    def minutes(self, steps: int, photos: int = 1) -> float:
        """Estimate how long an embedding takes here, in minutes."""
        return steps * photos * self.seconds_per_step / 60


def setup(
    generator: str | None = None, perceptual: str = "auto", device: str | None = None, steps: int | None = None
) -> Lab:
    """Choose device, generator and perceptual network, and print each choice with its reason.

    Args:
        generator: A name that `i2s generators` lists, or a weight file; None: the one that is shipped.
        perceptual: "auto", "slim" or "vgg16".
        device: Name of a torch device; None: CUDA if there is one, else the CPU.
        steps: Embedding steps of all cells of a lesson together; printed as minutes on this machine.

    Raises:
        DeviceError: There is no such device.
        WeightFileError: The generator cannot be read.
    """
    chosen = choose_device(device)
    print(f"Python {platform.python_version()}, torch {torch.__version__}")
    if chosen.type == "cuda":
        free, total = torch.cuda.mem_get_info(chosen)
        print(f"device      {torch.cuda.get_device_name(chosen)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    else:
        reason = "as you asked" if device else "no CUDA GPU was found; the course is made for that"
        threads = torch.get_num_threads()
        plural = "" if threads == 1 else "s"
        print(f"device      CPU, {threads} thread{plural}, {total_memory():.0f} GiB memory ({reason})")
    network = load_generator(generator, device=chosen) if generator else load_generator(device=chosen)
    print(f"generator   {network.describe()} ({'as you asked' if generator else 'it ships with the course'})")
    feature_net = load_perceptual(perceptual, device=chosen)
    print(f"perceptual  {feature_net.describe()}")
    lab = Lab(chosen, network, feature_net, time_step(network, feature_net))
    seconds = lab.seconds_per_step
    print(f"speed       {1 / seconds:.0f} embedding steps a second: 300 steps take {300 * seconds:.0f} s")
    if steps is not None:
        print(f"lesson      all its cells together take {describe_minutes(lab.minutes(steps))}")
    return lab


def describe_minutes(minutes: float) -> str:
    """Round a duration to whole minutes, in words."""
    if minutes < 0.75:
        return "less than a minute"
    return f"about {minutes:.0f} minute{'' if round(minutes) == 1 else 's'}"


def total_memory() -> float:
    """Return the memory of this machine in GiB; NaN where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):  # not a POSIX system
        return float("nan")


def time_step(generator: Generator, perceptual: nn.Module) -> float:
    """Measure the seconds of one embedding step of one photo, after a warm-up."""
    target = torch.zeros(1, 3, generator.resolution, generator.resolution)
    for steps in (2, 8):
        start = time.perf_counter()
        embed(target, generator, steps=steps, perceptual=perceptual, progress=False, snapshots=0)
    return (time.perf_counter() - start) / 9
