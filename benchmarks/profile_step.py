"""Where the time of a step goes, with and without Winograd's convolution: `python benchmarks/profile_step.py`.

The step of `i2s.embed` with the paper's settings and the network that ships with it, one photo. A generator is a name,
or a size in px for random weights at the widths of `peers.py`. Steps with and without are made in turns; shares are of
the time in torch's operations and in Python between them.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report
from benchmarks.peers import generator_of
from benchmarks.step_time import Ours, interleaved, network, photos_of
from i2s.generators import load_generator, winograd

PLAIN = ("mul", "mul_", "sum", "add", "add_", "sub", "sub_", "addcmul", "pow", "pow_", "clamp_min_", "relu_")
PLAIN += ("leaky_relu_", "leaky_relu_backward", "threshold_backward")
PLAIN += ("max_pool2d_with_indices", "max_pool2d_with_indices_backward")


def kind(name: str, shapes: str) -> str:
    """Name what an operation of the profiler is, from its name and the shapes of what it takes."""
    name = name.removeprefix("aten::")
    if "conv" in name and "1, 4, 4]" in shapes:
        return "filters"
    if "conv" in name or (name == "bmm" and "[36, " in shapes):  # 36 products are a Winograd convolution
        return "convolutions"
    if name in ("bmm", "mm", "addmm", "baddbmm"):
        return "transforms" if "36, 36]" in shapes or "36, 16]" in shapes or "16, 36]" in shapes else "other products"
    if name in ("copy_", "fill_", "zero_"):
        return "copies"
    return "element by element" if name in PLAIN else "the rest"


def step_of(name: str, with_winograd: bool) -> Ours:
    """Prepare the step of one random photo, its weights kept in one form or the other."""
    generator = generator_of(int(name)) if name.isdigit() else load_generator(name)
    run = Ours(generator, network("slim", "cpu"), photos_of(1, generator.resolution, "cpu"))
    with mock.patch.object(winograd, "pays", winograd.pays if with_winograd else lambda *_: False):
        run.step()
    return run


def shares(run: Ours, steps: int) -> dict[str, str]:
    """Return the share of each kind of operation, the largest first."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        for _ in range(steps):
            run.step()
    found: Counter[str] = Counter()
    for event in seen.key_averages(group_by_input_shape=True):
        found[kind(event.key, str(event.input_shapes))] += event.self_cpu_time_total
    return {name: f"{100 * taken / found.total():.0f} %" for name, taken in found.most_common()}


def main(arguments: list[str] | None = None) -> dict:
    """Run the benchmark and return its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", nargs="+", default=["faces-64", "faces-128", "64", "256"])
    parser.add_argument("--steps", type=int, default=5, help="of each, in turns")
    options = parser.parse_args(arguments)
    table = {"machine": report.machine(), "commit": report.commit(), "generators": {}}
    for name in options.generator:
        runs = {way: step_of(name, way == "with") for way in ("with", "without")}
        seconds = interleaved({way: run.step for way, run in runs.items()}, options.steps, 120, "cpu")
        table["generators"][name] = {
            "without / with": round(seconds["without"] / seconds["with"], 2),
            **{way: {"ms": round(1000 * seconds[way], 1)} | shares(runs[way], options.steps) for way in runs},
        }
        for row, cells in table["generators"][name].items():
            print(name, row, cells, flush=True)
    print(f"{table['machine']}; commit {table['commit']}")
    return table


if __name__ == "__main__":
    main()
