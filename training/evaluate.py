"""Measure a generator: metrics, tables and contact sheets.

    python -m training evaluate --generator data/faces-64.safetensors --faces faces.zip \
        --features squeezenet.safetensors --vgg vgg19.safetensors --identity models/ --out runs/evaluation

Writes `metrics.json`, the same as tables for the model card in `metrics.md`, and five contact sheets.
"""

import argparse
import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from i2s.course.lesson01 import layer_effects, layer_groups
from i2s.files import ensure_dir, write_atomically
from i2s.generators import load_generator
from i2s.generators.base import Generator
from i2s.images import write_image
from training import sheets
from training.dataset import load_faces
from training.features import VGG19, FeatureNet, SqueezeNet
from training.identity import Identity
from training.metrics import (
    MIN_FACES,
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
MIN_SAMPLES = 64


def evaluate(
    generator: Generator,
    faces: Tensor,
    feature_net: FeatureNet,
    out: Path,
    metric_nets: dict[str, FeatureNet],
    samples: int = 5000,
    report: Callable[[str], None] = print,
) -> dict:
    """Measure a generator and write the contact sheets.

    Args:
        generator: The generator.
        faces: Training faces, uint8 [M, 3, R, R] in its resolution.
        feature_net: Of path length and nearest faces.
        out: Folder of the sheets.
        metric_nets: Feature extractors, by name, of Frechet distance, precision and recall.
        samples: Number of generated images.
        report: Called with lines of text.

    Returns:
        All numbers, as `metrics.json` holds them; each metric beside its value for the real faces themselves.
    """
    found: dict = {"generator": generator.describe(), "faces": len(faces), "samples": samples}
    generated = {f"psi {psi:g}": sample_images(generator, samples, psi) for psi in PSI}
    report("samples are drawn")

    # Frechet distance, precision, recall
    for name, net in metric_nets.items():
        real = embed_faces(faces, net, generator.device)
        scores = {}
        for which, images in generated.items():
            scores[which] = compare(real, embed_faces(images, net, generator.device))
        scale = {"two halves of the real faces": halves_distance(real)}
        for sigma in BLURS:
            soft = embed_faces(blurred(faces, sigma), net, generator.device)
            scale[f"real faces blurred, {sigma:g} px"] = frechet_distance(real.numpy(), soft.numpy())
        found[name] = scores | {"scale": {what: round(value, 1) for what, value in scale.items()}}
        report(f"{name}: {json.dumps(found[name])}")

    # Path length, layers, nearest faces
    count = min(1000, samples)
    found["path length"] = {s: round(path_length(generator, feature_net, count, s), 1) for s in ("w", "z")}
    report(f"path length: {json.dumps(found['path length'])}")
    found["layers"] = layer_effects(generator)
    report(f"layers: {json.dumps(found['layers'])}")
    found["nearest"] = _nearest(generated["psi 1"][:16], faces, feature_net, out, generator.device)
    report(f"nearest: {json.dumps(found['nearest'])}")

    # Contact sheets
    for psi in PSI:
        write_image(sheets.samples_sheet(generator, psi), out / f"samples-psi-{psi:g}.png")
    write_image(sheets.mixing_sheet(generator, layer_groups(generator.resolution)), out / "style-mixing.png")
    write_image(sheets.interpolation_sheet(generator), out / "interpolation.png")
    return found


def _nearest(samples: Tensor, faces: Tensor, feature_net: FeatureNet, out: Path, device: torch.device) -> dict:
    """Distances of samples to the nearest training faces, beside those of the faces to each other."""
    distances, rows = nearest_faces(samples, faces, feature_net, device=device)
    write_image(sheets.neighbours_sheet(samples, faces, distances, rows), out / "neighbours.png")
    some = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))[:64]
    others, _ = nearest_faces(faces[some], faces, feature_net, k=2, device=device)  # the first is the face itself
    return {
        "samples": [round(d, 3) for d in distances[:, 0].tolist()],
        "samples, median": round(distances[:, 0].median().item(), 3),
        "samples, least": round(distances[:, 0].min().item(), 3),
        "real faces, median": round(others[:, 1].median().item(), 3),
        "real faces, least": round(others[:, 1].min().item(), 3),
    }


def markdown(found: dict) -> str:
    """Format the numbers as tables for a model card."""
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


def sample_count(text: str) -> int:
    """Parse a number of samples."""
    if (value := int(text)) < MIN_SAMPLES:
        raise argparse.ArgumentTypeError(f"{text} is less than {MIN_SAMPLES}")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--generator", required=True, help="file, or name of the catalog")
    parser.add_argument("--faces", type=Path, required=True, help="zip of the training faces")
    parser.add_argument("--features", type=Path, required=True, help="SqueezeNet 1.1 weights (safetensors)")
    parser.add_argument("--vgg", type=Path, help="VGG-19 weights: the metrics in its features too")
    parser.add_argument("--identity", type=Path, help="folder of dlib's two files: the metrics in its features too")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--samples", type=sample_count, default=5000, help="generated images (default 5000)")
    parser.add_argument("--device", default="cpu", help="where to compute (default cpu)")


def run(options: argparse.Namespace) -> int:
    """Measure and write the report; the exit code."""
    squeezenet = SqueezeNet(options.features)
    metric_nets = {"SqueezeNet": squeezenet} | ({"VGG-19": VGG19(options.vgg)} if options.vgg else {})
    if options.identity:
        metric_nets["identity"] = Identity(options.identity)
    generator = load_generator(options.generator, options.device)
    faces = load_faces(options.faces, generator.resolution, MIN_FACES)
    metric_nets = {name: net.to(options.device) for name, net in metric_nets.items()}
    ensure_dir(options.out)
    report = functools.partial(print, flush=True)
    found = evaluate(generator, faces, squeezenet, options.out, metric_nets, options.samples, report)
    write_atomically(options.out / "metrics.json", json.dumps(found, indent=1).encode())
    write_atomically(options.out / "metrics.md", markdown(found).encode())
    return 0
