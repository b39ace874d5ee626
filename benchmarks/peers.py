"""Time of one whole projection step beside other projects' own code: generator, features, loss, gradient, update.

    python benchmarks/peers.py PEERS --resolution 64 128 256

PEERS holds the trees of NVlabs/stylegan2-ada-pytorch, rosinality/stylegan2-pytorch and
pacifinapacific/StyleGAN_LatentEditor, each in a folder OWNER-NAME; packages that they import (click, imageio, requests)
are found through PYTHONPATH. Every program is a process of its own, with the same generator widths (512 maps at most,
16384 / resolution), random weights and photo; they make single steps in turns, so that what disturbs one disturbs all.

Where a peer downloads its feature network, the same VGG-16 layers with random weights take its place: time does not
depend on their values. "i2s" compares the features of the network that ships with it, "i2s, vgg16" VGG-16's.
"""

import argparse
import contextlib
import io
import math
import os
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report

COMMITS = {"ada": "NVlabs/stylegan2-ada-pytorch", "rosinality": "rosinality/stylegan2-pytorch"}
COMMITS |= {"sg1": "pacifinapacific/StyleGAN_LatentEditor"}
PAPER_TAPS = (1, 3, 13, 20)  # layers of VGG-16 that the paper's ports compare
LPIPS_TAPS = (3, 8, 15, 22, 29)  # those of LPIPS


class VGG(nn.Module):
    """VGG-16 with random weights, up to its last tap."""

    def __init__(self, taps: tuple[int, ...]) -> None:
        super().__init__()
        import torchvision

        self.taps = taps
        self.layers = torchvision.models.vgg16(weights=None).features[: taps[-1] + 1].eval().requires_grad_(False)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False

    def maps(self, x: Tensor) -> list[Tensor]:
        """Feature maps of images [N, 3, H, W]."""
        found = []
        for k, layer in enumerate(self.layers):
            x = layer(x)
            if k in self.taps:
                found.append(x)
        return found

    def forward(self, x: Tensor, **_: object) -> Tensor:
        """What the projectors of StyleGAN2 compare: the taps, normalised, as one vector."""
        return torch.cat([F.normalize(y).flatten(1) / math.sqrt(y.shape[2] * y.shape[3]) for y in self.maps(x)], 1)


def ada(resolution: int, turn: Callable[[], None]) -> None:
    """Run the projector of StyleGAN2-ADA; its line about each step is where it waits for its turn."""
    import projector

    from training import networks

    widths = {"channel_base": 16384, "channel_max": 512}
    generator = networks.Generator(512, 0, 512, resolution, 3, synthesis_kwargs=widths).eval()
    features = VGG(LPIPS_TAPS)
    projector.dnnlib.util.open_url = lambda url: contextlib.nullcontext(io.BytesIO())
    projector.torch.jit.load = lambda file: features
    projector.print = lambda text: turn() if text.startswith("step") else None
    photo = torch.randint(0, 255, (3, resolution, resolution), dtype=torch.uint8)
    cpu = torch.device("cpu")
    projector.project(generator, photo, num_steps=10**5, w_avg_samples=1000, verbose=True, device=cpu)


def rosinality(resolution: int, turn: Callable[[], None]) -> None:
    """Repeat the step of rosinality's projector in W+, with its generator and noise terms."""
    import torch.utils.cpp_extension as extension

    extension.load = lambda *_, **__: None  # CUDA only
    sys.modules["lpips"] = types.ModuleType("lpips")
    import projector
    from model import Generator

    generator = Generator(resolution, 512, 8, channel_multiplier=1).eval().requires_grad_(False)
    features, photo = VGG(LPIPS_TAPS), torch.rand(1, 3, resolution, resolution) * 2 - 1
    with torch.no_grad():
        mean = generator.style(torch.randn(1000, 512)).mean(0)
    code = mean.repeat(1, generator.n_latent, 1).requires_grad_()
    maps = [noise.normal_().requires_grad_() for noise in generator.make_noise()]
    adam = torch.optim.Adam([code, *maps], lr=0.1)
    while True:
        image, _ = generator([projector.latent_noise(code, 0.05)], input_is_latent=True, noise=maps)
        distance = (features(image) - features(photo)).square().sum()
        adam.zero_grad()
        (distance + 1e5 * projector.noise_regularize(maps)).backward()
        adam.step()
        projector.noise_normalize_(maps)
        turn()


def sg1(resolution: int, turn: Callable[[], None]) -> None:
    """Repeat the step of the StyleGAN1 port of the paper, `encode_image.py`, with its generator."""
    from stylegan_layers import G_synthesis

    generator, features = G_synthesis(resolution=resolution).eval(), VGG(PAPER_TAPS)
    enlarge = nn.Upsample(scale_factor=256 / resolution, mode="bilinear")
    photo = torch.rand(1, 3, resolution, resolution)
    code = torch.zeros(1, 2 * int(math.log2(resolution)) - 2, 512, requires_grad=True)
    adam, mse = torch.optim.Adam([code], lr=0.01), nn.MSELoss()
    while True:
        adam.zero_grad()
        image = (generator(code) + 1) / 2
        pairs = zip(features.maps(enlarge(photo)), features.maps(enlarge(image)))  # the photo's at every step, too
        (mse(image, photo) + sum(mse(ours, theirs) for ours, theirs in pairs)).backward()
        adam.step()
        turn()


