"""Does the slim network see as its teachers do? Ranks of pairs it was not trained on, and descent along its gradient.

    python -m training.evaluate_perceptual --teachers DIR --faces faces.zip --photos DIR --out runs/perceptual

Writes `evaluation.json`, the tables of the model card as `evaluation.md`, and two pictures to look at.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor

from i2s.errors import I2SError
from i2s.files import ensure_dir, write_atomically
from i2s.images import contact_sheet, load_photos, to_uint8, write_image
from i2s.losses import TAP_NAMES
from i2s.losses.slim import load_slim, training_notes
from training import distortions as pairs
from training.dataset import load_faces
from training.distill_perceptual import HELD_OUT_FACES, distances
from training.teachers import Teachers

SIZES = (64, 96, 128)


@dataclass(frozen=True)
class Judged:
    """P pairs: where they come from, distances by tap [4, P], of the pixels [P], and the pictures [2, 3, S, S]."""

    sources: list[str]
    kinds: list[str]
    sizes: list[int]
    teacher: Tensor
    student: Tensor
    mse: Tensor
    pictures: list[Tensor]

    def __len__(self) -> int:
        return len(self.kinds)


@torch.no_grad()
def judge(student, teachers, units: Tensor, sources: dict, count: int, sizes=SIZES, seed: int = 1) -> Judged:
    """Distances of `count` pairs, from the faintest to the strongest, of each source, kind of distortion and size.

    sources: {name: function (count, size, rng) -> images}. units [4]: what the teacher's taps are divided by.
    """
    rng = torch.Generator().manual_seed(seed)
    names, kinds, all_sizes, of_teacher, of_student, mse, pictures = [], [], [], [], [], [], []
    for name, draw in sources.items():
        for kind in pairs.DISTORTIONS:
            for size in sizes:
                a = draw(count, size, rng)
                b = pairs.distort(kind, a, torch.linspace(0, 1, count), rng)
                of_teacher.append(distances(teachers(a), teachers(b)) / units[:, None])  # [taps, count]
                of_student.append(distances(student.features(a), student.features(b)))
                mse.append(distances([a], [b])[0])
                pictures += list(torch.stack([a, b], dim=1))
                names, kinds, all_sizes = names + [name] * count, kinds + [kind] * count, all_sizes + [size] * count
    of_teacher, of_student = torch.cat(of_teacher, dim=1), torch.cat(of_student, dim=1)
    return Judged(names, kinds, all_sizes, of_teacher, of_student, torch.cat(mse), pictures)


def correlations(found: Judged) -> dict[str, dict[str, float]]:
    """How the student's distance goes with the teacher's: {group: {measure: value}}.

    The distance is the sum of the four taps, for groups of pairs, and each tap's own over all pairs. Pixels alone tell
    a strong distortion from a faint one: "mse spearman" is the rank correlation of their squared difference with the
    teacher, and "spearman per mse" that of student and teacher when both are divided by it: what the network adds.
    """

    def row(chosen: list[int], taps=slice(None)) -> dict[str, float]:
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


def descend(student, start: Tensor, target: Tensor, steps: int = 200, learning_rate: float = 0.02) -> Tensor:
    """Pixels that began as `start` after Adam has pulled them towards `target` by the student's distance alone."""
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


def descents(student, teachers, units: Tensor, faces: Tensor, steps: int = 200, seed: int = 2) -> tuple[dict, Tensor]:
    """What descent does to the distances and the pixels, from three starts; and pictures for a sheet of six columns."""
    rng = torch.Generator().manual_seed(seed)
    target = pairs.face_crops(faces, 6, 64, rng)
    starts = {kind: pairs.distort(kind, target, torch.full((6,), 0.9), rng) for kind in ("blur", "other")}
    starts["grey"] = torch.zeros_like(target)
    table, shown = {}, [target]
    for name, start in starts.items():
        end = descend(student, start, target, steps)
        table[name] = {}
        for moment, images in (("before", start), ("after", end)):
            with torch.no_grad():
                teacher = (distances(teachers(images), teachers(target)) / units[:, None]).sum(dim=0)
                slim = distances(student.features(images), student.features(target)).sum(dim=0)
            pixels = ((images - target) / 2).square().mean(dim=(1, 2, 3))
            for measure, value in (("teacher", teacher), ("slim", slim), ("mse", pixels)):
                table[name][f"{measure} {moment}"] = round(float(value.median()), 5)
        shown += [start, end]
    return table, torch.cat(shown)


