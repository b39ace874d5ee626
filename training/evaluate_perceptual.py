"""Measure the slim perceptual network against its teachers: ranks of held-out pairs, and descent along its gradient.

    python -m training evaluate-perceptual --teachers DIR --faces faces.zip --photos DIR --out runs/perceptual

Writes `evaluation.json`, the tables of the model card as `evaluation.md`, and two contact sheets.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from i2s.figures import contact_sheet
from i2s.files import ensure_dir, write_atomically
from i2s.images import load_photos, to_uint8, write_image
from i2s.losses import TAP_NAMES
from i2s.losses.slim import SlimNet, load_slim, training_metadata
from training import distortions
from training.dataset import load_faces
from training.distill_perceptual import HELD_OUT_FACES, distances
from training.features import Teachers

SIZES = (64, 96, 128)


@dataclass(frozen=True)
class PairDistances:
    """Distances of P pairs of images, by teacher and student."""

    sources: list[str]  # where the images come from
    kinds: list[str]  # of distortion
    sizes: list[int]  # px
    teacher: Tensor  # [taps, P]
    student: Tensor  # [taps, P]
    mse: Tensor  # of the pixels, [P]
    images: list[Tensor]  # each [2, 3, S, S]

    def __len__(self) -> int:
        return len(self.kinds)


@torch.no_grad()
def measure_pairs(
    student: SlimNet,
    teachers: Teachers,
    units: Tensor,
    sources: dict[str, Callable[[int, int, torch.Generator], Tensor]],
    count: int,
    sizes: Sequence[int] = SIZES,
    seed: int = 1,
) -> PairDistances:
    """Measure pairs of every source, kind of distortion and size, from the faintest to the strongest distortion.

    Args:
        student: The slim network.
        teachers: Its teachers.
        units: Divisors of the teachers' taps [taps].
        sources: Functions (count, size, rng) -> images, by name.
        count: Pairs of each source, kind and size.
        sizes: In px.
        seed: Of all random numbers.
    """
    rng = torch.Generator().manual_seed(seed)
    labels = []  # (source, kind, size) of each pair
    teacher_distances = []
    student_distances = []
    mse = []
    images = []
    for name, draw in sources.items():
        for kind in distortions.DISTORTIONS:
            for size in sizes:
                a = draw(count, size, rng)
                b = distortions.distort(kind, a, torch.linspace(0, 1, count), rng)
                teacher_distances.append(distances(teachers(a), teachers(b)) / units[:, None])  # [taps, count]
                student_distances.append(distances(student.features(a), student.features(b)))
                mse.append(distances([a], [b])[0])
                images += list(torch.stack([a, b], dim=1))
                labels += [(name, kind, size)] * count
    return PairDistances(
        *map(list, zip(*labels)),
        torch.cat(teacher_distances, dim=1),
        torch.cat(student_distances, dim=1),
        torch.cat(mse),
        images,
    )


def correlations(found: PairDistances) -> dict[str, dict[str, float]]:
    """Correlate the student's distances with the teacher's: {group: {measure: value}}.

    The distance is the sum of the four taps, for groups of pairs, and each tap's own over all pairs. Pixels alone tell
    a strong distortion from a faint one: "mse spearman" is the rank correlation of their squared difference with the
    teacher, and "spearman per mse" that of student and teacher when both are divided by it: what the network adds.
    """

    def row(chosen: list[int], taps: slice = slice(None)) -> dict[str, float]:
        x, y = (d[taps][:, chosen].sum(dim=0).double().numpy() for d in (found.teacher, found.student))
        logs = torch.tensor(x).log().numpy(), torch.tensor(y).log().numpy()
        values = {"spearman": spearmanr(x, y), "pearson": pearsonr(x, y), "pearson of logarithms": pearsonr(*logs)}
        mse = found.mse[chosen].double().numpy()
        values |= {"spearman per mse": spearmanr(x / mse, y / mse), "mse spearman": spearmanr(x, mse)}
        return {"pairs": len(chosen)} | {name: round(float(value.statistic), 4) for name, value in values.items()}

    table = {"all pairs": row(list(range(len(found))))}
    for label, keys in (("", found.kinds), ("", found.sources), (" px", found.sizes)):
        for key in dict.fromkeys(keys):
            table[f"{key}{label}"] = row([k for k, value in enumerate(keys) if value == key])
    for k, tap in enumerate(TAP_NAMES):
        table[f"tap {tap}"] = row(list(range(len(found))), slice(k, k + 1))
    return table


def optimize_pixels(
    student: SlimNet, start: Tensor, target: Tensor, steps: int = 200, learning_rate: float = 0.02
) -> Tensor:
    """Optimise the pixels of `start` by Adam towards `target`, in the student's distance; both [N, 3, H, W]."""
    wanted = student.features(target)
    image = start.clone().requires_grad_()
    adam = torch.optim.Adam([image], lr=learning_rate)
    for _ in range(steps):
        adam.zero_grad()
        distances(student.features(image), wanted).sum().backward()
        adam.step()
        with torch.no_grad():
            image.clamp_(-1, 1)
    return image.detach()


