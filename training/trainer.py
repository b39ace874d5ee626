"""Training loop: three phases, reports, checkpoints.

    autoencode   encoder and generator learn to reconstruct the faces: W holds real faces from the start
    mapping      the mapping network is fitted to the codes of all faces
    adversarial  random codes, blends of faces' codes, and encoded photos against the discriminator; the photos are
                 also compared with their originals

See README.md in this folder.
"""

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from i2s.encoder import Encoder
from i2s.errors import OutputError, SettingsError, WeightFileError, one_line
from i2s.files import ensure_dir, with_prefix
from i2s.generators.base import Generator
from i2s.images import dequantize
from training import metrics
from training.checkpoint import load_checkpoint, restore_adam, save_checkpoint
from training.configs import TrainConfig
from training.features import VGG19, FeatureNet
from training.fir import fused_filter
from training.sheets import save_progress_sheet
from training.steps import TrainingSteps

PHASES = ("autoencode", "mapping", "adversarial", "done")
SAME = ("resolution", "channels", "discriminator_channels", "encoder_channels", "z_dim", "w_dim", "discriminator")
BEST = "best"  # folder, in the run's, of the checkpoint with the lowest Frechet distance
BEST_WITHOUT_NOISE = "best-without-noise"  # the same, before the noise inputs are let in
LOWEST_RATE = 0.05  # where the rates decay to
WHITENING_STEPS = 200  # between two updates of the bank's statistics


