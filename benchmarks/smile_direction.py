"""Does W+ have a direction of smiling? `python benchmarks/smile_direction.py FOLDER --out benchmarks/results`.

FOLDER holds people as NAME-neutral.jpg and NAME-smiling.jpg. All are embedded in W+ as those of lesson 5 are
(`training.people`); a direction is the mean difference, smiling minus neutral, of all others. For each person left
out: does the smile move the code along the direction, and does the direction, added to the neutral code, bring the
image nearer to the smiling photo? Random faces moved along the mean direction are written as a contact sheet.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from i2s import load_generator
from i2s.figures import contact_sheet
from i2s.generators.base import Generator
from i2s.images import load_photos, write_image
from i2s.metrics import psnr
from training.people import embed_people


def leave_one_out(differences: Tensor) -> Tensor:
    """Cosine of each person's difference [P, num_ws, w_dim] with the mean of the others': [P]."""
    flat = differences.flatten(1)
    others = (flat.sum(0) - flat) / (len(flat) - 1)
    return torch.cosine_similarity(flat, others, dim=1)


def swap_at_random(neutral: Tensor, smiling: Tensor, times: int = 200, seed: int = 0) -> Tensor:
    """Mean of `leave_one_out` where each person's two codes are swapped at random, [times]: the null hypothesis."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(times):
        sign = torch.randint(2, (len(neutral), 1, 1), generator=rng) * 2.0 - 1
        found.append(leave_one_out((smiling - neutral) * sign).mean())
    return torch.stack(found)


@torch.no_grad()
def gain(generator: Generator, neutral: Tensor, smiling: Tensor, photos: Tensor) -> Tensor:
    """Gain of PSNR to the smiling photo by the others' mean smile, added to a person's neutral code: [P], dB."""
    differences = smiling - neutral
    others = (differences.sum(0) - differences) / (len(neutral) - 1)
    before, after = (psnr(generator.synthesis(codes), photos) for codes in (neutral, neutral + others))
    return after - before


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--limit", type=int, default=None, help="only so many people")
    options = parser.parse_args()

    generator = load_generator()
    people = embed_people(options.photos, generator, options.limit)
    neutral, smiling = people.neutral, people.smiling
    photos = load_photos(sorted(options.photos.glob("*-smiling.jpg"))[: options.limit], generator.resolution)
    cosines, chance = leave_one_out(smiling - neutral), swap_at_random(neutral, smiling)
    nearer = gain(generator, neutral, smiling, photos)
    table = {
        "generator": generator.describe(),
        "people": len(neutral),
        "cosine with the others' mean, median": round(cosines.median().item(), 3),
        "people whose smile goes the others' way": f"{int((cosines > 0).sum())} of {len(neutral)}",
        "mean cosine": round(cosines.mean().item(), 3),
        "mean cosine, signs at random, 95th percentile": round(chance.quantile(0.95).item(), 3),
        "whom the others' smile brings nearer to their own": f"{int((nearer > 0).sum())} of {len(neutral)}",
        "by dB, median": round(nearer.median().item(), 2),
    }
    print(json.dumps(table, indent=1))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "smile_direction.json").write_text(json.dumps(table, indent=1) + "\n")

    direction = (smiling - neutral).mean(0)  # [num_ws, w_dim]
    faces = generator.mapping(generator.sample_z(6, seed=2), truncation_psi=0.7)
    amounts = [-1.0, 0.0, 0.75, 1.5, 2.25]
    with torch.no_grad():
        rows = torch.cat([generator.synthesis(torch.stack([face + a * direction for a in amounts])) for face in faces])
    labels = [f"{a:+g}" for a in amounts] * len(faces)
    title = "Random faces, n times the mean smile"
    write_image(contact_sheet(rows, columns=len(amounts), labels=labels, title=title), options.out / "smile.jpg")


if __name__ == "__main__":
    main()
