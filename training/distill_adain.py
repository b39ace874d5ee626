"""A StyleGAN1 (AdaIN) that draws what a StyleGAN2 draws, from the same codes.

    python -m training.distill_adain --teacher data/faces-64.safetensors --features squeezenet.safetensors \
        --vgg vgg19.safetensors --run runs/adain-64 --minutes 30 --out data/faces-64-adain.safetensors

The mapping network is the teacher's, number for number: both networks share Z and W. The synthesis network learns by
being shown the teacher's image of each code (Hinton et al. 2015, distillation), with the reconstruction loss of the
auto-encoder's phase; a projected discriminator, to which the teacher's images are the real ones, keeps it sharp.
"""

import argparse
import copy
import json
import math
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from i2s.errors import I2SError, SettingsError
from i2s.files import ensure_dir
from i2s.generators import load_generator
from i2s.generators.base import Generator
from i2s.generators.file import save_generator
from i2s.generators.layers import LRELU_GAIN
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.images import contact_sheet, write_image
from i2s.metrics import psnr
from training.checkpoint import fill, load_checkpoint, save_checkpoint
from training.export import finish
from training.features import VGG19, SqueezeNet
from training.losses import reconstruction_loss
from training.projected import ProjectedDiscriminator, hinge_discriminator, hinge_generator

EMA_IMAGES = 5_000  # half-life of the moving average


def sibling_of(teacher: Generator) -> StyleGAN1:
    """A StyleGAN1 of the teacher's sizes with the teacher's mapping, and a synthesis network that knows nothing yet.

    StyleGAN2 multiplies by sqrt(2) after each leaky ReLU, StyleGAN1 inside the weights: with biases sqrt(2) times as
    large the two mappings are the same function. Noise is off, as in the teacher.
    """
    if teacher.kind != "stylegan2":
        raise SettingsError(f"The teacher is a {teacher.kind}: give a StyleGAN2.")
    c = teacher.config
    config = StyleGAN1Config(
        c.resolution, c.z_dim, c.w_dim, c.mapping_layers, c.w_dim, c.mapping_lr_mul, channels=c.channels
    )
    student = StyleGAN1(config)
    with torch.no_grad():
        for ours, theirs in zip(student.mapping.layers, teacher.mapping.layers):
            ours.weight.copy_(theirs.weight)
            ours.bias.copy_(theirs.bias * LRELU_GAIN)
        student.mapping.w_mean.copy_(teacher.w_mean)
    student.mapping.requires_grad_(False)
    return student


