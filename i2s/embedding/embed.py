"""`embed`: optimise latent codes for photos (Image2StyleGAN)."""

import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from i2s.device import OutOfMemoryError
from i2s.embedding.checkpoint import Checkpoint, described, identity_of
from i2s.embedding.cuda_graphs import running
from i2s.embedding.degradations import Degradation, hides_nothing
from i2s.embedding.history import History, Step
from i2s.embedding.init import initial_code, start_code
from i2s.embedding.loop import optimize
from i2s.embedding.objective import Objective
from i2s.embedding.presets import preset_settings
from i2s.embedding.result import EmbedInterrupted, EmbedResult
from i2s.embedding.settings import EmbedSettings
from i2s.embedding.stages import (
    CodeStage,
    NoiseStage,
    Stage,
    TuningStage,
    code_loss,
    describe_networks,
    fresh_maps,
    lpips_weight,
    needs_perceptual,
    noise_loss,
    shows_noise,
    stored_maps,
    tuning_loss,
)
from i2s.embedding.stopping import Stopper, StopReason
from i2s.embedding.tasks import with_default_p_norm
from i2s.errors import DeviceError, SettingsError
from i2s.generators import load_generator
from i2s.generators.base import Generator
from i2s.images import load_mask, load_photos, photo_list
from i2s.latents import LatentStatistics
from i2s.losses import Term, WeightedSum
from i2s.losses.base import FeatureNet
from i2s.losses.perceptual import load_perceptual


@torch.inference_mode(False)  # switches gradients on, too
def embed(
    photos: Any,
    generator: Generator | str | Path | None = None,
    settings: EmbedSettings | None = None,
    *,
    preset: str | None = None,
    start: Any = None,
    perceptual: str | FeatureNet = "auto",
    loss: Term | WeightedSum | None = None,
    degradation: Degradation | None = None,
    mask: Any = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    resume: bool = False,
    callback: Callable[[Step], None] | None = None,
    progress: bool = True,
    device: str | torch.device | None = None,
    **changes: Any,
) -> EmbedResult:
    """Find the latent codes whose images look like the photos.

    All photos are embedded at once; each has its own loss, optimiser state and end, so none depends on its neighbours,
    beyond rounding. Gradients are on within, whatever `torch.no_grad` or `torch.inference_mode` says outside.

    Args:
        photos: One or several of: path, PIL image, tensor [N, 3, H, W] in [-1, 1]; cropped and resized as needed.
        generator: A loaded one, its name or path; None is the shipped one. It is frozen (`requires_grad_(False)`) and
            in `eval` mode afterwards.
        settings: See `EmbedSettings`.
        preset: Settings of a paper, by name (`i2s.embedding.presets`), in place of `settings`.
        start: Initial code: [w_dim], [1 | N, w_dim], [num_ws, w_dim] or [1 | N, 1 | num_ws, w_dim], or an
            `EmbedResult`; in Z [z_dim] or [1 | N, z_dim].
        perceptual: "auto", "vgg16", "slim" or a loaded network (`i2s.load_perceptual`); loaded if the loss of the
            settings needs it.
        loss: A term or `WeightedSum` of `i2s.losses` in place of the loss that the settings' weights describe.
        degradation: A function of images that both photos and images go through (`i2s.embedding.degradations`).
            `Inpaint` and `Grey` in W+ bring a p_norm_weight of 0.03, unless it is given, by keyword or in `settings`,
            or the preset has one.
        mask: How much each pixel counts: an image of the photos' proportions (white counts, transparent does not), or a
            tensor [N|1, 1, R, R] in 0..1.
        checkpoint: File to which the state is written every `checkpoint_every` updates. It replaces checkpoints of the
            same embedding alone. If one cannot be written on the way, the embedding goes on and a notice says so.
        checkpoint_every: Updates.
        resume: Go on from the checkpoint if the file exists; on the CPU bit for bit as if it had never stopped. There
            may be more steps than the run was begun with, where its schedule is constant.
        callback: Called with a `Step` for each code that was compared.
        progress: Show a progress bar.
        device: Where a generator given by name or path is put; None is the CPU. A loaded one stays where it is.
        changes: Single settings: `embed(photo, preset="ii2s", steps=300)`; `budget` alone stands in for steps.

    Returns:
        Codes, images, history and settings; `EmbedResult.save` writes them to a file.

    Raises:
        ImageError: A photo or a mask cannot be read.
        LatentError: `start` does not fit, or the checkpoint is broken.
        SettingsError: A setting is out of range or contradicts another; the checkpoint is of another embedding.
        WeightFileError: The generator or the perceptual network cannot be read.
        DownloadError: A network cannot be fetched.
        DeviceError: The device is missing or out of memory.
        OutputError: The checkpoint cannot be written, or would replace another file.
        EmbedInterrupted: Ctrl-C, once there is an image; it holds the result (`interrupted_result()`).
    """
    # Settings
    bare = settings is None and "p_norm_weight" not in changes and loss is None
    settings = _settings(settings, preset, changes)
    if bare:
        settings = with_default_p_norm(settings, degradation)
    if resume and checkpoint is None:
        raise SettingsError("resume=True goes on from a checkpoint, but none is given: name it, checkpoint=FILE.")

    writer = Checkpoint(checkpoint, checkpoint_every, {})

    # Generator, photos and mask
    generator = _generator(photos, generator, device).eval().requires_grad_(False)
    _leave_inference_mode(generator)
    photos = photo_list(photos)
    # as precise as the codes: features in float32 would bring rounding into an optimisation in float64
    targets = load_photos(photos, generator.resolution).to(generator.w_mean).clone()  # [N, 3, R, R]
    notices: list[str] = []
    if mask is not None:
        mask = load_mask(mask, generator.resolution, photos).to(generator.device).clone()
    if hides_nothing(mask, degradation):
        notices.append("The mask is white everywhere in the central square, so that it hides nothing.")
    start = None if start is None else start_code(start, settings.space)

    # Loss
    settings = _without_noise_that_does_not_show(settings, generator, notices)
    if loss is not None:
        loss = WeightedSum(loss)
    else:
        net = _network(perceptual, settings, generator) if needs_perceptual(settings) else None
        if isinstance(net, nn.Module):
            _leave_inference_mode(net)
        loss = code_loss(settings, generator, net, notices)
    if settings.tuning is not None:
        tuning_loss(loss, settings)  # raises now what it raises, not after the code is found
    for notice in notices:
        warnings.warn(notice, stacklevel=3)  # beyond the decorator

    if checkpoint is not None:
        writer.identity = identity_of(targets, generator, settings, loss, degradation, (start, mask))
        if not resume:
            writer.check_replaceable()
    stopper = Stopper(settings, len(targets), targets.device)
    with running(), History(settings, len(targets), generator, stopper, callback, progress) as history:
        try:
            if resume and writer.exists():
                state = writer.read()
                history.load_state_dict(state["history"])
                stopper.load_state_dict(state["stopper"])
            objective = Objective(loss, targets, degradation, mask)

            # 1. Initial code
            code = initial_code(generator, settings, len(targets), start, objective)

            # 2. generate, 3. compare, 4. update, 5. repeat: `loop.optimize`, stage by stage
            _run_stages(code, objective, generator, settings, stopper, history, writer)
        except KeyboardInterrupt:
            if history.w_plus is None:  # there is nothing yet to return
                raise
            stopper.interrupted = True
        except OutOfMemoryError as error:
            raise DeviceError(
                f"The device ran out of memory with {len(targets)} photos at {generator.resolution} px: "
                "embed fewer at once, or use a smaller generator."
            ) from error
    notices += [writer.failure] if writer.failure else []
    result = history.result(targets, describe_networks(loss), described(loss), described(degradation), notices)
    if result.interrupted:
        raise EmbedInterrupted(result)
    return result


