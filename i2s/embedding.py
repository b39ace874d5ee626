"""Embed photos into a generator's latent space: Image2StyleGAN's five steps (Abdal, Qin, Wonka 2019).

    1. start with an initial code          `initial_code`
    2. generate an image of it             generator.synthesis
    3. compare it with the photo           i2s.losses
    4. update the code by gradient descent Adam
    5. repeat                              `embed`
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from tqdm import tqdm

from i2s.errors import DeviceError, LatentError, SettingsError
from i2s.generators.base import Generator
from i2s.results import EmbedResult

SPACES = ("w", "w+")
STARTS = ("mean", "uniform")


@dataclass(frozen=True)
class EmbedSettings:
    """What an embedding depends on; the defaults are the paper's, but for the steps.

    space: "w+" (a code of its own for each layer) or "w" (one for all).
    init: "mean" (the mean latent) or "uniform" (U(-1, 1), drawn with `seed`); a given code goes to `embed(start=...)`.
    steps: Adam steps (the paper takes 5000; faces settle in about 1000).
    learning_rate, betas, epsilon: of Adam.
    mse_weight, tap_weights: the lambdas of the loss: pixels, and the four feature maps.
    snapshots: how many codes along the way are kept, spread evenly.
    """

    space: str = "w+"
    init: str = "mean"
    steps: int = 1000
    learning_rate: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    mse_weight: float = 1.0
    tap_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    seed: int = 0
    snapshots: int = 20

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))
        object.__setattr__(self, "tap_weights", tuple(self.tap_weights))
        if self.space not in SPACES:
            raise SettingsError(f"space is {self.space!r}: it is 'w' or 'w+'.")
        if self.init not in STARTS:
            raise SettingsError(f"init is {self.init!r}: it is 'mean' or 'uniform' (a code of your own goes to start=).")
        if self.steps < 1:
            raise SettingsError(f"steps is {self.steps}, but at least 1 is needed.")
        if not self.learning_rate > 0:
            raise SettingsError(f"learning_rate is {self.learning_rate}, but must be above 0.")
        if len(self.tap_weights) != 4 or min(self.tap_weights) < 0 or self.mse_weight < 0:
            raise SettingsError("The loss takes one pixel weight and four feature weights, none below 0.")
        if self.mse_weight == 0 and max(self.tap_weights) == 0:
            raise SettingsError("All weights of the loss are 0: give at least one a value above 0.")
        if self.snapshots < 0:
            raise SettingsError(f"snapshots is {self.snapshots}, but cannot be below 0.")


@dataclass(frozen=True)
class Step:
    """What a callback sees after each comparison: code, image and loss belong together.

    step: updates made so far. terms: {name: [N]}. w_plus: [N, num_ws, w_dim]. image: [N, 3, R, R] in about [-1, 1].
    """

    step: int
    steps: int
    terms: dict[str, Tensor]
    w_plus: Tensor
    image: Tensor
    seconds: float


def embed(
    photos,
    generator: Generator | str | None = None,
    settings: EmbedSettings | None = None,
    *,
    start: Tensor | None = None,
    perceptual="auto",
    callback: Callable[[Step], None] | None = None,
    progress: bool = True,
    device: str | torch.device | None = None,
    **changes,
) -> EmbedResult:
    """Find the latent codes whose images look like the photos.

    photos: one or several of: path, PIL image, tensor [N, 3, H, W] in [-1, 1]; cropped and resized to the generator.
    generator: a loaded one, its name or path; None is the shipped one. settings: see `EmbedSettings`; single ones
    can be changed by keyword, `embed(photo, steps=300)`.
    start: initial code, [w_dim], [num_ws, w_dim] or [N, num_ws, w_dim], in place of `settings.init`.
    perceptual: "auto", "vgg16", "slim" or a loaded network (`i2s.load_perceptual`).
    callback: called with a `Step` for each code that was compared. Ctrl-C returns what there is.
    All photos are embedded at once; each has its own loss, so none depends on its neighbours.
    Errors: ImageError, LatentError, SettingsError, DeviceError.
    """
    from i2s.generators import load_generator
    from i2s.images import load_photos
    from i2s.losses import ImageLoss
    from i2s.perceptual import load_perceptual

    settings = replace(settings or EmbedSettings(), **changes)
    if generator is None or isinstance(generator, str):
        generator = load_generator(*([] if generator is None else [generator]), device=device)
    generator = generator.eval().requires_grad_(False)
    device = generator.device
    if isinstance(perceptual, str):
        perceptual = load_perceptual(perceptual, device=device)
    targets = load_photos(photos, generator.resolution).to(device)  # [N, 3, R, R]
    loss = ImageLoss(perceptual, mse_weight=settings.mse_weight, tap_weights=settings.tap_weights)

    code = initial_code(generator, settings, len(targets), start)  # [N, 1 | num_ws, w_dim]
    with Recorder(settings, len(targets), generator, callback, progress) as recorder:
        try:
            _descend(code, generator, loss, targets, settings, recorder)
        except KeyboardInterrupt:
            recorder.stopped = "interrupted"
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"The device ran out of memory with {len(targets)} photos at {generator.resolution} px: "
                "embed fewer at once, or use a smaller generator."
            ) from error
    return recorder.result(generator, targets, perceptual)


def initial_code(generator: Generator, settings: EmbedSettings, count: int, start: Tensor | None = None) -> Tensor:
    """Step 1: the code that the search starts from, [count, num_ws, w_dim] in W+, [count, 1, w_dim] in W.

    In W there is one row, which every layer reads; optimising 18 rows that only start equal would be W+.
    """
    rows = 1 if settings.space == "w" else generator.num_ws
    if start is not None:
        code = _check_start(torch.as_tensor(start), generator, rows, count)
    elif settings.init == "mean":
        code = generator.w_mean.expand(count, rows, -1)
    else:
        rng = torch.Generator().manual_seed(settings.seed)
        # one draw for all photos: a photo's start does not depend on how many others come with it
        code = (torch.rand(1, rows, generator.w_dim, generator=rng) * 2 - 1).expand(count, -1, -1)
    return code.to(generator.device, torch.float32).clone()


def _check_start(start: Tensor, generator: Generator, rows: int, count: int) -> Tensor:
    shape = list(start.shape)
    if start.ndim == 1:
        start = start[None, None].expand(count, rows, -1)
    elif start.ndim == 2:
        start = start[None].expand(count, -1, -1)
    if start.ndim != 3 or start.shape[2] != generator.w_dim or start.shape[0] not in (1, count):
        raise LatentError(
            f"The initial code has shape {shape}, but {count} photos with this generator need [{generator.w_dim}], "
            f"[{generator.num_ws}, {generator.w_dim}] or [{count}, {generator.num_ws}, {generator.w_dim}]."
        )
    if not torch.isfinite(start).all():
        raise LatentError("The initial code holds NaN or infinity: give a code of finite numbers.")
    if rows == 1:
        if not torch.equal(start, start[:, :1].expand_as(start)):
            raise LatentError("The initial code's rows differ, but space is 'w' (one row for all layers): use space='w+'.")
        start = start[:, :1]
    elif start.shape[1] != rows:
        raise LatentError(f"The initial code has {start.shape[1]} rows, but this generator has {rows} layers.")
    return start.expand(count, -1, -1)


def _descend(code: Tensor, generator: Generator, loss, targets: Tensor, settings: EmbedSettings, recorder) -> None:
    """Steps 2 to 5. `recorder.add` sees each code with its own image and loss, the last one included."""
    prepared = loss.prepare(targets)  # the photos' features: once, not at every step
    code.requires_grad_(True)
    adam = torch.optim.Adam([code], lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon)
    for step in range(settings.steps + 1):
        last = step == settings.steps
        with torch.set_grad_enabled(not last):
            w_plus = code.expand(-1, generator.num_ws, -1)
            image = generator.synthesis(w_plus)  # 2. generate
            terms = loss(image, prepared)  # 3. compare: {name: [N]}
            total = sum(terms.values())  # [N]
        if not torch.isfinite(total).all():
            recorder.stopped = f"the loss was no longer a finite number at step {step}"
            return
        recorder.add(step, code, image, terms)
        if not last:
            adam.zero_grad(set_to_none=True)
            total.sum().backward()  # each photo's gradient is its own
            adam.step()  # 4. update


class Recorder:
    """Keeps what a run produces: loss history, snapshots, and the newest code with the image and loss that belong to it."""

    def __init__(self, settings: EmbedSettings, count: int, generator: Generator, callback, progress: bool):
        self.settings, self.num_ws, self.callback = settings, generator.num_ws, callback
        self.history: dict[str, list[Tensor]] = {}
        self.snapshots: dict[int, Tensor] = {}
        wanted = torch.linspace(0, settings.steps, settings.snapshots) if settings.snapshots else torch.empty(0)
        self.wanted = {round(float(step)) for step in wanted}
        self.code = self.image = None
        self.stopped = ""
        self.step = 0
        label = f"embedding {count} photo" + ("s" if count > 1 else "")
        self.bar = tqdm(total=settings.steps, desc=label, disable=not progress, leave=False)

    def __enter__(self) -> "Recorder":
        self.started = time.perf_counter()
        return self

    def __exit__(self, *_) -> None:
        self.seconds = time.perf_counter() - self.started
        self.bar.close()

    def add(self, step: int, code: Tensor, image: Tensor, terms: dict[str, Tensor]) -> None:
        terms = {name: value.detach() for name, value in terms.items()}
        code = code.detach().clone()
        for name, value in terms.items():
            self.history.setdefault(name, []).append(value)
        self.code, self.image, self.step = code, image.detach(), step
        if step in self.wanted:
            self.snapshots[step] = code.cpu()
        self.bar.update(step - self.bar.n)
        if self.callback is not None:
            w_plus = code.expand(-1, self.num_ws, -1)
            elapsed = time.perf_counter() - self.started
            self.callback(Step(step, self.settings.steps, terms, w_plus, self.image, elapsed))

    def result(self, generator: Generator, targets: Tensor, perceptual) -> EmbedResult:
        if self.code is None:
            raise LatentError(f"The embedding stopped before its first image ({self.stopped}): look at the initial code.")
        self.snapshots[self.step] = self.code.cpu()
        steps = sorted(self.snapshots)
        wide = lambda code: code.expand(-1, self.num_ws, -1).contiguous()  # noqa: E731
        return EmbedResult(
            w_plus=wide(self.code).cpu(),
            image=self.image.float().cpu(),
            target=targets.float().cpu(),
            noise=[n.cpu() for n in generator.noise_maps()],
            history={name: torch.stack(values).cpu() for name, values in self.history.items()},
            snapshot_steps=steps,
            snapshots=torch.stack([wide(self.snapshots[s]) for s in steps]),
            settings=self.settings,
            generator=generator.describe(),
            perceptual=perceptual.describe(),
            seconds=self.seconds,
            stopped=self.stopped,
        )