def generator_of(resolution: int) -> nn.Module:
    """Build a StyleGAN2 of ours with random weights, as wide as the peers' generators."""
    from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config

    channels = [min(512, 16384 // (4 * 2**k)) for k in range(resolution.bit_length() - 2)]
    return StyleGAN2(StyleGAN2Config(resolution, channels=channels)).eval().requires_grad_(False)


def i2s(resolution: int, turn: Callable[[], None], net: str = "slim") -> None:
    """Run `i2s.embed` with the paper's settings; its callback is where it waits for its turn."""
    import i2s
    from benchmarks.step_time import network

    generator = generator_of(resolution)
    photo = torch.rand(1, 3, resolution, resolution) * 2 - 1
    perceptual = network(net, "cpu")
    i2s.embed(photo, generator, perceptual=perceptual, steps=10**5, progress=False, callback=lambda _: turn())


PROGRAMS: dict[str, Callable] = {
    "i2s": i2s,
    "i2s, vgg16": lambda resolution, turn: i2s(resolution, turn, "vgg16"),
    "ada": ada,
    "rosinality": rosinality,
    "sg1": sg1,
}


def serve(name: str, resolution: int, peers: Path) -> None:
    """Make a step for each line of standard input, and print its seconds."""
    if name in COMMITS:
        sys.path.insert(0, str(peers / COMMITS[name].replace("/", "-")))
    torch.manual_seed(0)
    began = [time.perf_counter()]

    def turn() -> None:
        print(time.perf_counter() - began[0], file=out, flush=True)
        if not sys.stdin.readline():
            os._exit(0)
        began[0] = time.perf_counter()

    out, sys.stdout = sys.stdout, sys.stderr  # peers print
    PROGRAMS[name](resolution, turn)


def compare(names: list[str], resolution: int, peers: Path, steps: int, repeats: int) -> dict[str, list[float]]:
    """Measure the median seconds of a step of each program, once for each repeat.

    Args:
        names: Of `PROGRAMS`.
        resolution: In px.
        peers: Folder of their trees.
        steps: Steps of each, in turns, that a median is of.
        repeats: Medians.
    """
    running = {}
    for name in names:
        command = [sys.executable, __file__, str(peers), "--serve", name, "--resolution", str(resolution)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        # threads that wait for work must not take the others' time
        running[name] = subprocess.Popen(command, env=os.environ | {"OMP_WAIT_POLICY": "passive"}, **pipes)
        if not running[name].stdout.readline():  # the first step, with what is made once
            raise SystemExit(f"{name} does not run: look at `{' '.join(command)}`.")

    def step(process: subprocess.Popen) -> float:
        process.stdin.write("\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        turns = [{name: step(process) for name, process in running.items()} for _ in range(steps)]
        for name in names:
            taken[name].append(statistics.median(turn[name] for turn in turns))
    for process in running.values():
        process.stdin.close()
        process.wait()
    return taken


def text(table: dict) -> str:
    """Format the table as Markdown."""
    rows = []
    for row in table["rows"]:
        cells = {"px": row["resolution"]}
        for name, values in row["seconds"].items():
            cells[f"{name}, ms"] = f"{1000 * statistics.median(values):.0f}"
        for name in list(row["seconds"])[1:]:
            ratios = sorted(theirs / ours for ours, theirs in zip(row["seconds"]["i2s"], row["seconds"][name]))
            cells[f"{name} / i2s"] = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        rows.append(cells)
    commits = ", ".join(f"{name}: {COMMITS[name]}" for name in COMMITS)
    return f"""# One step beside other projects' own code

{report.markdown(rows)}

Medians of {table["repeats"]} repeats of {table["steps"]} steps each, in turns; ratios: median (least to most) of the
repeats. Generators of 512 maps at most, 16384 / resolution, random weights; one photo, float32. {commits}.
{table["machine"]}; commit {table["commit"]}.
"""


def main(arguments: list[str] | None = None) -> dict | None:
    """Run the benchmark and return its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peers", type=Path)
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    parser.add_argument("--resolution", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), help="i2s comes first")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", choices=PROGRAMS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        return serve(options.serve, options.resolution[0], options.peers)
    table = {"machine": report.machine(), "commit": report.commit(), "steps": options.steps}
    table |= {"repeats": options.repeats, "rows": []}
    for resolution in options.resolution:
        seconds = compare(options.programs, resolution, options.peers.resolve(), options.steps, options.repeats)
        table["rows"].append({"resolution": resolution, "seconds": seconds})
        report.write(options.out, "peers", table, text(table))  # after each size, since the next may take long
    print(text(table))
    return table


if __name__ == "__main__":
    main()
