"""Time until a photo is embedded as well as by 1000 steps of the paper.

    python benchmarks/time_to_quality.py FOLDER

Each photo of the folder is embedded with the paper's settings, 1000 steps of Adam. Its lowest loss and its lowest
perceptual distance are the targets; another method reaches them at the first step that is as low as both at once. Time
counts from the call of `embed`, with initial code, encoder and preconditioner.

evaluations: of the loss with its gradient, one per step and one for the initial code, plus the setup (`SETUP`), which
counts in full though the photos of a batch share it. seconds: of photos in batches of one size, method after method
for each batch. alone: of a single photo, estimated from some photos that are embedded one by one for a few steps.
Seconds are those of `report.clock`.

Finished runs are cached in --cache under a digest of weights, photos and settings, so that an interrupted benchmark
continues.
"""

import argparse
import hashlib
import inspect
import json
import math
import statistics
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report
from i2s import embed, load_generator, load_perceptual
from i2s.embedding import Step
from i2s.embedding.preconditioner import gauss_newton_preconditioner
from i2s.embedding.presets import preset_settings
from i2s.files import digest
from i2s.generators.base import Generator
from i2s.images import load_photos

PRECONDITIONER_IMAGES = inspect.signature(gauss_newton_preconditioner).parameters["count"].default
# Evaluations before the first step; a forward pass counts as a third of an evaluation
SETUP = dict.fromkeys(("mean", "fast"), math.ceil(PRECONDITIONER_IMAGES * 4 / 3))
METHODS = {  # name: (preset, changes, description)
    "paper": ("image2stylegan", {}, "Adam, 0.01, from the mean latent (the paper's)"),
    "adam": ("image2stylegan", {"init": "auto", "learning_rate": 0.05}, "Adam, 0.05, from the encoder's code"),
    "mean": ("fast", {"init": "mean"}, "L-BFGS with the Gauss-Newton preconditioner, from the mean latent"),
    "fast": ("fast", {}, "L-BFGS with the Gauss-Newton preconditioner, from the encoder's code (preset `fast`)"),
}


def run(method: str, photos: Tensor, generator: Generator, perceptual: nn.Module, steps: int) -> dict:
    """Embed a batch of photos; return {"loss", "perceptual": [steps + 1][N], "seconds": [steps + 1]}."""
    preset, changes, _ = METHODS[method]
    seconds: list[float] = []
    start = report.clock()

    def record_time(step: Step) -> None:
        seconds.append(report.clock() - start)

    options = {"perceptual": perceptual, "progress": False, "snapshots": 0, "steps": steps} | changes
    result = embed(photos, generator, preset=preset, callback=record_time, **options)
    loss = sum(result.history.values())  # [steps + 1, N]
    curves = {"loss": loss, "perceptual": loss - result.history["mse"]}
    table = {name: [[float(f"{x:.6g}") for x in row] for row in curve.tolist()] for name, curve in curves.items()}
    return table | {"seconds": [round(x, 4) for x in seconds]}


def settings_of(method: str, steps: int) -> str:
    """Name a run by method, steps and a digest of its settings."""
    preset, changes, _ = METHODS[method]
    settings = json.dumps(asdict(replace(preset_settings(preset), **changes)), sort_keys=True).encode()
    return f"{method}-{steps}-{hashlib.sha256(settings).hexdigest()[:8]}"


def cached(file: Path, *arguments: object) -> dict:
    """Read the file, or call `run` with these arguments and write it."""
    if not file.exists():
        part = file.with_suffix(".part")
        part.write_text(json.dumps(run(*arguments)))
        part.replace(file)
    return json.loads(file.read_text())


def targets(curves: dict, k: int) -> tuple[float, float]:
    """Find the lowest loss and the lowest perceptual distance of photo k."""
    return tuple(min(row[k] for row in curves[name]) for name in ("loss", "perceptual"))


def reached(curves: dict, k: int, target: tuple[float, float]) -> int | None:
    """Find the first step at which photo k is as low as both targets; None if it never is."""
    pairs = zip(curves["loss"], curves["perceptual"])
    return next((s for s, (a, b) in enumerate(pairs) if a[k] <= target[0] and b[k] <= target[1]), None)


def times(step: int | None, clock: list[float], alone: tuple[float, float], setup: int) -> dict[str, float]:
    """Compute evaluations and seconds until a step; infinite for None.

    Args:
        step: The step, or None if the targets were not reached.
        clock: Seconds at each step of the batch.
        alone: Seconds before the first step, and of a step, of a single photo.
        setup: Evaluations before the first step.
    """
    if step is None:
        return dict.fromkeys(("evaluations", "seconds", "alone"), math.inf)
    return {"evaluations": setup + step + 1, "seconds": clock[step], "alone": alone[0] + step * alone[1]}


