"""The first cell of every lesson: which device and networks are used, and how long things take here."""

import os
import platform
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from i2s.device import choose_device
from i2s.embedding import embed
from i2s.generators import load_generator
from i2s.generators.base import Generator
from i2s.losses.base import FeatureNet
from i2s.losses.perceptual import load_perceptual
from i2s.losses.slim import SlimNet


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

    A blank answer that stops a later cell is shown in one line from here on.

    Args:
        generator: A name that `i2s generators` lists, or a weight file; None: the one that is shipped.
        perceptual: "auto", "slim" or "vgg16".
        device: Name of a torch device; None: CUDA if there is one, else the CPU.
        steps: Embedding steps of all cells of a lesson together; printed as minutes on this machine.

    Raises:
        DeviceError: There is no such device.
        WeightFileError: The generator cannot be read.
    """
    explain_blank_answers()
    chosen = choose_device(device)
    if device is None and chosen.type == "mps":  # the lessons are made for the CPU, and never ran on Apple's GPU
        chosen = torch.device("cpu")
    print(f"Python {platform.python_version()}, torch {torch.__version__}")
    print(f"device      {describe_device(chosen, asked=device is not None)}")
    network = load_generator(generator, device=chosen) if generator else load_generator(device=chosen)
    print(f"generator   {network.describe()} ({'as you asked' if generator else 'it comes with the course'})")
    feature_net = load_perceptual(perceptual, device=chosen)
    print(f"perceptual  {describe_perceptual(feature_net)}")
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


def describe_device(device: torch.device, asked: bool) -> str:
    """Name the device, its memory where it is known, and why it was chosen."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return f"{torch.cuda.get_device_name(device)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if device.type != "cpu":
        return f"{device.type.upper()}{' (as you asked)' if asked else ''}"
    threads = torch.get_num_threads()
    memory = memory_limit()
    parts = ["CPU", f"{threads} thread{'' if threads == 1 else 's'}"]
    parts += [f"{memory / 2**30:.0f} GiB memory"] if memory else []
    return f"{', '.join(parts)} ({'as you asked' if asked else 'no CUDA GPU was found; the course needs none'})"


def describe_perceptual(network: FeatureNet) -> str:
    """Name the perceptual network, and say why it is this one."""
    if not isinstance(network, SlimNet):
        return network.describe()
    millions = sum(weight.numel() for weight in network.parameters()) / 1e6
    return (
        f"slim: {millions:.1f} million weights, trained to compare images as VGG-19 and SqueezeNet do (it comes with "
        "the course; setup(perceptual='vgg16') takes VGG-16, the paper's, 528 MB to download)"
    )


# What a container allows its processes: of control groups in version 2 and 1
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit() -> int | None:
    """Return the bytes of memory of this machine, or of its container if that is less; None where unknown."""
    known = []
    with suppress(ValueError, OSError, AttributeError):  # not a POSIX system
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in MEMORY_LIMITS:
        with suppress(ValueError, OSError):  # no such file, or "max"
            known.append(int(file.read_text(encoding="utf-8")))
    return min((number for number in known if number > 0), default=None)


def explain_blank_answers() -> None:
    """In a notebook, let a stub that a later cell runs into say so in one line, in place of a traceback."""
    try:
        shell = get_ipython()  # a builtin of IPython
    except NameError:
        return

    def explain(
        shell: Any, kind: type, error: NotImplementedError, trace: TracebackType, tb_offset: Any = None
    ) -> None:
        if not str(error):
            name = traceback.extract_tb(trace)[-1].name
            what = "fill in the cell above" if name == "<module>" else f"write the body of `{name}`"
            line = f"Stopped here, no answer yet: {what}; the cells below need it."
            error._render_traceback_ = lambda: [line]
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)

    shell.set_custom_exc((NotImplementedError,), explain)


def time_step(generator: Generator, perceptual: nn.Module) -> float:
    """Measure the seconds of one embedding step of one photo, after a warm-up."""
    target = torch.zeros(1, 3, generator.resolution, generator.resolution)
    for steps in (2, 8):
        start = time.perf_counter()
        embed(target, generator, steps=steps, perceptual=perceptual, progress=False, snapshots=0)
    return (time.perf_counter() - start) / 9