class Trainer(TrainingSteps):
    """Training loop; the networks and their steps are those of `TrainingSteps`.

    Goes on from the checkpoint of its folder, if there is one. On CUDA, steps with StyleGAN2's discriminator are
    captured as CUDA graphs.

    Args:
        config: Settings of the run; lengths and rates may differ from the checkpoint's, shapes of networks not.
        faces: uint8 [M, 3, R, R].
        feature_net: Of the reconstruction loss and the metric.
        folder: Folder of the run.
        device: Where to train.
        seed: Of initial weights and random numbers.
        vgg: For a projected discriminator.
        start: A trained generator to begin with; with `config.hold` it stands still at first.

    Raises:
        SettingsError: The folder holds a run of other networks, `start` is another network, or `vgg` is missing.
        WeightFileError: The checkpoint is damaged.
        OutputError: The folder cannot be written.
    """

    def __init__(
        self,
        config: TrainConfig,
        faces: Tensor,
        feature_net: FeatureNet,
        folder: str | Path,
        device: torch.device | str = "cpu",
        seed: int = 0,
        vgg: VGG19 | None = None,
        start: Generator | None = None,
    ):
        super().__init__(config, faces, feature_net, device, seed, vgg, start)
        self.folder = ensure_dir(folder, "the run's folder")
        self.state = {"phase": PHASES[0], "images": 0, "total": 0, "seconds": 0.0, "metric": None, "best": {}}
        self.state |= {"hold": start is not None, "noise": False, "frozen": False}
        self.stopping = False
        self.resume()
        if not self._noise_on():
            self.switch_noise_off()

    def start_adversarial(self, encoder: Encoder, discriminator: dict[str, Tensor] | None = None) -> None:
        """Begin with the adversarial phase, the encoder frozen, the mapping network as it is.

        Args:
            encoder: The encoder that was trained with the generator that the run starts from.
            discriminator: State of its discriminator; None: a fresh one.

        Raises:
            SettingsError: A network is not this configuration's.
        """
        try:
            self.encoder.load_state_dict(encoder.state_dict())
            if discriminator is not None:
                self.discriminator.load_state_dict(discriminator)
        except RuntimeError as error:
            raise SettingsError(f"A network has not this configuration's shapes ({one_line(error)}).") from error
        self.bank.replace(self.encode(torch.cat([self.faces, self.faces.flip(3)])))
        self.state |= {"phase": "adversarial", "hold": False, "frozen": True}
        self.make_optimizers(playing=True)

    # --- loop ------------------------------------------------------------------------------------------------------

    def train(
        self,
        seconds: float = math.inf,
        checkpoint_seconds: float = 180.0,
        report: Callable[[str], None] = print,
    ) -> None:
        """Train to the end of the run, for `seconds` at most, or until `stop()`; writes checkpoints.

        A step that fails is not saved: the checkpoint before it stands.
        """
        start = time.time()
        saved = start
        self.sums.clear()
        elapsed = 0.0  # seconds of the steps since the last report
        with fused_filter() if self.device.type == "cuda" else nullcontext():
            while self.state["phase"] != "done" and not self.stopping and time.time() - start < seconds:
                # Next phase
                if self._phase_length() <= self.state["images"]:
                    self._next_phase(report)
                    elapsed = 0.0
                    continue
                if self.state["phase"] == "mapping":
                    self.fit_mapping(report)
                    self.g_ema.load_state_dict(self.generator.state_dict())
                    self._next_phase(report)
                    continue

                # One batch
                before = time.time()
                self.set_rates(self._rate_factor())
                self.state["noise"] = self._noise_on()
                if self.state["phase"] == "autoencode":
                    self._autoencode()
                else:
                    self._adversarial(report)
                self.update_ema(self.state["images"])
                self.state["images"] += self.config.batch
                self.state["total"] += self.config.batch
                elapsed += time.time() - before
                self.state["seconds"] += time.time() - before

                # Reports, metric, checkpoint
                if self._crossed(self.config.report_kimg):
                    self._report(elapsed, report)
                    elapsed = 0.0
                if self.state["phase"] == "adversarial" and self._crossed(self.config.metric_kimg):
                    self.measure(report)
                if time.time() - saved > checkpoint_seconds:
                    self.save()
                    saved = time.time()
        self.stopping = False
        self.save()

    def stop(self) -> None:
        """End `train` after the current step; for signal handlers and reports."""
        self.stopping = True

    def _progress(self) -> float:
        """Done share of the phase."""
        return self.state["images"] / max(self._phase_length(), 1e-9)

    def _noise_on(self) -> bool:
        """True if the noise inputs take part now."""
        share = self.config.noise_from
        return share == 0 or (share < 1 and self.state["phase"] == "adversarial" and self._progress() >= share)

    def _phase_length(self) -> float:
        """Length of the phase in images; of the mapping phase, which shows none, its optimiser steps."""
        c = self.config
        kimg = {"autoencode": c.autoencode, "mapping": c.mapping_steps, "adversarial": c.adversarial}
        return kimg[self.state["phase"]] * 1000

    def _next_phase(self, report: Callable[[str], None]) -> None:
        self.state["phase"] = PHASES[PHASES.index(self.state["phase"]) + 1]
        self.state["images"] = 0
        self.sums.clear()
        self.make_optimizers(playing=self.state["phase"] == "adversarial")
        report(f"phase: {self.state['phase']}")

    def _crossed(self, kimg: float) -> bool:
        """True if the last batch crossed a multiple of `kimg` thousand images."""
        now = self.state["images"]
        return now // int(kimg * 1000) != (now - self.config.batch) // int(kimg * 1000)

    def _rate_factor(self) -> float:
        """Factor of the learning rates: warm-up at the start of a phase, decay at the end of the adversarial one."""
        c = self.config
        factor = 1.0
        if c.warm_up:
            factor = min(1.0, (self.state["images"] + c.batch) / (c.warm_up * 1000))
        if c.decay and self.state["phase"] == "adversarial":
            factor = min(factor, max(LOWEST_RATE, (1 - self._progress()) / c.decay))
        return factor

    def _autoencode(self) -> None:
        hold = self.state["hold"] and self.state["images"] < self.config.hold * 1000
        self.run(self.autoencode_step, hold=hold, noise=self.state["noise"])

    def _adversarial(self, report: Callable[[str], None] = lambda text: None) -> None:
        """One batch: the steps of both networks, and those that come at intervals."""
        c = self.config
        step = self.state["images"] // c.batch

        # The encoder stands still from here on
        if not self.state["frozen"] and self._progress() >= c.freeze_from:
            self.fit_mapping(report)
            self.state["frozen"] = True
        if c.mapping == "refit" and self.state["images"] and self._crossed(c.refit_kimg):
            self.fit_mapping()

        # Steps
        lead = self.state["images"] < c.discriminator_lead * 1000
        terms = self.run(self.adversarial_step, lead=lead, noise=self.state["noise"], frozen=self.state["frozen"])
        if c.discriminator == "stylegan2" and step % c.r1_interval == 0:
            self.run(self.r1_step)
        if c.mapping == "match":
            self.run(self.match_step)
            if step % WHITENING_STEPS == 0 and not self.state["frozen"]:
                self.bank.update_statistics()

        # Augmentation
        self.augment.update(terms["sign"], c.batch)

    # --- reports ---------------------------------------------------------------------------------------------------

    def _report(self, seconds: float, report: Callable[[str], None]) -> None:
        """Log one line: the mean of each term over the steps that had it, and the speed; write the contact sheet."""
        before = time.time()
        means = {name: round(float(total) / count, 4) for name, (total, count) in self.sums.items()}
        seconds += time.time() - before  # on CUDA the steps end here
        images = self.config.batch * next(iter(self.sums.values()))[1]
        line = self._where(self.state["phase"]) | means | {"augment": round(float(self.augment.p), 4)}
        line["images_per_second"] = round(images / max(seconds, 1e-9), 1)
        self.sums.clear()
        self._log(line)
        report(json.dumps(line))
        self._save_sheet("latest.png")

    def measure(self, report: Callable[[str], None] = print) -> dict[str, float]:
        """Measure the moving average, log it, write a contact sheet, and keep the best checkpoint so far."""
        scores = metrics.evaluate(
            self.g_ema, self._real_features, self.feature_net, self.config.metric_samples, dtype=self.dtype
        )
        line = self._where("metric") | scores
        self._log(line)
        report(json.dumps(line))
        self._save_sheet(f"sheet-{int(self.state['images'] / 1000):05d}.png")
        self.state["metric"] = scores["frechet"]
        best = BEST if self.state["noise"] or self.config.noise_from == 1 else BEST_WITHOUT_NOISE
        if scores["frechet"] < self.state["best"].get(best, math.inf):
            self.state["best"][best] = scores["frechet"]
            self.save(best)  # adversarial training does not settle: what is best now may be gone later
        return scores

    @functools.cached_property
    def _real_features(self) -> Tensor:
        """Features of all faces [M, C], for the metric."""
        return metrics.embed_faces(self.faces, self.feature_net, self.device)

    def _save_sheet(self, name: str) -> None:
        photos = w = None
        if self.config.encoded or self.config.autoencode:
            photos = dequantize(self.faces[:12])
            w = self.encode(self.faces[:12])
        save_progress_sheet(self.g_ema, self.folder / name, photos, w, self.dtype)

    def _where(self, phase: str) -> dict:
        return {"phase": phase, "kimg": self.state["images"] / 1000, "total_kimg": self.state["total"] / 1000}

    def _log(self, line: dict) -> None:
        path = self.folder / "log.jsonl"
        try:
            with open(path, "a") as file:
                file.write(json.dumps(line | {"time": round(time.time(), 1)}) + "\n")
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({one_line(error)}): free some space.") from error

    # --- checkpoints -----------------------------------------------------------------------------------------------

    def save(self, subfolder: str = "") -> Path:
        """Write a complete checkpoint to the run's folder."""
        tensors = self.live_tensors()
        for name in ("adam_g", "adam_d"):  # beta1 is 0, so the first moment is the last gradient: see _restore
            tensors = {k: v for k, v in tensors.items() if not (k.startswith(name) and k.endswith(".exp_avg"))}
        tensors["rng"] = self.rng.get_state()
        state = self.state | {"config": dataclasses.asdict(self.config)}
        return save_checkpoint(self.folder / subfolder, tensors, state)

    def resume(self) -> bool:
        """Go on from the checkpoint of the run's folder, if there is one."""
        found = load_checkpoint(self.folder)
        if found is None:
            return False
        tensors, state = found
        if not {"config", "phase", "images", "total"} <= state.keys():
            raise SettingsError(f"The checkpoint in {self.folder} is of another command: choose another folder.")
        self._check_same_networks(state.pop("config"))
        fresh, self.state = self.state, state
        self.make_optimizers(playing=self.state["phase"] == "adversarial")  # their rates are those of the phase
        try:
            self._restore(tensors)
        except (KeyError, RuntimeError) as error:
            self.state = fresh
            reason = str(error).splitlines()[0]
            raise WeightFileError(f"The checkpoint in {self.folder} does not fit ({reason}): remove it.") from error
        return True

    def _check_same_networks(self, theirs: dict) -> None:
        for name in SAME:
            ours = getattr(self.config, name)
            ours = list(ours) if isinstance(ours, tuple) else ours
            if ours != theirs.get(name):
                raise SettingsError(
                    f"The run in {self.folder} has {name} {theirs.get(name)}, but the configuration says {ours}: "
                    "choose that run's configuration, or another folder."
                )

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        for name, network in self.networks().items():
            network.load_state_dict(with_prefix(tensors, f"{name}."))
        for name, optimizer in self.optimizers().items():
            memory = with_prefix(tensors, f"{name}.")
            squares = {k.removesuffix("_sq"): v for k, v in memory.items() if k.endswith(".exp_avg_sq")}
            restore_adam(optimizer, {k: torch.zeros_like(v) for k, v in squares.items()} | memory)
        self.rng.set_state(tensors["rng"])
        self.augment.p.copy_(tensors["augment.p"]).clamp_(min=self.config.augment_least)
