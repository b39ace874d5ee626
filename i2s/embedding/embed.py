"""The verb of this package: `embed`."""

import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from i2s.device import OutOfMemoryError
from i2s.embedding.checkpoint import Checkpoint, described, identity_of
from i2s.embedding.history import Recorder, Step
from i2s.embedding.init import initial_code
from i2s.embedding.loop import descend
from i2s.embedding.noise_maps import fresh_maps, shows_noise, stored_maps
from i2s.embedding.objective import Objective, code_loss, noise_loss, tuning_loss
from i2s.embedding.presets import preset_settings
from i2s.embedding.result import EmbedResult
from i2s.embedding.settings import EmbedSettings
from i2s.embedding.stages import CodeSearch, NoiseSearch
from i2s.embedding.tasks import held_in_w_plus
from i2s.embedding.tuning import tune
from i2s.errors import DeviceError, SettingsError
from i2s.generators.base import Generator
from i2s.losses import Sum


def embed(
    photos,
    generator: Generator | str | Path | None = None,
    settings: EmbedSettings | None = None,
    *,
    preset: str | None = None,
    start: Tensor | None = None,
    perceptual="auto",
    loss=None,
    degradation: Callable[[Tensor], Tensor] | None = None,
    mask=None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    resume: bool = False,
    callback: Callable[[Step], None] | None = None,
    progress: bool = True,
    device: str | torch.device | None = None,
    **changes,
) -> EmbedResult:
    """Find the latent codes whose images look like the photos.

    photos: one or several of: path, PIL image, tensor [N, 3, H, W] in [-1, 1]; cropped and resized to the generator.
    generator: a loaded one, its name or path; None is the shipped one.
    settings: see `EmbedSettings`. preset: those of a paper, by name (`i2s.embedding.presets`).
    changes: single settings, by keyword: `embed(photo, preset="ii2s", steps=300)`; `budget` alone stands in for steps.
    start: initial code in place of `settings.init`, [w_dim], [num_ws, w_dim] or [N, num_ws, w_dim]; in Z [N, z_dim].
    perceptual: "auto", "vgg16", "slim" or a loaded network (`i2s.load_perceptual`).
    loss: a term or `Sum` of `i2s.losses` in place of the one that the settings' weights describe.
    degradation: what photos and images are both seen through, a function of images (`i2s.embedding.degradations`). `Inpaint` and
    `Grey` in W+ bring a p_norm_weight of 0.03, unless it is given, by keyword or in `settings`, or the preset has one.
    mask: how much each pixel counts: a picture (white counts), or a tensor [N|1, 1, R, R] in 0..1.
    device: where a generator given by name or path is put; None: the CPU. A loaded one stays where it is.
    checkpoint: a file to which the state is written every `checkpoint_every` updates. With `resume` the search goes on
    from it, where it is there; on the CPU bit for bit as if it had never stopped.
    callback: called with a `Step` for each code that was compared. Ctrl-C returns what there is, after the first one.
    All photos are embedded at once; each has its own loss, optimiser state and end, so none depends on its neighbours,
    beyond rounding. The generator is frozen (`requires_grad_(False)`) and in `eval` mode afterwards.
    Errors: ImageError, LatentError, SettingsError, DeviceError, OutputError.
    """
    from i2s.generators import load_generator
    from i2s.images import load_photos
    from i2s.losses.perceptual import load_perceptual

    bare = settings is None and "p_norm_weight" not in changes
    settings = _settings(settings, preset, changes)
    settings = held_in_w_plus(settings, degradation) if bare and loss is None else settings
    if generator is None or isinstance(generator, str | Path):
        generator = load_generator(*([] if generator is None else [generator]), device=device)
    generator = generator.eval().requires_grad_(False)
    device = generator.device
    if isinstance(perceptual, str):
        taps = {} if perceptual == "slim" else {"taps": settings.taps}
        perceptual = load_perceptual(perceptual, device=device, **taps).to(generator.w_mean.dtype)
    # [N, 3, R, R], as precise as the codes: features in float32 would bring rounding into a search in float64
    targets = load_photos(photos, generator.resolution).to(generator.w_mean)
    mask = None if mask is None else load_mask(mask, generator.resolution).to(device)
    start = None if start is None else torch.as_tensor(start)

    notices: list[str] = []
    settings = _without_noise_that_does_not_show(settings, generator, notices)
    loss = code_loss(settings, generator, perceptual, notices) if loss is None else Sum(loss)
    if settings.tuning is not None:
        tuning_loss(loss, settings)  # says now what it cannot do, not after the search
    for notice in notices:
        warnings.warn(notice, stacklevel=2)
    names = described(loss), described(degradation)
    keeper = Checkpoint(checkpoint, checkpoint_every, {})
    if checkpoint is not None:
        keeper.identity = identity_of(targets, generator, settings, *names, (start, mask))

    with Recorder(settings, len(targets), generator, callback, progress) as recorder:
        recorder.notices = notices
        try:
            if resume and keeper.exists():
                recorder.restore(*keeper.read())
            objective = Objective(loss, targets, degradation, mask)
            code = initial_code(generator, settings, len(targets), start, objective)  # 1. start
            # 2. generate, 3. compare, 4. update, 5. repeat: each stage by `loop.descend`
            _search(code, objective, generator, settings, recorder, keeper)
        except KeyboardInterrupt:
            if recorder.w_plus is None:  # there is nothing yet to return
                raise
            recorder.stopped = "interrupted"
        except OutOfMemoryError as error:
            raise DeviceError(
                f"The device ran out of memory with {len(targets)} photos at {generator.resolution} px: "
                "embed fewer at once, or use a smaller generator."
            ) from error
    return recorder.result(targets, perceptual.describe(), *names)


