"""Time of one embedding step, against the peak of the machine and against a straightforward implementation.

    python benchmarks/step_time.py            # 64, 128 and 256 px on a CPU; to 1024 px on a GPU, in several precisions
    python benchmarks/step_time.py --resolution 512 1024

Generators have the widths of StyleGAN2's config F; their weights and those of VGG-16 are random, since time does not
depend on them. The implementations take turns; medians are reported. One step: image, loss, gradient, Adam.

floor: operations of our step (`torch.utils.flop_counter`) at the speed of the fastest large convolution or matrix
product on this machine. straightforward: `benchmarks/straightforward.py`, also with the generator's weights frozen, as
in some ports. loss: largest relative difference of the first loss. peak: memory of a process that makes one step,
above what it held after importing torch; on CUDA, what is allocated.
"""

import argparse
import functools
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report
from benchmarks.straightforward import Straightforward
from i2s.embedding.cuda_graphs import capture
from i2s.embedding.optim import Adam
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.losses import ImageLoss
from i2s.losses.slim import load_slim
from i2s.losses.vgg16 import VGG16

DTYPES = {"float32": None, "half": torch.float16, "compiled": None, "graphed": torch.float16}


class Ours:
    """The step of `i2s.embed` without its history; kind: one of `DTYPES`, "graphed" being for CUDA only."""

    def __init__(self, generator: StyleGAN2, net: nn.Module, photos: Tensor, kind: str = "float32") -> None:
        self.loss_of = ImageLoss(net)
        self.dtype = DTYPES[kind]
        self.synthesis = functools.partial(generator.synthesis, dtype=self.dtype)
        self.prepared = self.loss_of.prepare(photos)
        self.code = generator.w_mean.expand(len(photos), generator.num_ws, -1).clone().requires_grad_()
        self.adam = Adam([{"params": [self.code], "lr": 0.01}], (0.9, 0.999), 1e-8)
        self.gradient = self._gradient
        if kind == "compiled":
            self.gradient = torch.compile(self._gradient)
        elif kind == "graphed":
            self.loss(self.code)  # weights are prepared at their first use
            self.synthesis = capture(self.synthesis, [self.code.detach().clone().requires_grad_()])

    def loss(self, code: Tensor) -> Tensor:
        """Compute the paper's loss of each image, [N]."""
        return sum(self.loss_of(self.synthesis(code), self.prepared).values())

    def step(self) -> Tensor:
        """Make one step of Adam; return the loss [N] before it."""
        loss, self.code.grad = self.gradient(self.code)
        if self.scale != 1.0:
            self.code.grad /= self.scale
        self.adam.step()
        return loss.detach()

    @property
    def scale(self) -> float:
        """Factor of the loss that keeps half-precision gradients from underflow."""
        return 256.0 if self.dtype is torch.float16 else 1.0

    def _gradient(self, code: Tensor) -> tuple[Tensor, Tensor]:
        loss = self.loss(code)
        return loss, torch.autograd.grad(loss.sum() * self.scale, code)[0]


