"""Errors of the generators against the official networks: `python benchmarks/parity.py FOLDER`.

FOLDER holds official weight files and, beside each, an .npz of outputs of the official code. Prints, and with --out
writes, a table of the largest relative errors in float32: of w, of images (with stored noise and without noise), and
of the gradient of an image with respect to the W+ code.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from i2s import load_generator


def largest_error(ours: Tensor, expected: Tensor) -> float:
    """Largest error, relative to the largest value."""
    return float((ours - expected).abs().max() / expected.abs().max())


def errors(file: Path) -> tuple[str, float, float, float]:
    """Measure one weight file: (kind, error of w, of the images, of the gradients)."""
    generator = load_generator(file)
    with np.load(file.with_suffix(".npz")) as arrays:
        expected = {name: torch.from_numpy(arrays[name]) for name in arrays}
    image = gradient = 0.0
    for noise in ("const", "none"):
        w_plus = expected["ws_plus"].clone().requires_grad_()
        ours = generator.synthesis(w_plus, noise)
        (ours * expected["cot"]).sum().backward()
        theirs = expected[f"img_plus_{noise}"]
        image = max(image, largest_error(ours.detach()[: len(theirs)], theirs))
        grad = expected[f"grad_plus_{noise}"]
        gradient = max(gradient, float((w_plus.grad - grad).norm() / grad.norm()))
    w = largest_error(generator.mapping(expected["z"]), expected["w"])
    return generator.kind, w, image, gradient


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = ["| file | network | w | image | gradient |", "|---|---|---|---|---|"]
    for arrays in sorted(options.folder.glob("*.npz")):
        for file in [f for f in arrays.parent.glob(f"{arrays.stem}.p*") if f.suffix in (".pkl", ".pt")]:
            kind, *found = errors(file)
            lines.append(f"| {file.name} | {kind} | " + " | ".join(f"{e:.1e}" for e in found) + " |")
    print("\n".join(lines))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
