"""Distil a StyleGAN1 (AdaIN) from a StyleGAN2, so that both draw the same image from the same code.

    python -m training distill-adain --teacher data/faces-64.safetensors --features squeezenet.safetensors \
        --run runs/adain-64 --minutes 30 --out data/faces-64-adain.safetensors

The mapping network is the teacher's, number for number: both networks share Z and W. The student's synthesis network
learns from the teacher's image of each code (knowledge distillation, Hinton et al. 2015), by the reconstruction loss of
the auto-encoder; a projected discriminator, for which the teacher's images are the real ones, may be added.
"""

import argparse
import copy
import functools
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from i2s.errors import SettingsError
from i2s.figures import contact_sheet
from i2s.files import ensure_dir, with_prefix
from i2s.generators import load_generator
from i2s.generators.base import Generator
from i2s.generators.file import save_generator
from i2s.generators.layers import LRELU_GAIN
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.images import write_image
from i2s.metrics import psnr
from training.checkpoint import load_checkpoint, load_state_or_raise, save_checkpoint
from training.discriminators import ProjectedDiscriminator
from training.export import finalize
from training.features import VGG19, FeatureNet, SqueezeNet
from training.losses import hinge_discriminator_loss, hinge_generator_loss, reconstruction_loss

EMA_IMAGES = 5_000  # half-life of the moving average
REPORT_STEPS = 125