def measure_descents(
    student: SlimNet, teachers: Teachers, units: Tensor, faces: Tensor, steps: int = 200, seed: int = 2
) -> tuple[dict, Tensor]:
    """Measure distances and pixels before and after `optimize_pixels`, from three starts.

    Returns:
        Medians, by start, and images for a contact sheet of six columns.
    """
    rng = torch.Generator().manual_seed(seed)
    target = distortions.face_crops(faces, 6, 64, rng)
    starts = {kind: distortions.distort(kind, target, torch.full((6,), 0.9), rng) for kind in ("blur", "other")}
    starts["grey"] = torch.zeros_like(target)
    table = {}
    images = [target]
    for name, start in starts.items():
        end = optimize_pixels(student, start, target, steps)
        table[name] = {}
        for moment, pixels in (("before", start), ("after", end)):
            with torch.no_grad():
                teacher = (distances(teachers(pixels), teachers(target)) / units[:, None]).sum(dim=0)
                slim = distances(student.features(pixels), student.features(target)).sum(dim=0)
            mse = ((pixels - target) / 2).square().mean(dim=(1, 2, 3))
            for measure, value in (("teacher", teacher), ("slim", slim), ("mse", mse)):
                table[name][f"{measure} {moment}"] = round(float(value.median()), 5)
        images += [start, end]
    return table, torch.cat(images)


def ranked_pairs(found: PairDistances, count: int = 40, seed: int = 3) -> list[tuple[Tensor, str]]:
    """Choose pairs of the smallest size, in the teacher's order: (both images, "kind rank / rank of the student")."""
    chosen = [k for k, size in enumerate(found.sizes) if size == min(found.sizes)]
    chosen = [chosen[i] for i in torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:count]]
    teacher, student = (d[:, chosen].sum(dim=0).argsort().argsort().tolist() for d in (found.teacher, found.student))
    order = sorted(range(len(chosen)), key=teacher.__getitem__)
    labels = [f"{found.kinds[chosen[k]]} {teacher[k] + 1} / {student[k] + 1}" for k in order]
    return [(torch.cat(list(found.images[chosen[k]]), dim=2), label) for k, label in zip(order, labels)]


def markdown(table: dict[str, dict]) -> str:
    """Format rows of numbers as a Markdown table."""
    columns = list(next(iter(table.values())))
    rows = [["", *columns], ["---"] * (len(columns) + 1), *([name, *row.values()] for name, row in table.items())]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--teachers", type=Path, required=True, help="folder of the teachers' two safetensors files")
    parser.add_argument("--faces", type=Path, required=True, help="the zip of faces of the distillation")
    parser.add_argument("--photos", type=Path, help="folder of other face photos, never trained on")
    parser.add_argument("--net", type=Path, help="the network's file (default: the shipped one)")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and contact sheets")
    parser.add_argument("--count", type=int, default=16, help="strengths of each distortion (default 16)")


def run(options: argparse.Namespace) -> int:
    """Measure and write the report; the exit code."""
    ensure_dir(options.out)
    student = load_slim(options.net)
    teachers = Teachers(options.teachers)
    units = torch.tensor(training_metadata(options.net)["units"])

    # Held-out images
    faces = load_faces(options.faces, 128, least=HELD_OUT_FACES)[-HELD_OUT_FACES:]
    photographs = distortions.photographs(distortions.HELD_OUT_PHOTOGRAPHS)
    sources = {
        "held-out faces": lambda n, size, rng: distortions.face_crops(faces, n, size, rng),
        "held-out textures": lambda n, size, rng: distortions.texture_crops(photographs, n, size, rng),
    }
    if options.photos:
        files = sorted(p for p in options.photos.glob("*") if p.suffix.lower() in (".jpg", ".png"))
        photos = torch.from_numpy(to_uint8(load_photos(files, 256))).permute(0, 3, 1, 2)
        sources["other photos"] = lambda n, size, rng: distortions.face_crops(photos, n, size, rng)

    # Measurements
    found = measure_pairs(student, teachers, units, sources, options.count)
    table = correlations(found)
    descent, images = measure_descents(student, teachers, units, faces)

    # Report
    tables = f"{markdown(table)}\n\n{markdown(descent)}\n"
    numbers = json.dumps({"ranks": table, "descent": descent}, indent=1)
    write_atomically(options.out / "evaluation.json", numbers.encode())
    write_atomically(options.out / "evaluation.md", tables.encode())
    ranked, labels = zip(*ranked_pairs(found))
    write_image(contact_sheet(ranked, labels=labels, columns=5), options.out / "ranked.png")
    write_image(contact_sheet(images, columns=6), options.out / "descent.png")
    print(tables)
    return 0