def _run_stages(
    code: Tensor,
    objective: Objective,
    generator: Generator,
    settings: EmbedSettings,
    stopper: Stopper,
    history: History,
    checkpoint: Checkpoint,
) -> None:
    """Run the stages, from the one that a checkpoint stopped in; each starts from the newest codes of the history."""
    count = len(code)
    first = checkpoint.stage
    tunes = settings.tuning is not None
    rest = stopper, history, checkpoint

    if first == 0:
        joint = settings.noise is not None and not settings.noise_follows
        maps = fresh_maps(generator, count, settings.seed) if joint else []
        _run(CodeStage(generator, settings, code, maps), objective, 1 + settings.noise_follows + tunes, *rest)
    if settings.noise_follows and first <= 1:
        checkpoint.stage = 1
        stage = NoiseStage(generator, settings, history.w_plus, stored_maps(generator, count))
        _run(stage, objective.with_loss(noise_loss(settings)), 1 + tunes, *rest)
    if tunes:
        objective = objective.with_loss(tuning_loss(objective.loss, settings))
        for k in range(max(first - 2, 0), count):
            checkpoint.stage = 2 + k
            one = objective.select(torch.arange(k, k + 1, device=code.device))
            _tune(k, one, generator, settings, count - k, *rest)


def _run(
    stage: Stage, objective: Objective, parts: int, stopper: Stopper, history: History, checkpoint: Checkpoint
) -> None:
    """Run a stage, from its beginning or from a checkpoint; `parts` stages share what is left of the budget."""
    saved = checkpoint.take()
    if saved is None:
        stopper.begin(stage.steps, history.begin(stage), parts)
    else:
        rows = saved["stage"]["rows"].to(stage.rows)
        if len(rows) < len(stage.rows):  # the other photos were done
            index = torch.isin(stage.rows, rows).nonzero().squeeze(1)
            stage = stage.select(index)
            objective = objective.select(index)
    optimizer = stage.optimizer(objective.loss)
    if saved is not None:
        stopper.steps = stage.steps  # there may be more of them now
        stage.load_state_dict(saved["stage"])
        optimizer.load_state_dict(saved["optimizer"])
    optimize(stage, objective, optimizer, stopper, history, checkpoint)