class Frozen(Straightforward):
    """The straightforward implementation with the generator's weights frozen."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.generator.requires_grad_(False)


def implementations(device: str) -> dict:
    """List the implementations: {name: constructor of (generator, net, photos)}."""
    found = {"ours": Ours, "straightforward": Straightforward, "weights frozen": Frozen}
    if device == "cuda":
        found |= {kind: functools.partial(Ours, kind=kind) for kind in ("half", "compiled", "graphed")}
    return found


@functools.lru_cache(1)
def network(name: str, device: str) -> nn.Module:
    """Load the perceptual network; VGG-16 with random weights."""
    net = load_slim() if name == "slim" else VGG16().eval().requires_grad_(False)
    return net.to(device, memory_format=torch.channels_last)


def generator_of(resolution: int, width: int, device: str) -> StyleGAN2:
    """Build a StyleGAN2 of config F with random weights; `width` divides its channels."""
    torch.manual_seed(0)
    channels = [max(8, c // width) for c in StyleGAN2Config().channels[: resolution.bit_length() - 2]]
    return StyleGAN2(StyleGAN2Config(resolution, channels=channels)).eval().requires_grad_(False).to(device)


def photos_of(batch: int, resolution: int, device: str) -> Tensor:
    """Draw random photos [batch, 3, resolution, resolution] in [-1, 1]."""
    return (torch.rand(batch, 3, resolution, resolution, generator=torch.Generator().manual_seed(1)) * 2 - 1).to(device)


def seconds(call: Callable[[], object], device: str) -> float:
    """Measure one call by `report.clock`."""
    start = report.clock(device)
    call()
    return report.clock(device) - start


def interleaved(calls: dict, repeat: int, limit: float, device: str) -> dict[str, float]:
    """Measure the median seconds of each call, in turns.

    Args:
        calls: {name: call}.
        repeat: Turns that count; the first turn, which fills caches, does not.
        limit: Seconds after which no turn begins, but for the first two.
        device: "cpu" or "cuda".
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for turn in range(repeat + 1):
        if turn > 2 and time.perf_counter() - start > limit:
            break
        for name, call in calls.items():
            taken[name].append(seconds(call, device))
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def peaks(device: str, size: int = 2048, repeat: int = 7) -> dict[str, float]:
    """Measure GFLOP/s of a size x size matrix product and of 3x3 convolutions: the best of a few."""
    a = torch.randn(size, size, device=device)
    calls = {"matrix product": (lambda: a @ a, 2 * size**3)}
    for wide, side in ((512, 32), (128, 128)):
        x = torch.randn(4, wide, side, side, device=device).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(wide, wide, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
        work = 2 * 9 * wide * wide * side * side * 4
        calls[f"convolution, {wide} maps"] = (functools.partial(F.conv2d, x, weight, padding=1), work)
    times = {name: min(seconds(call, device) for _ in range(repeat)) for name, (call, _) in calls.items()}
    return {name: work / times[name] / 1e9 for name, (_, work) in calls.items()}


def operations(run: Ours) -> float:
    """Count the GFLOP of convolutions and matrix products in a step."""
    counter = FlopCounterMode(display=False)
    with counter:
        run.loss(run.code).sum().backward()
    return counter.get_total_flops() / 1e9


def peak_memory(name: str, net: str, resolution: int, batch: int, width: int, device: str) -> float:
    """Measure the peak GB of a step; on the CPU, call it in a fresh process."""
    before = peak_of_process()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    generator, photos = generator_of(resolution, width, device), photos_of(batch, resolution, device)
    run = implementations(device)[name](generator, network(net, device), photos)
    run.step()
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return peak_of_process() - before


def peak_of_process() -> float:
    """Peak GB of this process."""
    try:  # getrusage would start from the peak of the parent
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


def memory_elsewhere(*case: object) -> float:
    """Call `peak_memory` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    threads = (torch.get_num_threads(),)
    with ProcessPoolExecutor(1, context, torch.set_num_threads, threads) as pool:
        return pool.submit(peak_memory, *case).result()


def case(net: str, resolution: int, batch: int, options: argparse.Namespace, floor_speed: float) -> dict:
    """Measure one network, resolution and batch size."""
    device = options.device
    generator, photos = generator_of(resolution, options.width, device), photos_of(batch, resolution, device)
    makers = {name: make for name, make in implementations(device).items() if name in options.implementations}
    if batch > 1:
        makers.pop("weights frozen", None)  # hardly faster, as single photos show
    # First step of each implementation, from the same code
    runs, losses = {}, {}
    for name, make in makers.items():
        try:
            run = make(generator, network(net, device), photos)
            losses[name] = run.step().float()
            runs[name] = run
        except RuntimeError as error:  # out of memory, or nothing here compiles
            if name in ("ours", "straightforward"):
                raise
            print(f"{name} does not run: {str(error).splitlines()[0]}", flush=True)
    # Time
    flops = operations(runs["ours"])
    times = interleaved({name: run.step for name, run in runs.items()}, options.repeat, options.limit, device)
    difference = (losses["ours"] - losses["straightforward"]).abs() / losses["straightforward"]
    row = {"network": net, "resolution": resolution, "batch": batch, "seconds": times, "GFLOP": flops}
    row["ratios"] = {name: times[name] / times["ours"] for name in times}
    row["floor"] = flops / floor_speed / times["ours"]
    row["loss difference"] = float(difference.max())
    # Memory
    del run, runs, generator
    names = [n for n in times if n != "weights frozen"]
    measure = peak_memory if device == "cuda" else memory_elsewhere
    row["peak GB"] = {n: measure(n, net, resolution, batch, options.width, device) for n in names}
    return row


def cases(options: argparse.Namespace) -> list[tuple[str, int, int]]:
    """List (network, resolution, batch): single photos with all networks, batches with the first."""
    found = [(net, r, 1) for r in options.resolution for net in options.networks]
    return found + [(options.networks[0], r, n) for r in options.batch_resolution for n in options.batch if n > 1]


def text(table: dict) -> str:
    """Format the table as Markdown."""
    rows = []
    for row in table["rows"]:
        cells = {name: row[name] for name in ("network", "resolution", "batch")}
        cells["ms a step"] = f"{1000 * row['seconds']['ours']:.0f}"
        cells["share of the floor's speed"] = f"{100 * row['floor']:.0f} %"
        for name in list(table["rows"][0]["ratios"])[1:]:
            cells[f"{name} / ours"] = f"{row['ratios'][name]:.2f}" if name in row["ratios"] else ""
        cells["loss difference"] = f"{row['loss difference']:.0e}"
        peak = row["peak GB"]
        cells["peak, GB"] = f"{peak['ours']:.2f}"
        cells["straightforward, GB"] = f"{peak['straightforward']:.2f}"
        rows.append(cells)
    speeds = ", ".join(f"{name} {speed:.0f}" for name, speed in table["GFLOP/s"].items())
    return f"""# One step of an embedding

{report.markdown(rows)}

Ratios of medians, measured in turns. Share of the floor's speed: what of the fastest of these the step reaches, all in
GFLOP/s: {speeds}. Widths of config F{"" if table["width"] == 1 else f", divided by {table['width']}"}.

Seconds are of the processor with one thread, of the wall with more. {table["machine"]}; commit {table["commit"]}.

![ratios](step_time.png)
"""


def plot(table: dict, file: Path) -> None:
    """Plot the time of the other implementations relative to ours, and our share of the machine's peak."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = table["rows"]
    names = [f"{row['network']}\n{row['resolution']} px\nx {row['batch']}" for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 4.5), layout="constrained")
    others = [name for name in rows[0]["ratios"] if name != "ours"]
    for k, name in enumerate(others):
        places = [x + 0.8 * k / len(others) for x in range(len(rows))]
        left.bar(places, [row["ratios"].get(name, 0) for row in rows], 0.8 / len(others), align="edge", label=name)
    left.axhline(1, color="grey", linewidth=0.8)
    left.set(title="time of a step, 1 = ours", xticks=[x + 0.4 for x in range(len(rows))], xticklabels=names)
    left.legend()
    right.bar(range(len(rows)), [100 * row["floor"] for row in rows])
    right.set(title="ours, % of the machine's peak", xticks=range(len(rows)), xticklabels=names, ylim=(0, 100))
    figure.savefig(file, dpi=100)
    plt.close(figure)


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    top.add_argument("--out", type=Path, default=report.RESULTS)
    top.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    top.add_argument("--resolution", type=int, nargs="+", help="default 64 128 256; with CUDA also 512 1024")
    top.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    top.add_argument("--batch-resolution", type=int, nargs="*", help="of batches; default 64, with CUDA also 1024")
    top.add_argument("--networks", nargs="+", choices=("slim", "vgg16"), default=["slim", "vgg16"])
    every = ["straightforward", "weights frozen", *list(DTYPES)[1:]]
    top.add_argument("--implementations", nargs="+", choices=every, default=every, help="beside ours, in float32")
    top.add_argument("--width", type=int, default=1, help="divides the channels, for quick trials")
    top.add_argument("--repeat", type=int, default=7, help="turns that count")
    top.add_argument("--limit", type=float, default=20, help="seconds of a case after which no turn begins")
    return top


def main(arguments: list[str] | None = None) -> dict:
    """Run the benchmark and return its table."""
    options = parser().parse_args(arguments)
    options.implementations = {"ours", "straightforward", *options.implementations}
    large = options.device == "cuda"
    options.resolution = options.resolution or [64, 128, 256, *([512, 1024] if large else [])]
    if options.batch_resolution is None:
        options.batch_resolution = [64, 1024] if large else [64]
    speeds = peaks(options.device)
    table = {
        "machine": report.machine(options.device),
        "commit": report.commit(),
        "width": options.width,
        "GFLOP/s": speeds,
        "rows": [],
    }
    for net, resolution, batch in cases(options):
        row = case(net, resolution, batch, options, max(speeds.values()))
        table["rows"].append(row)
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in row["ratios"].items())
        print(f"{net}, {resolution} px, batch {batch}: {row['seconds']['ours']:.3f} s; {ratios}", flush=True)
        report.write(options.out, "step_time", table, text(table))  # after each case, since the next may take long
    print(text(table))
    plot(table, options.out / "step_time.png")
    return table


if __name__ == "__main__":
    main()
