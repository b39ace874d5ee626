"""Distil the slim perceptual network from its teachers.

    python -m training distill-perceptual --teachers DIR --faces faces.zip --out data/perceptual-slim.safetensors

The student learns differences, not features: for each pair of images (`training.distortions`), how the teacher's
features change from one to the other, as a share of that change, so that a faint blur counts as much as another face;
and the size of that change, which is the distance, on a logarithmic scale. It learns them in the coordinates of a
principal component analysis of the teacher's differences, which keeps the distances with fewer channels. Repeated, the
command goes on from its checkpoint.
"""

import argparse
import functools
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.files import with_prefix
from i2s.losses.slim import SlimConfig, SlimNet, save_slim
from training import distortions
from training.checkpoint import (
    adam_tensors,
    load_checkpoint,
    load_state_or_raise,
    restore_adam,
    save_checkpoint,
)
from training.dataset import load_faces
from training.features import Teachers

HELD_OUT_FACES = 256  # the last ones by name
SIZES = (64, 80, 96, 112, 128)
GROUP = 4  # pairs of one kind of image and distortion


@dataclass(frozen=True)
class DistillSettings:
    """Settings of a run."""

    steps: int = 4000
    learning_rate: float = 2e-3
    warm_up: int = 100  # steps of rising rate
    pixels: int = 8 * 96 * 96  # of half a batch, whatever the size of its images, so that all steps cost the same
    # Of the term for the distances' size, at the first and the last step: a student that still makes wrong maps can
    # get their sizes right in many useless ways, so this comes in as the maps become right
    distance_weight: tuple[float, float] = (0.1, 1.0)
    analysis_batches: int = 40  # of the principal component analysis
    seed: int = 0


class PairBatches:
    """Endless batches of pairs (a, b), [N, 3, S, S] each, in [-1, 1].

    They come in groups of four of one kind of image and one kind of distortion, or two on top of each other.

    Args:
        faces: uint8 [M, 3, R, R].
        photographs: uint8 [3, H, W] each.
        pixels: Of half a batch.
        rng: Source of random numbers.
    """

    def __init__(self, faces: Tensor, photographs: list[Tensor], pixels: int, rng: torch.Generator):
        self.faces = faces
        self.photographs = photographs
        self.pixels = pixels
        self.rng = rng

    def __iter__(self) -> "PairBatches":
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        size = SIZES[self._below(len(SIZES))]
        groups = max(round(self.pixels / size**2 / GROUP), 1)
        a, b = zip(*(self._group(size) for _ in range(groups)))
        return torch.cat(a), torch.cat(b)

    def _group(self, size: int) -> tuple[Tensor, Tensor]:
        if self._below(10) < 6:
            a = distortions.face_crops(self.faces, GROUP, size, self.rng)
        else:
            a = distortions.texture_crops(self.photographs, GROUP, size, self.rng)
        b = a
        kinds = list(distortions.DISTORTIONS)
        for _ in range(1 if self._below(10) < 7 else 2):  # some pairs differ in two ways
            kind = kinds[self._below(len(kinds))]
            b = distortions.distort(kind, b, torch.rand(GROUP, generator=self.rng), self.rng)
        return a, b

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.rng))


class Projection(nn.Module):
    """Project the teacher's maps to the student's coordinates: principal components, in units of its taps.

    Args:
        axes: Four orthonormal matrices [C, k].
        units: The teacher's mean squared distance of unrelated faces, of each tap [4].
    """

    def __init__(self, axes: list[Tensor], units: Tensor):
        super().__init__()
        self.register_buffer("units", units)
        for k, matrix in enumerate(axes):
            self.register_buffer(f"axes{k}", matrix)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        projected = []
        for k, x in enumerate(maps):
            axes = getattr(self, f"axes{k}")
            # a mean over k components has to stand for a mean over C channels
            axes = axes * (axes.shape[1] / axes.shape[0] / self.units[k]).sqrt()
            projected.append(F.conv2d(x, axes.T[:, :, None, None].to(x.dtype)))  # [N, k, H, W]
        return projected


def distances(maps: list[Tensor], others: list[Tensor]) -> Tensor:
    """Mean squared difference of each map and image, [taps, N]."""
    return torch.stack([(a.float() - b.float()).square().mean(dim=(1, 2, 3)) for a, b in zip(maps, others)])