def _tune(
    k: int,
    objective: Objective,
    generator: Generator,
    settings: EmbedSettings,
    parts: int,
    stopper: Stopper,
    history: History,
    checkpoint: Checkpoint,
) -> None:
    """Tune the generator for photo k, at its code and noise; if the loss is no number, the photo keeps its pivot."""
    noise = [maps[k : k + 1] for maps in history.noise]
    weight = lpips_weight(objective.loss)
    stage = TuningStage(generator, settings, k, history.w_plus[k : k + 1], noise, weight)
    try:
        _run(stage, objective, parts, stopper, history, checkpoint)
    except KeyboardInterrupt:
        # the weights may be an update beyond the newest image: generate and compare what they draw now
        with torch.no_grad():
            synthesis = stage.synthesize(0, 1.0)
            terms = objective(*synthesis)
        finite = torch.ones_like(stage.rows, dtype=torch.bool)
        history.append(history.photo_steps[k], stage, synthesis, terms, finite, notify=False)
        history.keep_tuned(k, stage.weights())
        raise
    if stopper.reasons[k] is StopReason.NOT_FINITE:
        history.discard_tuning(k, stopper.step_offset)
    else:
        history.keep_tuned(k, stage.weights())


def _settings(settings: EmbedSettings | None, preset: str | None, changes: dict[str, Any]) -> EmbedSettings:
    """Return the settings, those of the preset or the default ones, with single ones changed."""
    if settings is not None and preset is not None:
        raise SettingsError("Both settings and a preset were given: give one, and change single settings by keyword.")
    known = {field.name for field in fields(EmbedSettings)}
    if unknown := [name for name in changes if name not in known]:
        raise SettingsError(f"There is no setting {unknown[0]!r}: they are {', '.join(sorted(known))}.")
    if changes.get("budget") is not None and "steps" not in changes:
        changes = changes | {"steps": None}
    base = preset_settings(preset) if preset is not None else settings or EmbedSettings()
    return replace(base, **changes)


def _generator(photos: Any, generator: Any, device: str | torch.device | None) -> Generator:
    """Return the generator, loaded if it is given by name or path."""
    if isinstance(photos, nn.Module) or not isinstance(generator, Generator | str | Path | None):
        found = type(photos if isinstance(photos, nn.Module) else generator).__name__
        place = "photos" if isinstance(photos, nn.Module) else "generator"
        raise SettingsError(f"The {place} cannot be a {found}: photos come first, embed(photos, generator).")
    if generator is None or isinstance(generator, str | Path):
        return load_generator(*([] if generator is None else [generator]), device=device)
    return generator


def _leave_inference_mode(network: nn.Module) -> None:
    """Replace the weights that were made in `torch.inference_mode`, which have no gradients, by copies that have."""
    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None and weight.is_inference():
                module._parameters[name] = nn.Parameter(weight.clone(), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_inference():
                module._buffers[name] = buffer.clone()
        # what a layer has kept of its weights, and the statistics of W
        frozen = getattr(module, "_frozen", None)
        if frozen is not None and frozen.squares.is_inference():
            module._frozen = None
        if getattr(module, "latents", None) is not None and module.latents.mean.is_inference():
            module.latents = LatentStatistics(*(x.clone() for x in vars(module.latents).values()))


def _network(perceptual: str | FeatureNet, settings: EmbedSettings, generator: Generator) -> FeatureNet:
    """Return the perceptual network, loaded if it is given by name."""
    if not isinstance(perceptual, str):
        return perceptual
    taps = {} if perceptual == "slim" else {"taps": settings.taps}
    return load_perceptual(perceptual, device=generator.device, **taps).to(generator.w_mean.dtype)


def _without_noise_that_does_not_show(
    settings: EmbedSettings, generator: Generator, notices: list[str]
) -> EmbedSettings:
    """Return the settings without noise maps if these change no image of the generator."""
    if settings.noise is None or shows_noise(generator):
        return settings
    notices.append(f"The noise maps are not optimised: they do not show in images of {generator.describe()}.")
    return replace(settings, noise=None)