def pace(runs: list[dict]) -> tuple[float, float]:
    """Median seconds before the first step, and of a step, of single photos."""
    first = statistics.median(run["seconds"][0] for run in runs)
    return first, statistics.median(b - a for run in runs for a, b in zip(run["seconds"], run["seconds"][1:]))


def summary(found: list[dict], paper: list[dict]) -> dict:
    """Summarise the `times` of one method: photos that arrived, quartiles of times and of speed-ups over the paper."""
    row = {"photos": len(found), "arrived": sum(x["evaluations"] < math.inf for x in found)}
    for what in ("evaluations", "seconds", "alone"):
        row[what] = [significant(x) for x in report.quartiles(x[what] for x in found)]
        ratios = [theirs[what] / ours[what] for ours, theirs in zip(found, paper)]  # 0 if it never arrived
        row[f"{what}, times sooner"] = [significant(x) for x in (min(ratios), *report.quartiles(ratios), max(ratios))]
    return row


def significant(x: float) -> float | None:
    """Round to four significant digits; None for infinity."""
    return None if x == math.inf else float(f"{x:.4g}")


def measure(options: argparse.Namespace) -> tuple[dict, dict]:
    """Run all methods; return the table and {method: [(curves, k, targets of photo k)]}."""
    # Networks and photos
    generator = load_generator(options.generator) if options.generator else load_generator()
    perceptual = load_perceptual(options.perceptual)
    files = report.photos(options.photos, options.limit)
    photos = load_photos(files, generator.resolution)
    fast_steps = options.fast_steps or preset_settings("fast").steps
    steps = {"paper": options.steps, "adam": options.adam_steps, "mean": fast_steps, "fast": fast_steps}
    weights = digest(generator.state_dict().values())[:16]
    cache = options.cache / f"{weights}-{digest([photos])[:16]}-{perceptual.name}-{torch.get_num_threads()}"
    cache.mkdir(parents=True, exist_ok=True)
    own = {m: settings_of(m, steps[m]) for m in METHODS}

    # Photos in batches
    batches = list(photos.split(options.batch))
    runs: dict[str, list[dict]] = {method: [] for method in METHODS}
    for number, some in enumerate(batches):
        for method in METHODS:
            if method in ("adam", "mean") and number * options.batch >= options.few:
                continue
            file = cache / f"{own[method]}-{options.batch}-{number}.json"
            curves = cached(file, method, some, generator, perceptual, steps[method])
            runs[method].append(curves)
            seconds = curves["seconds"][-1]
            print(f"batch {number + 1} of {len(batches)}, {method}: {steps[method]} steps, {seconds:.0f} s", flush=True)
    # Single photos
    alone: dict[str, list[dict]] = {method: [] for method in METHODS}
    for number in range(min(options.alone, len(photos))):
        for method in METHODS:
            one = photos[number : number + 1]
            few = min(options.alone_steps, steps[method])
            file = cache / f"{own[method]}-alone-{few}-{number}.json"
            alone[method].append(cached(file, method, one, generator, perceptual, few))
    paces = {method: pace(runs) for method, runs in alone.items()}

    # Steps at which the targets are reached
    found: dict[str, list[dict]] = {method: [] for method in METHODS}
    seen: dict[str, list[tuple]] = {method: [] for method in METHODS}
    for method in METHODS:
        for theirs, ours in zip(runs["paper"], runs[method]):
            for k in range(len(theirs["loss"][0])):
                target = targets(theirs, k)
                step = options.steps if method == "paper" else reached(ours, k, target)
                found[method].append(times(step, ours["seconds"], paces[method], SETUP.get(method, 0)))
                seen[method].append((ours, k, target))
    table = {
        "machine": report.machine(),
        "commit": report.commit(),
        "generator": generator.describe(),
        "weights": weights,
        "perceptual": perceptual.describe(),
        "photos": len(files),
        "steps": steps,
        "batch": options.batch,
        "alone": {m: {"seconds before the first step": p[0], "of a step": p[1]} for m, p in paces.items()},
        "methods": {m: summary(times_, found["paper"]) for m, times_ in found.items()},
        "each photo": {
            m: [{n: significant(x) for n, x in t.items()} | {"photo": f.name} for t, f in zip(v, files)]
            for m, v in found.items()
        },
    }
    return table, seen


