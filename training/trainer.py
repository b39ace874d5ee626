"""The training run: networks, optimisers, three phases, and what is written along the way.

    autoencode   encoder and generator learn to redraw the faces: W holds real faces from the start
    mapping      the mapping network learns to send z to where the encoder put them
    adversarial  StyleGAN2 training: the discriminator judges generated faces, and a share that starts from photos

A GPU run has only the last. See README.md in this folder.
"""

import copy
import dataclasses
import json
import time
from pathlib import Path

import torch
from torch import Tensor

from i2s.errors import OutputError, SettingsError, WeightFileError, one_line
from i2s.files import ensure_dir
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from training import losses
from training.augment import AdaptiveAugment
from training.checkpoint import adam_tensors, load_checkpoint, restore_adam, save_checkpoint
from training.configs import Preset
from training.dataset import Batches, to_range
from training.discriminators import Discriminator, Encoder
from training.features import VGG19, SqueezeNet
from training.projected import ProjectedDiscriminator, hinge_discriminator, hinge_generator
from training.sheets import save_sheet
from training.warm_start import fit_mapping

PHASES = ("autoencode", "mapping", "adversarial", "done")
BEST = "best"  # the folder, inside the run's, of the checkpoint with the lowest Frechet distance


class Trainer:
    """Everything a run owns. `train(seconds)` goes on from where the folder's checkpoint stands.

    faces: uint8 [M, 3, R, R]; features: SqueezeNet (the eye of the reconstruction loss and of the metric); vgg: the
    eye of a projected discriminator.
    Errors: SettingsError (the folder holds a run of other networks), WeightFileError (its checkpoint is damaged),
    OutputError (it cannot be written).
    """

    def __init__(
        self,
        preset: Preset,
        faces: Tensor,
        features: SqueezeNet,
        folder: str | Path,
        device="cpu",
        seed: int = 0,
        vgg: VGG19 | None = None,
    ):
        self.preset, self.faces, self.device = preset, faces, torch.device(device)
        self.folder = ensure_dir(folder, "the run's folder")
        config = StyleGAN2Config(preset.resolution, preset.z_dim, preset.w_dim, channels=preset.channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # initial weights; every draw of the run comes from the two generators below
            self.generator = StyleGAN2(config).to(device)
            self.discriminator = self._make_discriminator(vgg)
            self.encoder = Encoder(preset.discriminator_channels, preset.w_dim).to(device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.features = features.to(device)
        self.rng = torch.Generator(device).manual_seed(seed)
        self.batches = Batches(faces, preset.batch, torch.Generator().manual_seed(seed + 1), device)
        self.augment = AdaptiveAugment(self.rng, images=preset.augment_images, least=preset.augment_least)
        self.dtype = None if preset.dtype == "float32" else getattr(torch, preset.dtype)
        self.path_mean = torch.zeros([], device=device)
        self.state = {"phase": PHASES[0], "images": 0, "total": 0, "seconds": 0.0, "metric": None}
        self.stopping = False
        self._make_optimizers()
        self.resume()
        if not preset.noise:
            self._switch_noise_off()

    def _make_discriminator(self, vgg: VGG19 | None) -> torch.nn.Module:
        if self.preset.discriminator == "stylegan2":
            return Discriminator(self.preset.discriminator_channels).to(self.device)
        if vgg is None:
            raise SettingsError("This preset's discriminator looks through VGG-19: give its weights with --vgg.")
        return ProjectedDiscriminator(vgg, self.preset.resolution).to(self.device)

    def _make_optimizers(self) -> None:
        p = self.preset
        # lazy regularisation runs every k-th step, so the optimiser sees k + 1 steps as k (StyleGAN2, appendix B)
        ratio = p.r1_interval / (p.r1_interval + 1)
        if p.discriminator == "projected":
            ratio = 1.0  # no R1: the heads' spectral norms keep them smooth
        adam = lambda weights, rate, beta2: torch.optim.Adam(  # noqa: E731
            weights, lr=rate, betas=(0.0, beta2), eps=1e-8
        )
        drawing = self.generator.synthesis if p.refit_kimg else self.generator
        own = [*drawing.parameters(), *self.encoder.parameters()]
        rate = (p.adversarial_rate if self.state["phase"] == "adversarial" else 0.0) or p.learning_rate
        self.adam_g = adam(own, rate, 0.99)
        self.adam_d = adam(self.discriminator.trained(), (p.discriminator_rate or rate) * ratio, 0.99**ratio)

    def _switch_noise_off(self) -> None:
        """No layer adds noise, even where the run began with it: the stored maps then have no effect."""
        for network in (self.generator, self.average):
            for name, strength in network.named_parameters():
                if name.endswith("noise_strength"):
                    strength.data.zero_()

    # ---- phases -------------------------------------------------------------------------------------------

    def train(self, seconds: float, checkpoint_seconds: float = 180.0, report=print) -> None:
        """Train for `seconds` at most, or until `stop()`; checkpoints on the way and at the end.

        report: called with each line of text. A step that fails is not saved: the checkpoint before it stands.
        """
        start = last = time.time()
        window: list[tuple[dict[str, float], float]] = []  # terms and seconds of each step since the last report
        while self.state["phase"] != "done" and not self.stopping and time.time() - start < seconds:
            if self._phase_length() <= self.state["images"]:
                self._next_phase(report)
                window = []
                continue
            if self.state["phase"] == "mapping":
                self._fit_mapping(report)
                continue
            before = time.time()
            terms = self._autoencode() if self.state["phase"] == "autoencode" else self._adversarial()
            terms = {name: float(value) for name, value in terms.items()}
            window.append((terms, time.time() - before))
            self.state["seconds"] += window[-1][1]
            self.state["images"] += self.preset.batch
            self.state["total"] += self.preset.batch
            if self._crossed(self.preset.report_kimg):
                self._report(window, report)
                window = []
            if self.state["phase"] == "adversarial" and self._crossed(self.preset.metric_kimg):
                self.measure(report)
            if time.time() - last > checkpoint_seconds:
                self.save()
                last = time.time()
        self.stopping = False
        self.save()

    def stop(self) -> None:
        """End `train` after the step under way; for signal handlers and reports."""
        self.stopping = True

    def _autoencode(self) -> dict[str, Tensor]:
        """One step of phase 1: photo -> encoder -> w -> synthesis -> photo."""
        real = next(self.batches)
        w = self.encoder(real, self.dtype)
        w = w + 0.05 * self._normal(w.shape)  # neighbours of a code draw the same face
        image = self._synthesize(w[:, None].expand(-1, self.generator.num_ws, -1))
        loss = self._reconstruction(image, real)
        self._step(self.adam_g, loss + 0.01 * w.square().mean())
        self._update_average()
        return {"reconstruction": loss.detach()}

    def _fit_mapping(self, report) -> None:
        """Phase 2: give mapping(z) the distribution of the encoder's codes; see `training.warm_start`."""
        self._refit_mapping(report)
        self.average.load_state_dict(self.generator.state_dict())
        self._next_phase(report)

    def _refit_mapping(self, report=lambda text: None) -> None:
        """Fit the mapping network to the codes the encoder gives the faces now; the moving average takes it over."""
        mapping = self.generator.mapping
        codes = self._encode(torch.cat([self.faces, self.faces.flip(3)]))
        fit_mapping(mapping, codes, self.preset.mapping_steps, self.rng, report)
        with torch.no_grad():
            w = mapping.to_w(self._normal((10_000, self.preset.z_dim)))
        mapping.w_mean.copy_(w.mean(0))  # from here on it follows in small steps
        self.average.mapping.load_state_dict(mapping.state_dict())

    @torch.no_grad()
    def _encode(self, faces: Tensor) -> Tensor:
        """The codes w [M, w_dim] of uint8 faces [M, 3, R, R]."""
        return torch.cat([self.encoder(to_range(f, self.device), self.dtype) for f in faces.split(256)])

    def _adversarial(self) -> dict[str, Tensor]:
        """One step of phase 3: the generator's move, then the discriminator's."""
        p = self.preset
        step = self.state["images"] // p.batch
        real = next(self.batches)
        encoded = int(p.batch * p.encoded)

        generator_loss, discriminator_loss = losses.generator_loss, losses.discriminator_loss
        if p.discriminator == "projected":
            generator_loss, discriminator_loss = hinge_generator, hinge_discriminator
        if p.refit_kimg and self.state["images"] and self._crossed(p.refit_kimg):
            self._refit_mapping()
        self._set_trained(False)
        w_plus = self._random_w_plus(p.batch - encoded)
        if encoded:
            w = self.encoder(real[:encoded], self.dtype)
            w_plus = torch.cat([w_plus, w[:, None].expand(-1, self.generator.num_ws, -1)])
        fake = self._synthesize(w_plus)
        seen = self.discriminator.look(self.augment(fake), self.dtype)  # once, for both moves
        g_loss = generator_loss(self.discriminator.judge(seen, self.dtype))
        total, terms = g_loss, {"g": g_loss.detach()}
        if encoded:
            reconstruction = self._reconstruction(fake[-encoded:], real[:encoded])
            total = total + p.reconstruction_weight * reconstruction
            terms["reconstruction"] = reconstruction.detach()
        leading = self.state["images"] < p.discriminator_lead * 1000
        if not leading:
            self._step(self.adam_g, total)
        if not leading and p.path_length_weight and step % p.path_length_interval == 0:
            w_plus = self._random_w_plus(p.batch // 2)
            penalty, self.path_mean = losses.path_length_penalty(
                self._synthesize(w_plus), w_plus, self.path_mean, self.rng
            )
            self._step(self.adam_g, penalty * p.path_length_weight * p.path_length_interval)
            terms["path"] = penalty.detach()
        self._update_average()

        self._set_trained(True)
        fake_score = self.discriminator.judge([x.detach() for x in seen], self.dtype)
        real = next(self.batches)
        real_score = self.discriminator(self.augment(real), self.dtype)
        d_loss = discriminator_loss(real_score, fake_score)
        self._step(self.adam_d, d_loss)
        if p.discriminator == "stylegan2" and step % p.r1_interval == 0:
            real = real.requires_grad_()
            r1 = losses.r1_penalty(real, self.discriminator(self.augment(real), self.dtype))
            self._step(self.adam_d, r1 * p.r1_gamma / 2 * p.r1_interval)
            self.state["r1"] = r1.item()
        sign = real_score.detach().sign().mean()
        self.augment.update(float(sign), p.batch)
        terms |= {"d": d_loss.detach(), "sign": sign, "augment": torch.tensor(self.augment.p)}
        return terms

    def _set_trained(self, learns: bool) -> None:
        """Whether the discriminator's weights collect gradients: not in the generator's move."""
        for weight in self.discriminator.trained():
            weight.requires_grad_(learns)

    # ---- pieces of a step ---------------------------------------------------------------------------------

    def _normal(self, shape) -> Tensor:
        return torch.randn(shape, generator=self.rng, device=self.device)

    def _random_w_plus(self, count: int) -> Tensor:
        """W+ codes of random z; a share mixes two codes at a random layer (StyleGAN 3.1)."""
        mapping, layers_ = self.generator.mapping, self.generator.num_ws
        with torch.set_grad_enabled(not self.preset.refit_kimg):
            w = mapping.to_w(self._normal((2 * count, self.preset.z_dim)))
        w.requires_grad_()  # the path length asks for gradients of w itself
        first, second = w.chunk(2)
        cut = torch.randint(1, layers_, (count, 1), generator=self.rng, device=self.device)
        mixed = torch.rand(count, 1, generator=self.rng, device=self.device) < self.preset.style_mixing
        own = ~mixed | (torch.arange(layers_, device=self.device) < cut)  # [count, layers]
        mapping.w_mean.lerp_(w.detach().mean(0), 0.005)
        return torch.where(own[..., None], first[:, None], second[:, None])

    def _synthesize(self, w_plus: Tensor) -> Tensor:
        """Images with fresh noise at every call; the stored maps are for use. Without noise its strength stays 0."""
        noise = "none"
        if self.preset.noise:
            noise = [self._normal((len(w_plus), 1, *m.shape)) for m in self.generator.noise_maps()]
        return self.generator.synthesis(w_plus, noise, dtype=self.dtype)

    def _reconstruction(self, image: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            target_features = self.features(target, self.dtype)
        return losses.reconstruction_loss(image, target, target_features, self.features, self.dtype)

    @staticmethod
    def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in optimizer.param_groups:
            for q in group["params"]:
                if q.grad is not None:
                    torch.nan_to_num(q.grad, nan=0.0, posinf=1e5, neginf=-1e5, out=q.grad)
        optimizer.step()

    def _update_average(self) -> None:
        """Exponential moving average of the generator, short at first (half-life `ema_kimg`)."""
        half_life = min(self.preset.ema_kimg * 1000, max(self.state["images"] * 0.15, 1))
        keep = 0.5 ** (self.preset.batch / half_life)
        with torch.no_grad():
            ours = list(self.average.parameters())
            torch._foreach_lerp_(ours, list(self.generator.parameters()), 1 - keep)
            self.average.mapping.w_mean.copy_(self.generator.mapping.w_mean)

    # ---- bookkeeping --------------------------------------------------------------------------------------

    def _phase_length(self) -> float:
        p = self.preset
        kimg = {"autoencode": p.autoencode, "mapping": p.mapping_steps, "adversarial": p.adversarial}
        return kimg[self.state["phase"]] * 1000

    def _next_phase(self, report) -> None:
        self.state["phase"] = PHASES[PHASES.index(self.state["phase"]) + 1]
        self.state["images"] = 0
        self._make_optimizers()
        report(f"phase: {self.state['phase']}")

    def _crossed(self, kimg: float) -> bool:
        """True when the last batch crossed a multiple of `kimg` thousand images."""
        now = self.state["images"]
        return now // int(kimg * 1000) != (now - self.preset.batch) // int(kimg * 1000)

    def _report(self, window: list[tuple[dict[str, float], float]], report) -> None:
        """One line for the log: the mean of each term over the steps that had it, and the speed."""
        names = dict.fromkeys(name for terms, _ in window for name in terms)
        line = self._where(self.state["phase"])
        for name in names:
            values = [terms[name] for terms, _ in window if name in terms]
            line[name] = round(sum(values) / len(values), 4)
        line["r1"] = round(self.state.get("r1", 0.0), 4)
        seconds = sum(seconds for _, seconds in window)
        line["images_per_second"] = round(len(window) * self.preset.batch / max(seconds, 1e-9), 1)
        self._log(line)
        report(json.dumps(line))
        save_sheet(self, self.folder / "latest.png")

    def measure(self, report=print) -> dict[str, float]:
        """The metric on the averaged generator; logged, with a sheet of its own. The best so far is kept in `best/`."""
        from training.metrics import evaluate

        scores = evaluate(self.average, self.faces, self.features, self.preset.metric_samples, dtype=self.dtype)
        line = self._where("metric") | scores
        self._log(line)
        report(json.dumps(line))
        save_sheet(self, self.folder / f"sheet-{int(self.state['images'] / 1000):05d}.png")
        self.state["metric"] = scores["frechet"]
        if scores["frechet"] < self.state.get("best", float("inf")):
            self.state["best"] = scores["frechet"]
            self.save(BEST)  # a game has no end: what is best now may be gone later
        return scores

    def _where(self, phase: str) -> dict:
        return {"phase": phase, "kimg": self.state["images"] / 1000, "total_kimg": self.state["total"] / 1000}

    def _log(self, line: dict) -> None:
        path = self.folder / "log.jsonl"
        try:
            with open(path, "a") as file:
                file.write(json.dumps(line | {"time": round(time.time(), 1)}) + "\n")
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({one_line(error)}): free some space.") from error

    def _networks(self) -> dict[str, torch.nn.Module]:
        return {"g": self.generator, "average": self.average, "d": self.discriminator, "e": self.encoder}

    def save(self, subfolder: str = "") -> Path:
        """Write a complete checkpoint to the run's folder."""
        tensors = {f"{n}.{k}": v for n, net in self._networks().items() for k, v in net.state_dict().items()}
        for name, optimizer in (("adam_g", self.adam_g), ("adam_d", self.adam_d)):
            memory = adam_tensors(optimizer).items()
            tensors |= {f"{name}.{k}": v for k, v in memory if not k.endswith(".exp_avg")}  # see resume
        tensors |= {"rng": self.rng.get_state(), "batches": self.batches.generator.get_state()}
        tensors["path_mean"] = self.path_mean
        state = self.state | {"augment": self.augment.p, "preset": dataclasses.asdict(self.preset)}
        return save_checkpoint(self.folder / subfolder, tensors, state)

    def resume(self) -> bool:
        """Take up the newest checkpoint of the run's folder, if there is one."""
        found = load_checkpoint(self.folder)
        if found is None:
            return False
        tensors, state = found
        if not {"preset", "augment", "phase", "images", "total"} <= state.keys():
            raise SettingsError(f"The checkpoint in {self.folder} is of another command: choose another folder.")
        self._check_same_networks(state.pop("preset"))
        augment = state.pop("augment")
        fresh, self.state = self.state, state
        self._make_optimizers()  # their rates are those of the phase
        try:
            self._restore(tensors)
        except (KeyError, RuntimeError) as error:
            self.state = fresh
            reason = str(error).splitlines()[0]
            raise WeightFileError(f"The checkpoint in {self.folder} does not fit ({reason}): remove it.") from error
        self.augment.p = max(augment, self.preset.augment_least)
        return True

    def _check_same_networks(self, theirs: dict) -> None:
        """Lengths and rates may change on the way, but not the shape of the networks."""
        for name in ("resolution", "channels", "discriminator_channels", "z_dim", "w_dim"):
            ours = getattr(self.preset, name)
            ours = list(ours) if isinstance(ours, tuple) else ours
            if ours != theirs.get(name):
                raise SettingsError(
                    f"The run in {self.folder} has {name} {theirs.get(name)}, but the preset says {ours}: "
                    "choose that run's preset, or another folder."
                )

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        part = lambda name: {k[len(name) + 1 :]: v for k, v in tensors.items() if k.startswith(name + ".")}  # noqa: E731
        for name, network in self._networks().items():
            network.load_state_dict(part(name))
        for name, optimizer in (("adam_g", self.adam_g), ("adam_d", self.adam_d)):
            memory = part(name)
            # beta1 is 0, so the first moment is always the last gradient: it need not be stored
            squares = {k: v for k, v in memory.items() if k.endswith(".exp_avg_sq")}
            memory |= {k.removesuffix("_sq"): torch.zeros_like(v) for k, v in squares.items()}
            restore_adam(optimizer, memory)
        self.rng.set_state(tensors["rng"])
        self.batches.generator.set_state(tensors["batches"])
        self.path_mean = tensors["path_mean"].to(self.device)
