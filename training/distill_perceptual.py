"""Distil the slim perceptual network from its teachers.

    python -m training.distill_perceptual --teachers DIR --faces faces.zip --out data/perceptual-slim.safetensors

What is taught is differences, not features: of each pair of pictures (`training.distortions`), the student learns how
the teacher's features change from one to the other, as a share of that change, so that a faint blur counts as much as
another face; and the size of that change, which is the distance, on a logarithmic scale. It learns them in the
coordinates of a principal component analysis of the teacher's differences, which keeps the distances with fewer
channels. The run goes on from its newest checkpoint when it is started again.
"""

import argparse
import json
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2s.errors import I2SError
from i2s.files import write_atomically
from i2s.losses.slim import SlimConfig, SlimNet, slim_bytes
from training import distortions as pairs
from training.checkpoint import adam_tensors, fill, load_checkpoint, restore_adam, save_checkpoint
from training.dataset import load_faces
from training.teachers import Teachers

HELD_OUT_FACES = 256  # the last ones by name
SIZES = (64, 80, 96, 112, 128)
GROUP = 4  # pairs of one kind


@dataclass(frozen=True)
class DistillSettings:
    """Settings of a run.

    pixels: of half a batch, whatever the size of its pictures, so that all steps cost the same.
    distance_weight: of the term for the distances' size, at the first step and at the last: a student that still
    makes wrong maps can get their sizes right in many useless ways, so this comes in as the maps become right.
    """

    steps: int = 4000
    learning_rate: float = 2e-3
    warm_up: int = 100
    pixels: int = 8 * 96 * 96
    distance_weight: tuple[float, float] = (0.1, 1.0)
    analysis_batches: int = 40
    seed: int = 0


class PairBatches:
    """Endless batches of pairs (a, b), [N, 3, S, S] each, in [-1, 1].

    They come in groups of four of one kind of picture and one kind of distortion, or two on top of each other.
    """

    def __init__(self, faces: Tensor, photographs: list[Tensor], pixels: int, rng: torch.Generator):
        self.faces, self.photographs, self.pixels, self.rng = faces, photographs, pixels, rng

    def __iter__(self):
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        size = SIZES[self._below(len(SIZES))]
        groups = max(round(self.pixels / size**2 / GROUP), 1)
        a, b = zip(*(self._group(size) for _ in range(groups)))
        return torch.cat(a), torch.cat(b)

    def _group(self, size: int) -> tuple[Tensor, Tensor]:
        if self._below(10) < 6:
            a = pairs.face_crops(self.faces, GROUP, size, self.rng)
        else:
            a = pairs.texture_crops(self.photographs, GROUP, size, self.rng)
        b = a
        kinds = list(pairs.DISTORTIONS)
        for _ in range(1 if self._below(10) < 7 else 2):  # some pairs differ in two ways
            kind = kinds[self._below(len(kinds))]
            b = pairs.distort(kind, b, torch.rand(GROUP, generator=self.rng), self.rng)
        return a, b

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.rng))


class Projection(nn.Module):
    """The teacher's maps in the student's coordinates: principal components in the unit of the student's taps.

    `units` [4]: the teacher's mean squared distance of unrelated faces; `axes`: four orthonormal matrices [C, k].
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
    """Principal components of the teacher's differences over `count` batches, and the unit of each tap.

    Each pair counts the same, however far apart its two pictures are.
    """
    moments, units = [0.0] * 4, []
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
        faces = pairs.face_crops(batches.faces, 32, size, batches.rng)
        with torch.autocast(faces.device.type, torch.bfloat16):
            maps = teachers(faces)
        units.append(distances(maps, [m.roll(1, dims=0) for m in maps]).mean(dim=1))
    axes = [torch.linalg.eigh(m).eigenvectors.flip(1)[:, :k].contiguous() for m, k in zip(moments, taps)]
    return Projection(axes, torch.stack(units).mean(dim=0))


def distillation_loss(student: list[Tensor], teacher: list[Tensor]) -> dict[str, Tensor]:
    """{"change", "distance"}: a scalar each, means over the taps; maps of 2N pictures, first all a, then all b.

    All pictures of the batch are compared with each other; the N pairs (a, b) count as much as all others together.
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
    """Mean squared difference of every two of M maps [M, C, H, W], as a matrix [M, M]."""
    flat = maps.permute(0, 2, 3, 1).flatten(1)  # [M, H*W*C], no copy in channels-last
    gram = flat @ flat.T / flat.shape[1]
    lengths = gram.diagonal()
    return (lengths[:, None] + lengths - 2 * gram).clamp_min(0)