@torch.no_grad()
def analyse(teachers: Teachers, batches: PairBatches, taps: tuple[int, ...], count: int) -> Projection:
    """Compute principal components of the teacher's differences over `count` batches, and the unit of each tap.

    Each pair counts the same, however far apart its two images are.
    """
    moments = [0.0] * 4
    units = []
    for _ in range(count):
        a, b = next(batches)
        with torch.autocast(a.device.type, torch.bfloat16):
            of_a, of_b = teachers(a), teachers(b)
        for k, gap in enumerate(distances(of_a, of_b)):
            ours, theirs = of_a[k].float(), of_b[k].float()
            change = (ours - theirs) / (gap + 1e-6 * ours.square().mean()).sqrt()[:, None, None, None]
            change = change.permute(1, 0, 2, 3).flatten(1)  # [C, N*H*W]
            moments[k] = moments[k] + change @ change.T / change.shape[1]
    for size in SIZES:
        faces = distortions.face_crops(batches.faces, 32, size, batches.rng)
        with torch.autocast(faces.device.type, torch.bfloat16):
            maps = teachers(faces)
        units.append(distances(maps, [m.roll(1, dims=0) for m in maps]).mean(dim=1))
    axes = [torch.linalg.eigh(m).eigenvectors.flip(1)[:, :k].contiguous() for m, k in zip(moments, taps)]
    return Projection(axes, torch.stack(units).mean(dim=0))


def distillation_loss(student: list[Tensor], teacher: list[Tensor]) -> dict[str, Tensor]:
    """Compare the differences of all pairs of images: {"change", "distance"}, a scalar each, means over the taps.

    The maps are of 2N images, first all a, then all b; the N pairs (a, b) count as much as all others together.
    """
    half = len(student[0]) // 2
    weight = torch.full((2 * half, 2 * half), 1 / (2 * half * (2 * half - 2)))
    rows = torch.arange(2 * half)
    weight[rows, rows.roll(half)] = 1 / (2 * half)
    weight.fill_diagonal_(0)  # off-diagonal entries sum to 2: one for the pairs, one for all others
    change = distance = 0.0
    for s, t in zip(student, teacher):
        s, t = s.float(), t.float()
        found, true = squared_distances(s) + 1e-4, squared_distances(t) + 1e-4
        off = squared_distances(s - t)  # |(s_a - s_b) - (t_a - t_b)|^2
        change = change + (weight * off / true).sum()
        distance = distance + (weight * (found / true).log().square()).sum()
    count = 2 * len(student)
    return {"change": change / count, "distance": distance / count}


def squared_distances(maps: Tensor) -> Tensor:
    """Mean squared differences of all pairs of M maps [M, C, H, W], [M, M]."""
    flat = maps.permute(0, 2, 3, 1).flatten(1)  # [M, H*W*C], no copy in channels-last
    gram = flat @ flat.T / flat.shape[1]
    lengths = gram.diagonal()
    return (lengths[:, None] + lengths - 2 * gram).clamp_min(0)


