"""Measure a generator and draw its sheets.

    python -m training.evaluate --generator data/faces-64.safetensors --faces faces.zip \
        --features squeezenet.safetensors --judge vgg19.safetensors --out runs/evaluation

Writes `metrics.json`, the same as tables for the model card in `metrics.md`, and five PNG sheets to look at.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from i2s.errors import I2SError
from i2s.files import ensure_dir, write_atomically
from i2s.generators import load_generator
from i2s.images import write_image
from training import sheets
from training.dataset import load_faces
from training.features import VGG19, SqueezeNet
from training.layer_effects import layer_effects
from training.metrics import (
    LEAST_FACES,
    blurred,
    compare,
    embed_faces,
    frechet_distance,
    halves_distance,
    nearest_faces,
    path_length,
    sample_images,
)

PSI = (1.0, 0.7)
BLURS = (0.5, 1.0)  # px


def evaluate(generator, faces: Tensor, features, out: Path, judges: dict, samples: int = 5000, report=print) -> dict:
    """All numbers of the report, as `metrics.json` holds them; the sheets are written on the way.

    faces: uint8 [M, 3, R, R] in the generator's resolution. features: SqueezeNet. judges: {name: judge} of the Frechet
    distance and of precision and recall, each beside what it says of the real faces themselves.
    """
    found: dict = {"generator": generator.describe(), "faces": len(faces), "samples": samples}
    generated = {f"psi {psi:g}": sample_images(generator, samples, psi) for psi in PSI}
    report("samples are drawn")
    for name, judge in judges.items():
        real = embed_faces(faces, judge, generator.device)
        scores = {}
        for which, images in generated.items():
            scores[which] = compare(real, embed_faces(images, judge, generator.device))
        scale = {"two halves of the real faces": halves_distance(real)}
        for sigma in BLURS:
            soft = embed_faces(blurred(faces, sigma), judge, generator.device)
            scale[f"real faces blurred, {sigma:g} px"] = frechet_distance(real.numpy(), soft.numpy())
        found[name] = scores | {"scale": {what: round(value, 1) for what, value in scale.items()}}
        report(f"{name}: {json.dumps(found[name])}")
    count = min(1000, samples)
    found["path length"] = {s: round(path_length(generator, features, count, s), 1) for s in ("w", "z")}
    report(f"path length: {json.dumps(found['path length'])}")
    found["layers"] = layer_effects(generator)
    report(f"layers: {json.dumps(found['layers'])}")
    found["nearest"] = _nearest(generated["psi 1"][:16], faces, features, out, generator.device)
    report(f"nearest: {json.dumps(found['nearest'])}")
    for psi in PSI:
        write_image(sheets.samples_sheet(generator, psi), out / f"samples-psi-{psi:g}.png")
    write_image(sheets.mixing_sheet(generator), out / "style-mixing.png")
    write_image(sheets.interpolation_sheet(generator), out / "interpolation.png")
    return found


def _nearest(samples: Tensor, faces: Tensor, features, out: Path, device: torch.device) -> dict:
    """How near the training faces are to samples, beside how near they are to each other."""
    distances, rows = nearest_faces(samples, faces, features, device=device)
    write_image(sheets.neighbours_sheet(samples, faces, distances, rows), out / "neighbours.png")
    some = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))[:64]
    others, _ = nearest_faces(faces[some], faces, features, k=2, device=device)  # the first is the face itself
    return {
        "samples": [round(d, 3) for d in distances[:, 0].tolist()],
        "samples, median": round(distances[:, 0].median().item(), 3),
        "samples, least": round(distances[:, 0].min().item(), 3),
        "real faces, median": round(others[:, 1].median().item(), 3),
        "real faces, least": round(others[:, 1].min().item(), 3),
    }


def markdown(found: dict) -> str:
    """The numbers as tables for a model card."""
    lines = []
    for name in [name for name, part in found.items() if isinstance(part, dict) and "scale" in part]:
        lines += [f"| {name} | Frechet distance | precision | recall |", "|---|---|---|---|"]
        for which in [which for which in found[name] if which != "scale"]:
            s = found[name][which]
            lines.append(f"| samples, {which} | {s['frechet']:,.0f} | {s['precision']:.2f} | {s['recall']:.2f} |")
        lines += [f"| {what} | {value:,.0f} | | |" for what, value in found[name]["scale"].items()]
        lines.append("")
    aspects = list(found["layers"]["coarse"])
    lines += [f"| rows | {' | '.join(aspects)} |", "|---" * (1 + len(aspects)) + "|"]
    for group, shares in found["layers"].items():
        lines.append(f"| {group} | " + " | ".join(f"{shares[a]:.2f}" for a in aspects) + " |")
    near = found["nearest"]
    lines += [
        "",
        f"Perceptual path length: {found['path length']['w']:,.0f} in W, {found['path length']['z']:,.0f} in Z.",
        f"Distance of 16 samples to the nearest training face: median {near['samples, median']:.2f}, least "
        f"{near['samples, least']:.2f}; of real faces to the nearest other one: median "
        f"{near['real faces, median']:.2f}, least {near['real faces, least']:.2f}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--generator", required=True, help="file, or name of the catalog")
    parser.add_argument("--faces", type=Path, required=True, help="zip of the training faces")
    parser.add_argument("--features", type=Path, required=True, help="SqueezeNet 1.1 weights (safetensors)")
    parser.add_argument("--judge", type=Path, help="VGG-19 weights: a second judge, unknown to the training")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    if options.samples < 64:
        parser.error("--samples is at least 64")
    try:
        features = SqueezeNet(options.features)
        judges = {"SqueezeNet": features} | ({"VGG-19": VGG19(options.judge)} if options.judge else {})
        generator = load_generator(options.generator, options.device)
        faces = load_faces(options.faces, generator.resolution, LEAST_FACES)
        judges = {name: judge.to(options.device) for name, judge in judges.items()}
        say = lambda text: print(text, flush=True)  # noqa: E731
        ensure_dir(options.out)
        found = evaluate(generator, faces, features, options.out, judges, options.samples, say)
        write_atomically(options.out / "metrics.json", json.dumps(found, indent=1).encode())
        write_atomically(options.out / "metrics.md", markdown(found).encode())
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
