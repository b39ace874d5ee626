"""How well, and how fast, photos are embedded: `python benchmarks/embed_quality.py FOLDER --out benchmarks/results`.

All photos of a folder are embedded in W+ and in W with the paper's settings; PSNR, SSIM and the perceptual distance
are reported at several steps as medians, with the seconds of one step. Writes a JSON table and two pictures: six
embeddings beside their photos, and a morph strip.
"""

import argparse
import json
import platform
import subprocess
from pathlib import Path

import torch

from i2s import embed, load_generator, load_perceptual
from i2s.edits import morph
from i2s.images import contact_sheet, load_photos, write_image
from i2s.metrics import psnr, ssim

AT = (100, 300, 1000)


class Keep:
    """Callback: images at the wanted steps."""

    def __init__(self, steps):
        self.steps, self.images, self.seconds = set(steps), {}, {}

    def __call__(self, step):
        if step.step in self.steps:
            self.images[step.step] = step.image.cpu()
            self.seconds[step.step] = step.seconds


def quality(image, target, perceptual) -> dict[str, float]:
    """Medians over the photos."""
    with torch.no_grad():
        ours, theirs = perceptual.features(image.clamp(-1, 1)), perceptual.features(target)
    distance = sum((a - b).square().flatten(1).mean(1) for a, b in zip(ours, theirs))
    middle = lambda values: round(float(torch.as_tensor(values).median()), 4)  # noqa: E731
    return {"psnr": middle(psnr(image, target)), "ssim": middle(ssim(image, target)), "perceptual": middle(distance)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--generator", default=None)
    parser.add_argument("--perceptual", default="slim")
    parser.add_argument("--limit", type=int, default=None, help="only so many photos")
    parser.add_argument("--at", type=int, nargs="+", default=AT)
    parser.add_argument("--at-w", type=int, nargs="+", default=None, help="steps for W, where they differ")
    options = parser.parse_args()

    generator = load_generator(options.generator) if options.generator else load_generator()
    perceptual = load_perceptual(options.perceptual)
    files = sorted(p for p in options.photos.iterdir() if p.suffix.lower() in (".jpg", ".png"))[: options.limit]
    targets = load_photos(files, generator.resolution)
    table = {
        "generator": generator.describe(),
        "perceptual": perceptual.describe(),
        "photos": len(files),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], text=True).strip(),
    }
    results = {}
    for space, at in (("w+", options.at), ("w", options.at_w or options.at)):
        keep = Keep(at)
        results[space] = embed(targets, generator, space=space, steps=max(at), perceptual=perceptual, callback=keep)
        table[space] = {
            str(step): quality(keep.images[step], targets, perceptual) for step in sorted(keep.images)
        } | {"seconds_per_step_of_all": round(results[space].seconds / results[space].steps, 4)}
        print(space, json.dumps(table[space], indent=1))
    keep = Keep([300])
    one = embed(targets[:1], generator, steps=300, perceptual=perceptual, callback=keep)
    table["one photo, 300 steps, seconds"] = round(one.seconds, 2)

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "embed_quality.json").write_text(json.dumps(table, indent=1) + "\n")
    print(json.dumps(table, indent=1))
    plus = results["w+"]
    six = list(range(0, len(files), max(1, len(files) // 6)))[:6]
    pairs = [picture for k in six for picture in (targets[k], plus.image[k])]
    write_image(contact_sheet(pairs, columns=4, labels=["photo", "W+"] * len(six)), options.out / "six_embeddings.png")
    codes = morph(plus.w_plus[six[-1]], plus.w_plus[six[0]], torch.linspace(0, 1, 8))
    with torch.no_grad():
        strip = generator.synthesis(codes.to(generator.device)).cpu()
    write_image(contact_sheet(list(strip), columns=8), options.out / "morph_strip.png")


if __name__ == "__main__":
    main()