def window(student: list[Tensor], teacher: list[Tensor], step: int) -> tuple[list[Tensor], list[Tensor]]:
    """A quarter of the two finest maps, another one at each step: they are half of the work of the loss otherwise."""
    height, width = (side // 2 for side in student[0].shape[2:])
    top, left = (step % 2) * height, (step // 2 % 2) * width
    cut = lambda x: x[:, :, top : top + height, left : left + width]  # noqa: E731
    return [*map(cut, student[:2]), *student[2:]], [*map(cut, teacher[:2]), *teacher[2:]]


def learning_rate(step: int, settings: DistillSettings) -> float:
    """Linear up, then half a cosine down to nothing."""
    rise = min((step + 1) / settings.warm_up, 1.0)
    return settings.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


class Distillation:
    """A run: student, optimiser, data. `train` goes on from where it stands, and keeps checkpoints in `run`."""

    def __init__(self, teachers: Teachers, faces: Tensor, settings: DistillSettings, run: str | Path):
        self.teachers, self.settings, self.run = teachers, settings, run
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.batches = PairBatches(faces[:-HELD_OUT_FACES], pairs.photographs(), settings.pixels, self.rng)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.student = SlimNet(SlimConfig()).to(memory_format=torch.channels_last)
            for layer in self.student.modules():
                if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
        self.step, self.projection, self.rng_state = 0, None, None
        self._resume()

    def train(self, say=print, checkpoint_seconds: float = 120) -> SlimNet:
        """All steps that are left; returns the student. The next batch is made while the student learns from one."""
        if self.projection is None:
            taps, count = self.student.config.taps, self.settings.analysis_batches
            self.projection = analyse(self.teachers, self.batches, taps, count)
            self.rng_state = self.rng.get_state()
            say(f"units {[round(u, 2) for u in self.projection.units.tolist()]}")
        saved, mean = time.monotonic(), {}
        with ThreadPoolExecutor(1) as beside:
            coming = beside.submit(self._lesson)
            try:
                while self.step < self.settings.steps:
                    lesson, coming = coming.result(), beside.submit(self._lesson)
                    for name, value in self._learn(*lesson).items():
                        mean.setdefault(name, []).append(value)
                    if self.step % 50 == 0:
                        say(json.dumps({"step": self.step} | {n: round(sum(v) / len(v), 4) for n, v in mean.items()}))
                        mean = {}
                    if time.monotonic() - saved > checkpoint_seconds:
                        self._save()
                        saved = time.monotonic()
            finally:
                self._save()
        return self.student

    @torch.no_grad()
    def _lesson(self) -> tuple[Tensor, list[Tensor], Tensor]:
        """Pictures [2N, 3, S, S], what the teachers make of them, and the state of the random numbers after it."""
        images = torch.cat(next(self.batches))
        with torch.autocast(images.device.type, torch.bfloat16):
            return images, self.projection(self.teachers(images)), self.rng.get_state()

    def _learn(self, images: Tensor, teacher: list[Tensor], rng_state: Tensor) -> dict[str, float]:
        """One update."""
        with torch.autocast(images.device.type, torch.bfloat16):
            student = self.student.features(images)
        first, last = self.settings.distance_weight
        weight = first + (last - first) * self.step / self.settings.steps
        terms = distillation_loss(*window(student, teacher, self.step))
        self.optimizer.param_groups[0]["lr"] = learning_rate(self.step, self.settings)
        self.optimizer.zero_grad(set_to_none=True)
        (terms["change"] + weight * terms["distance"]).backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.step, self.rng_state = self.step + 1, rng_state
        return {name: float(value.detach()) for name, value in terms.items()}

    def _save(self) -> None:
        """The state after the last update; what was made for the next one is made again."""
        tensors = {f"student.{n}": t for n, t in self.student.state_dict().items()}
        tensors |= {f"projection.{n}": t for n, t in self.projection.state_dict().items()}
        tensors |= {f"adam.{n}": t for n, t in adam_tensors(self.optimizer).items()}
        save_checkpoint(self.run, tensors | {"rng": self.rng_state}, {"step": self.step} | asdict(self.settings))

    def _resume(self) -> None:
        found = load_checkpoint(self.run)
        if found is None:
            return
        tensors, state = found
        part = lambda name: {k.removeprefix(name): t for k, t in tensors.items() if k.startswith(name)}  # noqa: E731
        fill(self.student, part("student."), self.run)
        projection = part("projection.")
        self.projection = Projection([projection[f"axes{k}"] for k in range(4)], projection["units"])
        restore_adam(self.optimizer, part("adam."))
        self.rng.set_state(tensors["rng"])
        self.rng_state = tensors["rng"]
        self.step = state["step"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.distill_perceptual", description=__doc__.split("\n")[0])
    parser.add_argument("--teachers", type=Path, required=True, help="folder of the teachers' two safetensors files")
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned face pictures")
    parser.add_argument("--out", type=Path, required=True, help="the network's file, safetensors in half precision")
    parser.add_argument("--run", type=Path, default=Path("runs/perceptual"), help="folder of the run's checkpoints")
    parser.add_argument("--steps", type=int, default=DistillSettings.steps)
    options = parser.parse_args(arguments)
    torch.set_num_threads(max((torch.get_num_threads()) // 2, 1))  # for each of the two threads that work
    try:
        settings = DistillSettings(steps=options.steps)
        teachers = Teachers(options.teachers)
        faces = load_faces(options.faces, 128, least=HELD_OUT_FACES + 2)
        run = Distillation(teachers, faces, settings, options.run)
        student = run.train(say=lambda text: print(text, flush=True))
        write_atomically(options.out, slim_bytes(student, asdict(settings) | {"units": run.projection.units.tolist()}))
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