class Distillation:
    """A run: `step()` shows one batch; `save()` and the constructor write and take up checkpoints of the folder."""

    def __init__(self, teacher, features, vgg, folder, batch: int = 32, rate: float = 0.002, dtype=torch.bfloat16):
        if not 0 < rate < math.inf:
            raise SettingsError(f"The learning rate is {rate}, but must be above 0.")
        self.teacher, self.features, self.folder, self.batch, self.dtype = teacher, features, Path(folder), batch, dtype
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.student = sibling_of(teacher)
            self.judge = ProjectedDiscriminator(vgg, teacher.resolution) if vgg is not None else None
        self.average = copy.deepcopy(self.student).eval().requires_grad_(False)
        self.rng = torch.Generator().manual_seed(0)
        self.adam = torch.optim.Adam(self.student.synthesis.parameters(), lr=rate, betas=(0.0, 0.99))
        if self.judge is not None:
            self.adam_judge = torch.optim.Adam(self.judge.trained(), lr=0.0005, betas=(0.0, 0.99))
        self.images = 0
        self._resume()

    def codes(self) -> Tensor:
        """W+ of random z [batch, num_ws, w_dim]; half of them mix two at a random layer, so each row is learned."""
        w = self.teacher.mapping.to_w(torch.randn(2 * self.batch, self.teacher.z_dim, generator=self.rng))
        first, second = w.chunk(2)
        rows = torch.arange(self.teacher.num_ws)
        cut = torch.randint(1, 2 * len(rows), (self.batch, 1), generator=self.rng)  # beyond the last row: not mixed
        return torch.where((rows < cut)[..., None], first[:, None], second[:, None])

    def step(self, adversarial: float = 0.0) -> dict[str, float]:
        """One batch; the terms of the loss. adversarial: weight of the judge's opinion (0: it is not asked)."""
        with torch.no_grad():
            w_plus = self.codes()
            target = self.teacher.synthesis(w_plus, "none", dtype=self.dtype).clamp(-1.2, 1.2)
            target_features = self.features(target, self.dtype)
        image = self.student.synthesis(w_plus, "none", dtype=self.dtype)
        loss = reconstruction_loss(image, target, target_features, self.features, self.dtype)
        terms = {"reconstruction": loss.item()}
        if adversarial and self.judge is not None:
            self._judge_learns(False)
            seen = self.judge.look(image, self.dtype)  # once, for both moves
            opinion = hinge_generator(self.judge.judge(seen, self.dtype))
            loss = loss + adversarial * opinion
            terms["g"] = opinion.item()
        _descend(self.adam, loss)
        if adversarial and self.judge is not None:
            self._judge_learns(True)
            fake_score = self.judge.judge([x.detach() for x in seen], self.dtype)
            verdict = hinge_discriminator(self.judge(target, self.dtype), fake_score)
            _descend(self.adam_judge, verdict)
            terms["d"] = verdict.item()
        self.images += self.batch
        keep = 0.5 ** (self.batch / min(EMA_IMAGES, max(1, 0.15 * self.images)))
        with torch.no_grad():
            ours, theirs = list(self.average.synthesis.parameters()), list(self.student.synthesis.parameters())
            torch._foreach_lerp_(ours, theirs, 1 - keep)
        return terms

    def _judge_learns(self, learns: bool) -> None:
        for weight in self.judge.trained():
            weight.requires_grad_(learns)

    def train(self, seconds: float, warm_up: int = 40_000, adversarial: float = 0.3, report=print) -> None:
        """Show batches for `seconds`; the judge is asked after `warm_up` images. Reports and saves now and then."""
        start = last = time.time()
        window: list[dict[str, float]] = []
        while time.time() - start < seconds:
            window.append(self.step(adversarial if self.images >= warm_up else 0.0))
            if len(window) == 125:
                means = {n: round(math.fsum(t[n] for t in window if n in t) / len(window), 4) for n in window[-1]}
                speed = round(125 * self.batch / (time.time() - last), 1)
                report(json.dumps({"kimg": self.images / 1000, **means, "images_per_second": speed}))
                self.save()
                window, last = [], time.time()
        self.save()

    def save(self) -> Path:
        """A checkpoint, and `latest.png`: the teacher's images above, ours below."""
        tensors = {f"s.{k}": v for k, v in self.student.state_dict().items()}
        tensors |= {f"a.{k}": v for k, v in self.average.state_dict().items()}
        if self.judge is not None:
            tensors |= {f"d.{k}": v for k, v in self.judge.state_dict().items()}
        z = self.teacher.sample_z(12, seed=5)
        with torch.no_grad():
            pair = [g.synthesis(self.teacher.mapping(z), "none") for g in (self.teacher, self.average)]
        write_image(contact_sheet(torch.cat(pair), columns=12), self.folder / "latest.png")
        return save_checkpoint(self.folder, tensors, {"images": self.images})

    def _resume(self) -> None:
        """Take up the newest checkpoint; the optimisers start afresh, random codes go on from the number of images."""
        found = load_checkpoint(self.folder)
        if found is None:
            return
        tensors, state = found
        networks = {"s": self.student, "a": self.average}
        if self.judge is not None and any(name.startswith("d.") for name in tensors):  # else it has not judged yet
            networks["d"] = self.judge
        for letter, network in networks.items():
            fill(network, {k[2:]: v for k, v in tensors.items() if k.startswith(letter + ".")}, self.folder)
        self.images = state["images"]
        for network in (self.student, self.average):  # the teacher may have learned meanwhile
            network.mapping.load_state_dict(sibling_of(self.teacher).mapping.state_dict())
        self.rng.manual_seed(self.images)


@torch.no_grad()
def closeness(teacher: Generator, student: Generator, count: int = 256, seed: int = 7) -> dict[str, float]:
    """PSNR in dB between the two images of one code, median and tenths of `count` random codes w."""
    pairs = []
    for z in teacher.sample_z(count, seed).split(32):
        w_plus = teacher.mapping(z)
        pairs.append(psnr(student.synthesis(w_plus, "none"), teacher.synthesis(w_plus, "none").clamp(-1, 1)))
    marks = torch.cat(pairs).quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    return dict(zip(("low", "median", "high"), (round(float(mark), 1) for mark in marks)))


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.distill_adain", description=__doc__.split("\n")[0])
    parser.add_argument("--teacher", type=Path, required=True, help="weight file of the StyleGAN2")
    parser.add_argument("--features", type=Path, required=True, help="SqueezeNet 1.1 weights (safetensors)")
    parser.add_argument("--vgg", type=Path, help="VGG-19 weights; without them there is no judge")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run: checkpoints, sheet")
    parser.add_argument("--minutes", type=float, default=9.5, help="train so long (default 9.5)")
    parser.add_argument("--rate", type=float, default=0.002, help="learning rate (default 0.002; less at the end)")
    parser.add_argument("--out", type=Path, help="write the generator to this file (.safetensors)")
    options = parser.parse_args(arguments)
    try:
        teacher = load_generator(str(options.teacher))
        vgg = VGG19(options.vgg) if options.vgg else None
        ensure_dir(options.run)
        run = Distillation(teacher, SqueezeNet(options.features), vgg, options.run, rate=options.rate)
        run.train(options.minutes * 60, report=lambda text: print(text, flush=True))
        if options.out:
            notes = {
                "name": options.out.stem,
                "licence": "MIT",
                "training": f"distilled from {options.teacher.stem}, {run.images / 1000:.0f} thousand images",
            }
            student = finish(run.average)
            print(save_generator(student, options.out, extra_metadata=notes))
            print("PSNR to the teacher's image of the same code:", json.dumps(closeness(teacher, student)), "dB")
    except I2SError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