def window(student: list[Tensor], teacher: list[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
    """Crop a quarter of the two finest maps, another one at each step: they are half of the work of the loss."""
    height, width = (side // 2 for side in student[0].shape[2:])
    top = (step % 2) * height
    left = (step // 2 % 2) * width

    def cropped(maps: list[Tensor]) -> list[Tensor]:
        return [*(x[:, :, top : top + height, left : left + width] for x in maps[:2]), *maps[2:]]

    return cropped(student), cropped(teacher)


def learning_rate(step: int, settings: DistillSettings) -> float:
    """Linear warm-up times a cosine decay to 0."""
    rise = min((step + 1) / settings.warm_up, 1.0)
    return settings.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


class PerceptualDistillation:
    """Training state and loop; goes on from the checkpoint of the folder `run`.

    Args:
        teachers: The teachers.
        faces: uint8 [M, 3, R, R]; the last `HELD_OUT_FACES` are never shown.
        settings: Settings of the run.
        run: Folder of the checkpoint.

    Raises:
        WeightFileError: The checkpoint is damaged or of other networks.
    """

    def __init__(self, teachers: Teachers, faces: Tensor, settings: DistillSettings, run: str | Path):
        self.teachers = teachers
        self.settings = settings
        self.run = run
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.batches = PairBatches(faces[:-HELD_OUT_FACES], distortions.photographs(), settings.pixels, self.rng)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.student = SlimNet(SlimConfig()).to(memory_format=torch.channels_last)
            for layer in self.student.modules():
                if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
        self.step = 0
        self.projection: Projection | None = None
        self.rng_state: Tensor | None = None  # after the batch of the last update
        self._resume()

    def train(self, report: Callable[[str], None] = print, checkpoint_seconds: float = 120) -> SlimNet:
        """Train the remaining steps; returns the student. The next batch is made while the student learns."""
        if self.projection is None:
            taps = self.student.config.taps
            self.projection = analyse(self.teachers, self.batches, taps, self.settings.analysis_batches)
            self.rng_state = self.rng.get_state()
            report(f"units {[round(u, 2) for u in self.projection.units.tolist()]}")
        saved = time.monotonic()
        terms: dict[str, list[float]] = {}  # since the last report
        with ThreadPoolExecutor(1) as worker:
            following = worker.submit(self._make_batch)
            try:
                while self.step < self.settings.steps:
                    batch = following.result()
                    following = worker.submit(self._make_batch)
                    for name, value in self._update(*batch).items():
                        terms.setdefault(name, []).append(value)
                    if self.step % 50 == 0:
                        means = {name: round(sum(values) / len(values), 4) for name, values in terms.items()}
                        report(json.dumps({"step": self.step} | means))
                        terms = {}
                    if time.monotonic() - saved > checkpoint_seconds:
                        self._save()
                        saved = time.monotonic()
            finally:
                self._save()
        return self.student

    @torch.no_grad()
    def _make_batch(self) -> tuple[Tensor, list[Tensor], Tensor]:
        """Images [2N, 3, S, S], the teachers' projected maps, and the state of the random numbers after them."""
        images = torch.cat(next(self.batches))
        with torch.autocast(images.device.type, torch.bfloat16):
            return images, self.projection(self.teachers(images)), self.rng.get_state()

    def _update(self, images: Tensor, teacher: list[Tensor], rng_state: Tensor) -> dict[str, float]:
        """Update the student once; returns the terms of the loss."""
        # Loss
        with torch.autocast(images.device.type, torch.bfloat16):
            student = self.student.features(images)
        first, last = self.settings.distance_weight
        weight = first + (last - first) * self.step / self.settings.steps
        terms = distillation_loss(*window(student, teacher, self.step))

        # Gradient and optimiser
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.step, self.settings)
        self.optimizer.zero_grad(set_to_none=True)
        (terms["change"] + weight * terms["distance"]).backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.rng_state = rng_state
        return {name: float(value.detach()) for name, value in terms.items()}

    def _save(self) -> None:
        """Write the state after the last update; the batch made for the next one is made again."""
        tensors = {f"student.{n}": t for n, t in self.student.state_dict().items()}
        tensors |= {f"projection.{n}": t for n, t in self.projection.state_dict().items()}
        tensors |= {f"adam.{n}": t for n, t in adam_tensors(self.optimizer).items()}
        save_checkpoint(self.run, tensors | {"rng": self.rng_state}, {"step": self.step} | asdict(self.settings))

    def _resume(self) -> None:
        found = load_checkpoint(self.run)
        if found is None:
            return
        tensors, state = found
        load_state_or_raise(self.student, with_prefix(tensors, "student."), self.run)
        projection = with_prefix(tensors, "projection.")
        self.projection = Projection([projection[f"axes{k}"] for k in range(4)], projection["units"])
        restore_adam(self.optimizer, with_prefix(tensors, "adam."))
        self.rng.set_state(tensors["rng"])
        self.rng_state = tensors["rng"]
        self.step = state["step"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--teachers", type=Path, required=True, help="folder of the teachers' two safetensors files")
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned face images")
    parser.add_argument("--out", type=Path, required=True, help="the network's file, safetensors in half precision")
    parser.add_argument("--run", type=Path, default=Path("runs/perceptual"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=DistillSettings.steps, help="updates (default 4000)")


def run(options: argparse.Namespace) -> int:
    """Distil and write the network; the exit code."""
    settings = DistillSettings(steps=options.steps)
    teachers = Teachers(options.teachers)
    faces = load_faces(options.faces, 128, least=HELD_OUT_FACES + 2)
    torch.set_num_threads(max(torch.get_num_threads() // 2, 1))  # for each of the two threads that work
    distillation = PerceptualDistillation(teachers, faces, settings, options.run)
    student = distillation.train(functools.partial(print, flush=True))
    units = distillation.projection.units.tolist()
    save_slim(student, options.out, asdict(settings) | {"units": units})
    return 0