def student_from_teacher(teacher: Generator) -> StyleGAN1:
    """Build a StyleGAN1 of the teacher's sizes, with the teacher's mapping network and a fresh synthesis network.

    StyleGAN2 multiplies by sqrt(2) after each leaky ReLU, StyleGAN1 inside the weights: with biases sqrt(2) times as
    large the two mapping networks are the same function.

    Raises:
        SettingsError: The teacher is no StyleGAN2.
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


class AdainDistillation:
    """Training state and loop; goes on from the checkpoint of its folder, with fresh optimisers.

    Args:
        teacher: A StyleGAN2.
        feature_net: Of the reconstruction loss.
        vgg: For a projected discriminator; None: no adversarial loss.
        folder: Folder of the run.
        batch: Images of a step.
        rate: Learning rate of the student.
        dtype: Precision of the convolutions.

    Raises:
        SettingsError: The teacher is no StyleGAN2, or the rate is not above 0.
        WeightFileError: The checkpoint is damaged or of other networks.
    """

    def __init__(
        self,
        teacher: Generator,
        feature_net: FeatureNet,
        vgg: VGG19 | None,
        folder: str | Path,
        batch: int = 32,
        rate: float = 0.002,
        dtype: torch.dtype | None = torch.bfloat16,
    ):
        if not 0 < rate < math.inf:
            raise SettingsError(f"The learning rate is {rate}, but must be above 0.")
        self.teacher = teacher
        self.feature_net = feature_net
        self.folder = Path(folder)
        self.batch = batch
        self.dtype = dtype
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.student = student_from_teacher(teacher)
            self.discriminator = ProjectedDiscriminator(vgg, teacher.resolution) if vgg is not None else None
        self.g_ema = copy.deepcopy(self.student).eval().requires_grad_(False)
        self.rng = torch.Generator().manual_seed(0)
        self.adam_g = torch.optim.Adam(self.student.synthesis.parameters(), lr=rate, betas=(0.0, 0.99))
        if self.discriminator is not None:
            weights = self.discriminator.trainable_parameters()
            self.adam_d = torch.optim.Adam(weights, lr=0.0005, betas=(0.0, 0.99))
        self.images = 0
        self._resume()

    def codes(self) -> Tensor:
        """W+ codes of random z [batch, num_ws, w_dim]; half of them mix two at a random layer, so each row learns."""
        w = self.teacher.mapping.to_w(torch.randn(2 * self.batch, self.teacher.z_dim, generator=self.rng))
        first, second = w.chunk(2)
        rows = torch.arange(self.teacher.num_ws)
        cut = torch.randint(1, 2 * len(rows), (self.batch, 1), generator=self.rng)  # beyond the last row: not mixed
        return torch.where((rows < cut)[..., None], first[:, None], second[:, None])

    def step(self, adversarial: float = 0.0) -> dict[str, float]:
        """Train on one batch; returns the terms of the loss.

        Args:
            adversarial: Weight of the adversarial loss (0: none).
        """
        adversarial = adversarial if self.discriminator is not None else 0.0

        # Teacher's images
        with torch.no_grad():
            w_plus = self.codes()
            target = self.teacher.synthesis(w_plus, "none", dtype=self.dtype).clamp(-1.2, 1.2)
            target_features = self.feature_net(target, self.dtype)

        # Generator step
        image = self.student.synthesis(w_plus, "none", dtype=self.dtype)
        loss = reconstruction_loss(image, target, target_features, self.feature_net, self.dtype)
        terms = {"reconstruction": loss.item()}
        if adversarial:
            self._set_discriminator_trainable(False)
            features = self.discriminator.features(image, self.dtype)  # for the losses of both networks
            g_loss = hinge_generator_loss(self.discriminator.head(features, self.dtype))
            loss = loss + adversarial * g_loss
            terms["g"] = g_loss.item()
        _step(self.adam_g, loss)

        # Discriminator step
        if adversarial:
            self._set_discriminator_trainable(True)
            fake_logits = self.discriminator.head([x.detach() for x in features], self.dtype)
            d_loss = hinge_discriminator_loss(self.discriminator(target, self.dtype), fake_logits)
            _step(self.adam_d, d_loss)
            terms["d"] = d_loss.item()

        self.images += self.batch
        self._update_ema()
        return terms

    def train(
        self,
        seconds: float = math.inf,
        warm_up: int = 40_000,
        adversarial: float = 0.3,
        report: Callable[[str], None] = print,
    ) -> None:
        """Train for `seconds`; reports and saves at intervals.

        Args:
            seconds: How long.
            warm_up: Images without the adversarial loss.
            adversarial: Its weight afterwards.
            report: Called with lines of text.
        """
        start = time.time()
        last = start
        window: list[dict[str, float]] = []
        while time.time() - start < seconds:
            window.append(self.step(adversarial if self.images >= warm_up else 0.0))
            if len(window) == REPORT_STEPS:
                means = {n: round(math.fsum(t[n] for t in window if n in t) / len(window), 4) for n in window[-1]}
                speed = round(REPORT_STEPS * self.batch / (time.time() - last), 1)
                report(json.dumps({"kimg": self.images / 1000, **means, "images_per_second": speed}))
                self.save()
                window = []
                last = time.time()
        self.save()

    def save(self) -> Path:
        """Write the checkpoint, and `latest.png`: the teacher's images above the student's."""
        z = self.teacher.sample_z(12, seed=5)
        with torch.no_grad():
            pair = [g.synthesis(self.teacher.mapping(z), "none") for g in (self.teacher, self.g_ema)]
        write_image(contact_sheet(torch.cat(pair), columns=12), self.folder / "latest.png")
        tensors = {f"{name}.{k}": v for name, net in self._networks().items() for k, v in net.state_dict().items()}
        return save_checkpoint(self.folder, tensors, {"images": self.images})

    def _networks(self) -> dict[str, torch.nn.Module]:
        networks = {"student": self.student, "g_ema": self.g_ema}
        return networks | ({"d": self.discriminator} if self.discriminator is not None else {})

    def _update_ema(self) -> None:
        keep = 0.5 ** (self.batch / min(EMA_IMAGES, max(1, 0.15 * self.images)))
        with torch.no_grad():
            averages = list(self.g_ema.synthesis.parameters())
            torch._foreach_lerp_(averages, list(self.student.synthesis.parameters()), 1 - keep)

    def _set_discriminator_trainable(self, trainable: bool) -> None:
        for weight in self.discriminator.trainable_parameters():
            weight.requires_grad_(trainable)

    def _resume(self) -> None:
        """Go on from the checkpoint; random codes go on from the number of images."""
        found = load_checkpoint(self.folder)
        if found is None:
            return
        tensors, state = found
        for name, network in self._networks().items():
            own = with_prefix(tensors, f"{name}.")
            if own or name != "d":  # a discriminator may join later
                load_state_or_raise(network, own, self.folder)
        self.images = state["images"]
        for network in (self.student, self.g_ema):  # the teacher may have been trained further
            network.mapping.load_state_dict(student_from_teacher(self.teacher).mapping.state_dict())
        self.rng.manual_seed(self.images)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def psnr_quantiles(teacher: Generator, student: Generator, count: int = 256, seed: int = 7) -> dict[str, float]:
    """PSNR in dB of the two images of one code: {"low", "median", "high"}, tenth, half and ninth tenth of `count`."""
    pairs = []
    for z in teacher.sample_z(count, seed).split(32):
        w_plus = teacher.mapping(z)
        pairs.append(psnr(student.synthesis(w_plus, "none"), teacher.synthesis(w_plus, "none").clamp(-1, 1)))
    marks = torch.cat(pairs).quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64))
    return dict(zip(("low", "median", "high"), (round(float(mark), 1) for mark in marks)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--teacher", type=Path, required=True, help="weight file of the StyleGAN2")
    parser.add_argument("--features", type=Path, required=True, help="SqueezeNet 1.1 weights (safetensors)")
    parser.add_argument("--vgg", type=Path, help="VGG-19 weights; without them there is no adversarial loss")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run: checkpoint, contact sheet")
    parser.add_argument("--minutes", type=float, required=True, help="train so long")
    parser.add_argument("--rate", type=float, default=0.002, help="learning rate (default 0.002; less at the end)")
    parser.add_argument("--out", type=Path, help="write the generator to this file (.safetensors)")


def run(options: argparse.Namespace) -> int:
    """Distil and write the generator; the exit code."""
    teacher = load_generator(str(options.teacher))
    vgg = VGG19(options.vgg) if options.vgg else None
    ensure_dir(options.run)
    feature_net = SqueezeNet(options.features)
    distillation = AdainDistillation(teacher, feature_net, vgg, options.run, rate=options.rate)
    distillation.train(options.minutes * 60, report=functools.partial(print, flush=True))
    if options.out:
        metadata = {
            "name": options.out.stem,
            "licence": "MIT",
            "training": f"distilled from {options.teacher.stem}, {distillation.images / 1000:.0f} thousand images",
        }
        student = finalize(distillation.g_ema)
        print(save_generator(student, options.out, extra_metadata=metadata))
        print("PSNR to the teacher's image of the same code:", json.dumps(psnr_quantiles(teacher, student)), "dB")
    return 0
