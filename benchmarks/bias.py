"""Quality of embeddings by group of people: `python benchmarks/bias.py FOLDER --out benchmarks/results`.

FOLDER holds PERSON-neutral.jpg of people of the Face Research Lab London Set; `london_labels.csv` has the age, gender
and ethnicity that the people stated themselves (DeBruine and Jones 2017, CC BY 4.0). Each photo is given its code by
the encoder in one pass, and embedded in W+ from the mean latent. The table has the median of each group: PSNR,
perceptual distance, and, where dlib is installed (`--identity`, see training/identity.py), the distance of the identity
descriptors of photo and image, which is below .6 for photos of one person.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report
from benchmarks.embed_quality import perceptual_distance
from i2s import embed, load_generator, load_perceptual
from i2s.encoder import load_encoder
from i2s.images import load_photos
from i2s.metrics import psnr
from training.identity import Identity

LABELS = Path(__file__).with_name("london_labels.csv")
AGES = ((0, 25), (26, 35), (36, 99))
BATCH = 8


def groups(person: dict[str, str]) -> list[str]:
    """Name the groups that a person belongs to; no age where none was stated."""
    names = ["all", person["gender"], person["ethnicity"].replace("_", " ")]
    if person["age"]:
        low, high = next(span for span in AGES if span[0] <= int(person["age"]) <= span[1])
        names.append(f"{max(low, 18)} to {high} years" if high < 99 else f"{low} years and over")
    return names


def qualities(image: Tensor, photo: Tensor, perceptual: nn.Module, identity: Identity | None) -> dict[str, Tensor]:
    """PSNR, perceptual distance and, if a judge is given, identity distance of each image [N, 3, R, R]: [N] each."""
    found = {"psnr": psnr(image, photo), "perceptual": perceptual_distance(image, photo, perceptual)}
    if identity is not None:
        found["identity"] = (identity.describe(image)[0] - identity.describe(photo)[0]).norm(dim=1)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--identity", type=Path, help="folder of dlib's two files")
    options = parser.parse_args(arguments)

    generator, encoder, perceptual = load_generator(), load_encoder(), load_perceptual("slim")
    identity = Identity(options.identity) if options.identity else None
    people = {row["person"]: row for row in csv.DictReader(LABELS.open(encoding="utf-8"))}
    files = [options.photos / f"{person}-neutral.jpg" for person in people]

    # Each photo by both ways
    found: dict[str, dict[str, list[float]]] = {"encoder": {}, "w+": {}}
    for start in range(0, len(files), BATCH):
        photos = load_photos(files[start : start + BATCH], generator.resolution)
        with torch.no_grad():
            codes = encoder(photos)[:, None].repeat(1, generator.num_ws, 1)
            images = {"encoder": generator.synthesis(codes)}
        images["w+"] = embed(photos, generator, steps=options.steps, perceptual=perceptual, init="mean").image
        for way, image in images.items():
            for name, values in qualities(image, photos, perceptual, identity).items():
                found[way].setdefault(name, []).extend(values.tolist())
        print(f"{min(start + BATCH, len(files))} of {len(files)} photos", flush=True)

    # Medians of the groups
    members: dict[str, list[int]] = {}
    for row, file in enumerate(files):
        for name in groups(people[file.stem.removesuffix("-neutral")]):
            members.setdefault(name, []).append(row)
    table = {"machine": report.machine(), "generator": generator.describe(), "steps": options.steps, "groups": {}}
    for name, rows in sorted(members.items(), key=lambda item: -len(item[1])):
        entry: dict = {"people": len(rows)}
        for way, values in found.items():
            entry[way] = {
                quality: round(torch.tensor([all_of[row] for row in rows]).median().item(), 3)
                for quality, all_of in values.items()
            }
        table["groups"][name] = entry
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bias.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(table["groups"], indent=1))


if __name__ == "__main__":
    main()