def _search(
    code: Tensor,
    objective: Objective,
    generator: Generator,
    settings: EmbedSettings,
    recorder: Recorder,
    keeper: Checkpoint,
) -> None:
    """The stages, from the one on that a checkpoint stopped in; each starts from what the recorder holds."""
    count, first, noise = len(code), keeper.stage, settings.noise
    after = noise is not None and noise.when == "after"
    stages = 1 + after + (settings.tuning is not None)
    rest = settings, recorder, keeper

    def seconds(parts: int) -> float | None:
        """Of the budget that is left, for one of so many parts."""
        return None if settings.budget is None else (settings.budget - recorder.elapsed()) / parts

    if first == 0:
        maps = fresh_maps(generator, count, settings.seed) if noise is not None and not after else []
        descend(CodeSearch(generator, settings, code, maps), objective, *rest, seconds(stages))
    if after and first <= 1:
        keeper.stage = 1
        pixels = Objective(noise_loss(settings), objective.photos, objective.degradation, objective.mask)
        stage = NoiseSearch(generator, settings, recorder.w_plus, stored_maps(generator, count))
        descend(stage, pixels, *rest, seconds(stages - 1))
    if settings.tuning is not None:
        loss = tuning_loss(objective.loss, settings)
        both = Objective(loss, objective.photos, objective.degradation, objective.mask)
        for k in range(max(first - 2, 0), count):
            keeper.stage = 2 + k
            one = both.keep(torch.tensor([k], device=code.device))
            tune(k, one, generator, *rest, seconds(count - k))


def _settings(settings: EmbedSettings | None, preset: str | None, changes: dict) -> EmbedSettings:
    """The settings, those of the preset or the default ones, with single ones changed."""
    if settings is not None and preset is not None:
        raise SettingsError("Both settings and a preset were given: give one, and change single settings by keyword.")
    known = {field.name for field in fields(EmbedSettings)}
    if unknown := [name for name in changes if name not in known]:
        raise SettingsError(f"There is no setting {unknown[0]!r}: they are {', '.join(sorted(known))}.")
    if changes.get("budget") is not None and "steps" not in changes:
        changes = changes | {"steps": None}
    base = preset_settings(preset) if preset is not None else settings or EmbedSettings()
    return replace(base, **changes)


def _without_noise_that_does_not_show(
    settings: EmbedSettings, generator: Generator, notices: list[str]
) -> EmbedSettings:
    if settings.noise is None or shows_noise(generator):
        return settings
    notices.append(f"The noise maps are not searched for: they do not show in images of {generator.describe()}.")
    return replace(settings, noise=None)


def load_mask(mask, resolution: int) -> Tensor:
    """A mask [N|1, 1, R, R] in 0..1: such a tensor, or a picture (white is 1), cropped as photos are.

    ImageError, SettingsError.
    """
    from i2s.images import read_image, to_tensor
    from i2s.losses.combine import check_mask
    from i2s.photos import centre_crop

    if not isinstance(mask, Tensor):
        grey = to_tensor(centre_crop(read_image(mask))).mean(dim=1, keepdim=True)  # [1, 1, H, H]
        # by area: another filter would overshoot beside each edge
        mask = F.interpolate((grey + 1) / 2, (resolution, resolution), mode="area")
    return check_mask(mask)