def text(table: dict) -> str:
    """Format the table as Markdown."""
    rows = []
    for method, row in table["methods"].items():
        arrived = f"{row['arrived']} of {row['photos']}"
        cells = {"method": METHODS[method][2], "photos that arrived": arrived}
        for what in ("evaluations", "seconds", "alone"):
            name = {"evaluations": what, "seconds": "seconds (in a batch)", "alone": "seconds (alone)"}[what]
            low, middle, high = ("never" if x is None else f"{x:.4g}" for x in row[what])
            least, quarter, median, quarter3, most = row[f"{what}, times sooner"]
            cells[name] = f"{middle} ({low} to {high})"
            cells[f"sooner, {what}"] = f"**{median:.1f}** ({quarter:.1f} to {quarter3:.1f}; {least:.1f} to {most:.1f})"
        rows.append(cells)
    return f"""# Time to the quality of {table["steps"]["paper"]} steps of the paper

{report.markdown(rows)}

Medians over the photos (quartiles; least to most). Sooner: how many times, photo by photo; 0 for one that never
arrived. A photo arrives at the first step as low in the loss and in the perceptual distance as the lowest of the
paper's steps. Evaluations are of the loss and its gradient, with {SETUP["fast"]} for the preconditioner.
Batches of {table["batch"]} photos share that, so the seconds in a batch are a little better than alone.

{table["photos"]} photos; {table["generator"]}, weights {table["weights"]}; {table["perceptual"]}.
{table["machine"]}; commit {table["commit"]}.

![curves](time_to_quality.png)
"""


def plot(table: dict, seen: dict, file: Path) -> None:
    """Plot losses and perceptual distances, relative to the targets, against evaluations; and the speed-ups."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    for axis, name, place in ((axes[0], "loss", 0), (axes[1], "perceptual", 1)):
        for method, photos in seen.items():
            ratios = [[row[k] / target[place] for row in curves[name]] for curves, k, target in photos]
            ratios = torch.tensor(ratios)  # [N, steps + 1]
            x = torch.arange(ratios.shape[1]) + SETUP.get(method, 0) + 1
            low, middle, high = ratios.quantile(torch.tensor([0.25, 0.5, 0.75]), dim=0)
            axis.fill_between(x, low, high, alpha=0.2)
            axis.plot(x, middle, label=method)
        axis.axhline(1, color="grey", linewidth=0.8)
        axis.set(xscale="log", yscale="log", xlabel="evaluations")
        axis.set_title({"loss": "loss", "perceptual": "perceptual distance"}[name] + ", 1 = the paper's lowest")
        axis.legend()
    for what in ("evaluations", "seconds", "alone"):
        paper, fast = (table["each photo"][method] for method in ("paper", "fast"))
        ratios = sorted(p[what] / f[what] if f[what] else 0 for p, f in zip(paper, fast))
        axes[2].plot(ratios, [(k + 1) / len(ratios) for k in range(len(ratios))], drawstyle="steps-post", label=what)
    axes[2].axvline(5, color="grey", linewidth=0.8)
    axes[2].set(title="fast: times sooner, share of the photos", xlabel="times sooner", xlim=(0, None), ylim=(0, 1))
    axes[2].legend()
    figure.savefig(file, dpi=100)
    plt.close(figure)


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    top = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    top.add_argument("photos", type=Path, metavar="FOLDER")
    top.add_argument("--out", type=Path, default=report.RESULTS)
    top.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "i2s-time-to-quality")
    top.add_argument("--generator", default=None)
    top.add_argument("--perceptual", default="slim")
    top.add_argument("--limit", type=int, default=None, help="only so many photos")
    top.add_argument("--batch", type=int, default=16, help="photos embedded at once")
    top.add_argument("--steps", type=int, default=1000, help="of the paper's method")
    top.add_argument("--fast-steps", type=int, default=None, help="of the preset fast (default: its own)")
    top.add_argument("--adam-steps", type=int, default=400, help="of Adam from the encoder's code")
    top.add_argument("--few", type=int, default=16, help="photos for the methods between the paper's and fast")
    top.add_argument("--alone", type=int, default=3, help="photos that are timed alone")
    top.add_argument("--alone-steps", type=int, default=60)
    return top


def main(arguments: list[str] | None = None) -> dict:
    """Run the benchmark and return its table."""
    options = parser().parse_args(arguments)
    table, seen = measure(options)
    report.write(options.out, "time_to_quality", table, text(table))
    print(text(table))
    plot(table, seen, options.out / "time_to_quality.png")
    return table


if __name__ == "__main__":
    main()
