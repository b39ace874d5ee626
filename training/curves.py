"""Draw the curves of a run: `python -m training.curves --run runs/cpu-64 --out curves.png`."""

import argparse
import io
import json
import sys
from pathlib import Path

from i2s.errors import I2SError, SettingsError
from i2s.files import write_atomically

# what is drawn together: title, terms of the log, whether the scale is logarithmic
PANELS = (
    ("losses of the game", ("g", "d"), False),
    ("reconstruction", ("reconstruction",), False),
    ("discriminator: sign of D(real), strength of augmentation", ("sign", "augment"), False),
    ("R1 and path length penalty", ("r1", "path"), True),
    ("Frechet distance", ("frechet",), True),
    ("precision and recall", ("precision", "recall"), False),
)
COLOURS = ("#0072B2", "#D55E00")
PHASE_COLOURS = {"autoencode": "#F0E442", "adversarial": "#56B4E9"}


def read_log(path: str | Path) -> list[dict]:
    """The lines of a run's log.jsonl, oldest first, without what a killed sitting had reached and the next repeated.

    SettingsError when there is none, or when it holds no line.
    """
    try:
        texts = Path(path).read_text().splitlines()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}): give the folder of a run.") from error
    kept: list[dict] = []  # in the order of (images, report before metric)
    for text in texts:
        try:
            line = json.loads(text)
            at, metric = line["total_kimg"], line["phase"] == "metric"
        except (ValueError, KeyError, TypeError):
            continue  # half a line: killed while writing
        kept = [k for k in kept if (k["total_kimg"], k["phase"] == "metric") < (at, metric)] + [line]
    if not kept:
        raise SettingsError(f"{path} holds no line of a run: train first.")
    return kept


def draw(lines: list[dict], title: str, halves: float | None = None) -> bytes:
    """A PNG of all panels that have something to show, over thousands of images.

    halves: Frechet distance of two halves of the real faces, drawn as the line to reach.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [p for p in PANELS if any(term in line for line in lines for term in p[1])]
    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(12, 3.2 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for place, (name, terms, logarithmic) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, 2, place)
        for term, colour in zip(terms, COLOURS):
            points = [(line["total_kimg"], line[term]) for line in lines if term in line]
            points = [(x, y) for x, y in points if not logarithmic or y > 0]
            if points:
                axes.plot(*zip(*points), color=colour, label=term, marker="." if len(points) < 40 else None)
        if halves and "frechet" in terms:
            axes.axhline(halves, color="#009E73", linestyle="--", label="two halves of the real faces")
        axes.set_title(name, fontsize=11)
        axes.set_xlabel("thousand images, all phases")
        axes.set_yscale("log" if logarithmic else "linear")
        axes.grid(alpha=0.3)
        for phase, colour in PHASE_COLOURS.items():
            at = [line["total_kimg"] for line in lines if line["phase"] == phase]
            if at:
                axes.axvspan(min(at), max(at), color=colour, alpha=0.12, label=phase)
        axes.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def summary(lines: list[dict]) -> str:
    """One line: how far, how fast, how good."""
    last = lines[-1]
    text = f"{last['total_kimg']:.0f} thousand images"
    speeds = [line["images_per_second"] for line in lines if "images_per_second" in line]
    text += f", {min(speeds):.0f} to {max(speeds):.0f} images/s" if speeds else ""
    scores = [line["frechet"] for line in lines if "frechet" in line]
    return text + (f", Frechet distance {scores[-1]:.0f} (best {min(scores):.0f})" if scores else ", not measured yet")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.curves", description=__doc__.split(":")[0] + ".")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--halves", type=float, help="Frechet distance of two halves of the real faces, for scale")
    options = parser.parse_args(arguments)
    try:
        lines = read_log(options.run / "log.jsonl")
        write_atomically(options.out, draw(lines, f"Training of {options.run.name}", options.halves))
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: {summary(lines)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
