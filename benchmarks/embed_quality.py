"""Quality and speed of embeddings: `python benchmarks/embed_quality.py FOLDER --out benchmarks/results`.

All photos of a folder are embedded in W+ and in W with the paper's settings. The medians of PSNR, SSIM and perceptual
distance at several steps, and the seconds of one step, are written as JSON, with two images: six embeddings beside
their photos, and a morph. With several generators, a table for each.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report
from i2s import EmbedResult, embed, load_generator, load_perceptual
from i2s.edits import morph
from i2s.embedding import Step
from i2s.figures import contact_sheet
from i2s.generators.base import Generator
from i2s.images import load_photos, write_image
from i2s.metrics import psnr, ssim

AT = (100, 300, 1000)


class Snapshots:
    """Callback that keeps the images of some steps."""

    def __init__(self, steps: Iterable[int]) -> None:
        self.steps = set(steps)
        self.images: dict[int, Tensor] = {}  # step: [N, 3, R, R]

    def __call__(self, step: Step) -> None:
        if step.step in self.steps:
            self.images[step.step] = step.image.cpu()


def perceptual_distance(image: Tensor, target: Tensor, perceptual: nn.Module) -> Tensor:
    """Sum of the mean squared differences of the feature maps of images [N, 3, R, R]: [N]."""
    with torch.no_grad():
        ours, theirs = perceptual.features(image.clamp(-1, 1)), perceptual.features(target)
    return sum((a - b).square().flatten(1).mean(1) for a, b in zip(ours, theirs))


def quality(image: Tensor, target: Tensor, perceptual: nn.Module) -> dict[str, float]:
    """Median quality of images [N, 3, R, R] over the photos."""
    distance = perceptual_distance(image, target, perceptual)
    values = {"psnr": psnr(image, target), "ssim": ssim(image, target), "perceptual": distance}
    return {name: round(float(torch.as_tensor(value).median()), 4) for name, value in values.items()}


def measure(
    generator: Generator, files: list[Path], perceptual: nn.Module, options: argparse.Namespace
) -> tuple[dict, EmbedResult]:
    """Return the table of one generator, and its embeddings in W+."""
    targets = load_photos(files, generator.resolution)
    table = {"generator": generator.describe(), "perceptual": perceptual.describe(), "photos": len(files)}
    table |= {"machine": report.machine(), "commit": report.commit()}
    results = {}
    for space, at in (("w+", options.at), ("w", options.at_w or options.at)):
        snapshots = Snapshots(at)
        results[space] = embed(
            targets, generator, space=space, steps=max(at), perceptual=perceptual, callback=snapshots
        )
        table[space] = {str(step): quality(image, targets, perceptual) for step, image in snapshots.images.items()}
        table[space]["seconds_per_step_of_all"] = round(results[space].seconds / results[space].steps, 4)
    one = embed(targets[:1], generator, steps=max(options.at), perceptual=perceptual)
    table[f"one photo, {max(options.at)} steps, seconds"] = round(one.seconds, 2)
    print(json.dumps(table, indent=1), flush=True)
    return table, results["w+"]


def write_images(plus: EmbedResult, generator: Generator, folder: Path) -> None:
    """Write six photos beside their embeddings, and a morph between the first and the last of them."""
    count = len(plus.w_plus)
    six = list(range(0, count, max(1, count // 6)))[:6]
    pairs = [image for k in six for image in (plus.target[k], plus.image[k])]
    write_image(contact_sheet(pairs, columns=4, labels=["photo", "W+"] * len(six)), folder / "six_embeddings.jpg")
    codes = morph(plus.w_plus[six[-1]], plus.w_plus[six[0]], torch.linspace(0, 1, 8))
    with torch.no_grad():
        strip = generator.synthesis(codes.to(generator.device)).cpu()
    write_image(contact_sheet(list(strip), columns=8), folder / "morph_strip.jpg")


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    parser.add_argument("--name", default="embed_quality", help="of the table")
    parser.add_argument("--generator", nargs="+", default=["faces-64"], help="several: a table for each")
    parser.add_argument("--perceptual", default="slim")
    parser.add_argument("--limit", type=int, default=None, help="only so many photos")
    parser.add_argument("--at", type=int, nargs="+", default=AT)
    parser.add_argument("--at-w", type=int, nargs="+", default=None, help="steps for W, where they differ")
    options = parser.parse_args(arguments)

    perceptual = load_perceptual(options.perceptual)
    files = report.photos(options.photos, options.limit)
    tables = {}
    for name in options.generator:
        generator = load_generator(name)
        tables[Path(name).stem], plus = measure(generator, files, perceptual, options)
    options.out.mkdir(parents=True, exist_ok=True)
    result = tables if len(tables) > 1 else next(iter(tables.values()))
    (options.out / f"{options.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    write_images(plus, generator, options.out)


if __name__ == "__main__":
    main()