def ranked_sheet(found: Judged, count: int = 40, seed: int = 3) -> list[tuple[Tensor, str]]:
    """Some 64 px pairs in the teacher's order, each with its kind and both ranks."""
    chosen = [k for k, size in enumerate(found.sizes) if size == min(found.sizes)]
    chosen = [chosen[i] for i in torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:count]]
    teacher, student = (d[:, chosen].sum(dim=0).argsort().argsort().tolist() for d in (found.teacher, found.student))
    order = sorted(range(len(chosen)), key=teacher.__getitem__)
    side_by_side = lambda k: torch.cat(list(found.pictures[chosen[k]]), dim=2)  # noqa: E731
    return [(side_by_side(k), f"{found.kinds[chosen[k]]} {teacher[k] + 1} / {student[k] + 1}") for k in order]


def markdown(table: dict[str, dict]) -> str:
    """Rows of numbers as a Markdown table."""
    columns = list(next(iter(table.values())))
    rows = [["", *columns], ["---"] * (len(columns) + 1), *([name, *row.values()] for name, row in table.items())]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def main(arguments: list[str] | None = None) -> int:
    program = "python -m training.evaluate_perceptual"
    parser = argparse.ArgumentParser(prog=program, description=__doc__.split("\n")[0])
    parser.add_argument("--teachers", type=Path, required=True, help="folder of the teachers' two safetensors files")
    parser.add_argument("--faces", type=Path, required=True, help="the zip of faces of the distillation")
    parser.add_argument("--photos", type=Path, help="folder of other face photos, never trained on")
    parser.add_argument("--net", type=Path, help="the network's file (default: the shipped one)")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and pictures")
    parser.add_argument("--count", type=int, default=16, help="strengths of each distortion")
    options = parser.parse_args(arguments)
    try:
        ensure_dir(options.out)
        student, teachers = load_slim(options.net), Teachers(options.teachers)
        units = torch.tensor(training_notes(options.net)["units"])
        faces = load_faces(options.faces, 128, least=HELD_OUT_FACES)[-HELD_OUT_FACES:]
        photographs = pairs.photographs(pairs.HELD_OUT_PHOTOGRAPHS)
        sources = {
            "held-out faces": lambda n, size, rng: pairs.face_crops(faces, n, size, rng),
            "held-out textures": lambda n, size, rng: pairs.texture_crops(photographs, n, size, rng),
        }
        if options.photos:
            files = sorted(p for p in options.photos.glob("*") if p.suffix.lower() in (".jpg", ".png"))
            photos = torch.from_numpy(to_uint8(load_photos(files, 256))).permute(0, 3, 1, 2)
            sources["other photos"] = lambda n, size, rng: pairs.face_crops(photos, n, size, rng)
        found = judge(student, teachers, units, sources, options.count)
        table, (descent, shown) = correlations(found), descents(student, teachers, units, faces)
        tables = f"{markdown(table)}\n\n{markdown(descent)}\n"
        numbers = json.dumps({"ranks": table, "descent": descent}, indent=1)
        write_atomically(options.out / "evaluation.json", numbers.encode())
        write_atomically(options.out / "evaluation.md", tables.encode())
        sheet, labels = zip(*ranked_sheet(found))
        write_image(contact_sheet(sheet, labels=labels, columns=5), options.out / "ranked.png")
        write_image(contact_sheet(shown, columns=6), options.out / "descent.png")
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
