"""How soon is a photo embedded as well as by 1000 steps of the paper?

    python benchmarks/time_to_quality.py FOLDER

Each photo of the folder is embedded by the paper's settings, 1000 steps of Adam. The lowest loss of those steps, and
the lowest perceptual distance, are its marks; another method reaches them at the first step that is as low as both at
once. Both times are taken from the call of `embed` on, so start, encoder and metric count.

evaluations: of the loss with its gradient, one for each step and the first, and what was spent before (`SETUP`): whole,
though photos of a batch share it. seconds: of photos in batches, for all methods batches of the same size, one method
after the other batch by batch. alone: a photo by itself, for which some photos are embedded one by one for a few
steps: seconds before the first step, and seconds of a step. Seconds are those of `report.clock`.

What is finished is kept in --cache, under a digest of weights, photos and settings: a run that was stopped goes on.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report  # noqa: E402
from i2s import embed, load_generator, load_perceptual  # noqa: E402
from i2s.embedding.preconditioner import inverse_metric  # noqa: E402
from i2s.embedding.presets import preset_settings  # noqa: E402
from i2s.images import load_photos  # noqa: E402
from i2s.files import digest  # noqa: E402

METRIC_IMAGES = inspect.signature(inverse_metric).parameters["count"].default
# gradients' worth of work before the first step: a forward pass alone counts as a third of a gradient
SETUP = dict.fromkeys(("mean", "fast"), math.ceil(METRIC_IMAGES * 4 / 3))
METHODS = {  # name: (preset, changes, words)
    "paper": ("image2stylegan", {}, "Adam, 0.01, from the mean latent (the paper's)"),
    "adam": ("image2stylegan", {"init": "auto", "learning_rate": 0.05}, "Adam, 0.05, from the encoder's code"),
    "mean": ("fast", {"init": "mean"}, "L-BFGS in the metric of the styles, from the mean latent"),
    "fast": ("fast", {}, "L-BFGS in the metric of the styles, from the encoder's code (preset `fast`)"),
}


def run(method: str, photos, generator, perceptual, steps: int) -> dict:
    """{"loss", "perceptual": [steps + 1][N], "seconds": [steps + 1]} of photos in one batch."""
    preset, changes, _ = METHODS[method]
    seconds: list[float] = []
    start = report.clock()

    def look(step):
        seconds.append(report.clock() - start)

    options = {"perceptual": perceptual, "progress": False, "snapshots": 0, "steps": steps} | changes
    result = embed(photos, generator, preset=preset, callback=look, **options)
    loss = sum(result.history.values())  # [steps + 1, N]
    curves = {"loss": loss, "perceptual": loss - result.history["mse"]}
    return {name: [[float(f"{x:.6g}") for x in row] for row in curve.tolist()] for name, curve in curves.items()} | {
        "seconds": [round(x, 4) for x in seconds]
    }


def settings_of(method: str, steps: int) -> str:
    """The name, the steps and a digest of the settings."""
    preset, changes, _ = METHODS[method]
    whole = json.dumps(asdict(replace(preset_settings(preset), **changes)), sort_keys=True).encode()
    return f"{method}-{steps}-{hashlib.sha256(whole).hexdigest()[:8]}"


def kept(file: Path, *arguments) -> dict:
    """What the file holds, or what `run` gives for these arguments, written there."""
    if not file.exists():
        whole = file.with_suffix(".part")
        whole.write_text(json.dumps(run(*arguments)))
        whole.replace(file)
    return json.loads(file.read_text())


def marks(curves: dict, k: int) -> tuple[float, float]:
    """The lowest loss and the lowest perceptual distance of photo k."""
    return tuple(min(row[k] for row in curves[name]) for name in ("loss", "perceptual"))


def reached(curves: dict, k: int, mark: tuple[float, float]) -> int | None:
    """The first step at which photo k is as low as both marks."""
    pairs = zip(curves["loss"], curves["perceptual"])
    return next((s for s, (a, b) in enumerate(pairs) if a[k] <= mark[0] and b[k] <= mark[1]), None)


def times(step: int | None, clock: list[float], alone: tuple[float, float], setup: int) -> dict[str, float]:
    """Evaluations and seconds until a step was compared; infinite when it never came.

    clock: of the batch. alone: (seconds before the first step, of a step) of one photo.
    """
    if step is None:
        return dict.fromkeys(("evaluations", "seconds", "alone"), math.inf)
    return {"evaluations": setup + step + 1, "seconds": clock[step], "alone": alone[0] + step * alone[1]}


def pace(runs: list[dict]) -> tuple[float, float]:
    """Of photos alone: medians of the seconds before the first step, and of a step."""
    first = statistics.median(run["seconds"][0] for run in runs)
    return first, statistics.median(b - a for run in runs for a, b in zip(run["seconds"], run["seconds"][1:]))


def summary(found: list[dict], paper: list[dict]) -> dict:
    """Of one method's `times` of photos: how many arrived, and quartiles of how many times sooner than the paper's."""
    row = {"photos": len(found), "arrived": sum(x["evaluations"] < math.inf for x in found)}
    for what in ("evaluations", "seconds", "alone"):
        row[what] = [_short(x) for x in report.quartiles(x[what] for x in found)]
        ratios = [theirs[what] / ours[what] for ours, theirs in zip(found, paper)]  # 0 when it never arrived
        row[f"{what}, times sooner"] = [_short(x) for x in (min(ratios), *report.quartiles(ratios), max(ratios))]
    return row


def _short(x: float) -> float | None:
    return None if x == math.inf else float(f"{x:.4g}")


def measure(options) -> tuple[dict, dict]:
    """(table, {method: [(curves, k, mark of the paper)]})."""
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

    batches = list(photos.split(options.batch))
    runs: dict[str, list[dict]] = {method: [] for method in METHODS}
    for number, some in enumerate(batches):
        for method in METHODS:
            if method in ("adam", "mean") and number * options.batch >= options.few:
                continue
            file = cache / f"{own[method]}-{options.batch}-{number}.json"
            curves = kept(file, method, some, generator, perceptual, steps[method])
            runs[method].append(curves)
            seconds = curves["seconds"][-1]
            print(f"batch {number + 1} of {len(batches)}, {method}: {steps[method]} steps, {seconds:.0f} s", flush=True)
    alone: dict[str, list[dict]] = {method: [] for method in METHODS}
    for number in range(min(options.alone, len(photos))):
        for method in METHODS:
            one = photos[number : number + 1]
            few = min(options.alone_steps, steps[method])
            file = cache / f"{own[method]}-alone-{few}-{number}.json"
            alone[method].append(kept(file, method, one, generator, perceptual, few))
    paces = {method: pace(runs) for method, runs in alone.items()}

    found: dict[str, list[dict]] = {method: [] for method in METHODS}
    seen: dict[str, list[tuple]] = {method: [] for method in METHODS}
    for method in METHODS:
        for theirs, ours in zip(runs["paper"], runs[method]):
            for k in range(len(theirs["loss"][0])):
                mark = marks(theirs, k)
                step = options.steps if method == "paper" else reached(ours, k, mark)
                found[method].append(times(step, ours["seconds"], paces[method], SETUP.get(method, 0)))
                seen[method].append((ours, k, mark))
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
            m: [{n: _short(x) for n, x in t.items()} | {"photo": f.name} for t, f in zip(v, files)]
            for m, v in found.items()
        },
    }
    return table, seen


def text(table: dict) -> str:
    """The table as Markdown."""
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
paper's steps. Evaluations are of the loss and its gradient, with {SETUP["fast"]} for the metric of the styles.
Batches of {table["batch"]} photos share that, so the seconds in a batch are a little better than alone.

{table["photos"]} photos; {table["generator"]}, weights {table["weights"]}; {table["perceptual"]}.
{table["machine"]}; commit {table["commit"]}.

![curves](time_to_quality.png)
"""


def plot(table: dict, seen: dict, file: Path) -> None:
    """Losses and perceptual distances, as multiples of the marks, against evaluations; times sooner of each photo."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    for axis, name, place in ((axes[0], "loss", 0), (axes[1], "perceptual", 1)):
        for method, photos in seen.items():
            ratios = [[row[k] / mark[place] for row in curves[name]] for curves, k, mark in photos]
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
    options = parser().parse_args(arguments)
    table, seen = measure(options)
    report.write(options.out, "time_to_quality", table, text(table))
    print(text(table))
    plot(table, seen, options.out / "time_to_quality.png")
    return table


if __name__ == "__main__":
    main()
