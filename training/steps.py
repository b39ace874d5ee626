"""One batch of training: networks, optimisers, losses and updates.

Nothing in a step reads a value from a tensor, so that it can be captured as a CUDA graph; what happens when is decided
in `training.trainer`.
"""

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from i2s.encoder import Encoder
from i2s.errors import SettingsError, one_line
from i2s.generators.base import Generator
from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.images import dequantize
from training import losses
from training.augment import AdaptiveAugment
from training.checkpoint import adam_tensors
from training.codes import SAMPLE, CodeBank
from training.configs import TrainConfig
from training.dataset import Batches
from training.discriminators import Discriminator, ProjectedDiscriminator
from training.features import VGG19, FeatureNet
from training.step_graphs import Step, can_capture, capture
from training.warm_start import fit_mapping

NOISE_RATE = 0.3  # of the generator's learning rate, for the strengths of the noise inputs


class TrainingSteps:
    """Networks, optimisers and data, and the steps that train them.

    Args:
        config: Settings of the run.
        faces: uint8 [M, 3, R, R].
        feature_net: Of the reconstruction loss.
        device: Where to train.
        seed: Of initial weights and random numbers.
        vgg: For a projected discriminator.
        start: A trained generator to begin with.

    Raises:
        SettingsError: `start` is another network, or `vgg` is missing.
    """

    def __init__(
        self,
        config: TrainConfig,
        faces: Tensor,
        feature_net: FeatureNet,
        device: torch.device | str = "cpu",
        seed: int = 0,
        vgg: VGG19 | None = None,
        start: Generator | None = None,
    ):
        self.config = config
        self.device = torch.device(device)
        self.dtype = None if config.dtype == "float32" else getattr(torch, config.dtype)

        # Networks; all random numbers but the initial weights come from `rng`
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shape = StyleGAN2Config(config.resolution, config.z_dim, config.w_dim, channels=config.channels)
            self.generator = StyleGAN2(shape).to(device)
            self.discriminator = self._make_discriminator(vgg).to(device)
            self.encoder = Encoder(config.encoder_channels, config.w_dim).to(device)
        if start is not None:
            self._start_from(start)
        self.g_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.bank = CodeBank(len(faces), config.w_dim).to(device)
        self.feature_net = feature_net.to(device)

        # Data
        self.rng = torch.Generator(device).manual_seed(seed)
        self.faces = faces.to(device)
        self.batches = Batches(self.faces, self.rng)
        self.augment = AdaptiveAugment(
            self.rng, config.augment, images=config.augment_images, least=config.augment_least
        )

        # CUDA graphs, and sums of the terms for reports with the number of steps that had them
        self.capturing = can_capture(self.device) and config.discriminator == "stylegan2"
        self.captured: dict[tuple, Step] = {}
        self.sums: dict[str, tuple[Tensor, int]] = {}
        self.make_optimizers(playing=False)

    def _make_discriminator(self, vgg: VGG19 | None) -> nn.Module:
        if self.config.discriminator == "stylegan2":
            self.generator_loss = losses.logistic_generator_loss
            self.discriminator_loss = losses.logistic_discriminator_loss
            return Discriminator(self.config.discriminator_channels)
        if vgg is None:
            raise SettingsError("This configuration's discriminator needs VGG-19: give its weights with --vgg.")
        self.generator_loss = losses.hinge_generator_loss
        self.discriminator_loss = losses.hinge_discriminator_loss
        return ProjectedDiscriminator(vgg, self.config.resolution)

    def _start_from(self, start: Generator) -> None:
        try:
            self.generator.load_state_dict(start.state_dict())
        except RuntimeError as error:
            reason = one_line(error)
            raise SettingsError(f"{start.describe()} has not this configuration's networks ({reason}).") from error

    def make_optimizers(self, playing: bool) -> None:
        """Create fresh optimisers, with the rates of the adversarial phase if `playing`."""
        c = self.config
        self.captured.clear()  # graphs hold the old ones
        rate = (c.adversarial_rate if playing else 0.0) or c.learning_rate
        weights = dict(self.generator.synthesis.named_parameters())
        if c.mapping == "adversarial":
            weights |= {f"mapping.{name}": weight for name, weight in self.generator.mapping.named_parameters()}
        strengths = [weights.pop(name) for name in list(weights) if name.endswith("noise_strength")]
        self.adam_g = self._adam(
            (list(weights.values()), rate),
            (strengths, rate * NOISE_RATE),
            (list(self.encoder.parameters()), rate * (c.encoder_rate if playing else 1.0)),
        )

        # R1 is a step of its own every k-th time, so the optimiser sees k + 1 steps as k (StyleGAN2, appendix B)
        ratio = c.r1_interval / (c.r1_interval + 1) if c.discriminator == "stylegan2" else 1.0
        weights_d = self.discriminator.trainable_parameters()
        self.adam_d = self._adam((weights_d, c.discriminator_rate or rate), betas=(0.0, 0.99**ratio))
        mapping = list(self.generator.mapping.parameters())
        self.adam_m = self._adam((mapping, c.match_rate), betas=(0.9, 0.99))

    def _adam(
        self, *groups: tuple[list[nn.Parameter], float], betas: tuple[float, float] = (0.0, 0.99)
    ) -> torch.optim.Adam:
        """Adam for (parameters, rate) groups; `base_rate` of a group is its rate before warm-up and decay."""
        captured = {"fused": True, "capturable": True} if self.capturing else {}

        def rate_of(rate: float) -> float | Tensor:  # a captured graph reads a tensor
            return torch.tensor(rate, device=self.device) if self.capturing else rate

        described = [{"params": weights, "lr": rate_of(rate), "base_rate": rate} for weights, rate in groups]
        return torch.optim.Adam(described, lr=rate_of(groups[0][1]), betas=betas, **captured)

    def optimizers(self) -> dict[str, torch.optim.Adam]:
        return {"adam_g": self.adam_g, "adam_d": self.adam_d, "adam_m": self.adam_m}

    def networks(self) -> dict[str, nn.Module]:
        return {
            "g": self.generator,
            "g_ema": self.g_ema,
            "d": self.discriminator,
            "e": self.encoder,
            "bank": self.bank,
        }

    def switch_noise_off(self) -> None:
        """Set all noise strengths to 0, even if the run began with noise: the stored maps then have no effect."""
        for network in (self.generator, self.g_ema):
            for name, strength in network.named_parameters():
                if name.endswith("noise_strength"):
                    strength.data.zero_()

    def live_tensors(self) -> dict[str, Tensor]:
        """All tensors that training changes, but the state of the random numbers; not copies."""
        tensors = {f"{n}.{k}": v for n, network in self.networks().items() for k, v in network.state_dict().items()}
        for name, optimizer in self.optimizers().items():
            tensors |= {f"{name}.{k}": v for k, v in adam_tensors(optimizer).items()}
        return tensors | {"augment.p": self.augment.p}

    def set_rates(self, factor: float) -> None:
        """Set all learning rates to `factor` times their base rates."""
        for optimizer in self.optimizers().values():
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(group["base_rate"] * factor)
                else:
                    group["lr"] = group["base_rate"] * factor

    # --- steps -------------------------------------------------------------------------------------------------------

    def run(self, step: Callable[..., dict[str, Tensor]], **options: bool) -> dict[str, Tensor]:
        """Run one step, as a CUDA graph if possible, and add its terms to those of the next report."""
        if self.capturing:
            key = (step.__name__, *options.items())
            if key not in self.captured:
                self.captured = {k: v for k, v in self.captured.items() if k[0] != key[0]}  # frees its memory
                call = functools.partial(step, **options)
                optimizers = list(self.optimizers().values())
                self.captured[key] = capture(call, self.live_tensors, optimizers, self.rng)
            terms = self.captured[key]()
        else:
            terms = step(**options)
        for name, value in terms.items():
            total, count = self.sums.get(name, (0.0, 0))
            self.sums[name] = (total + value, count + 1)
        return terms

    def autoencode_step(self, hold: bool, noise: bool) -> dict[str, Tensor]:
        """Photo -> encoder -> w -> synthesis -> photo; with `hold` only the encoder learns."""
        self.generator.synthesis.requires_grad_(not hold)
        photos, rows = self.batches.draw(self.config.batch)
        w = self._encode_batch(photos, rows, frozen=False)
        image = self._synthesize(self._repeat(w), noise)
        loss = self._reconstruction(image, photos)
        self._step(self.adam_g, loss + self.config.code_penalty * w.square().mean())
        self.generator.synthesis.requires_grad_(True)
        return {"reconstruction": loss.detach()}

    def adversarial_step(self, lead: bool, noise: bool, frozen: bool) -> dict[str, Tensor]:
        """Generator and discriminator step; with `lead` the generator stands still, with `frozen` the encoder."""
        c = self.config
        encoded = int(c.batch * c.encoded)
        blended = int((c.batch - encoded) * c.blended)

        # Codes: random ones, blends of two faces' codes, encoded photos
        w_plus = [self._random_w_plus(c.batch - encoded - blended)]
        if blended:
            w_plus.append(self._repeat(self.bank.blend(blended, self.rng)))
        if encoded:
            photos, rows = self.batches.draw(encoded)
            w_plus.append(self._repeat(self._encode_batch(photos, rows, frozen)))

        # Generator step
        self._set_discriminator_trainable(False)
        fake = self._synthesize(torch.cat(w_plus), noise)  # [N, 3, R, R]
        features = self.discriminator.features(self.augment(fake), self.dtype)  # for the losses of both networks
        g_loss = self.generator_loss(self.discriminator.head(features, self.dtype))
        loss = g_loss
        terms = {"g": g_loss.detach()}
        if encoded:
            reconstruction = self._reconstruction(fake[-encoded:], photos)
            loss = loss + c.reconstruction_weight * reconstruction
            terms["reconstruction"] = reconstruction.detach()
        if not lead:
            self._step(self.adam_g, loss)

        # Discriminator step
        self._set_discriminator_trainable(True)
        fake_logits = self.discriminator.head([x.detach() for x in features], self.dtype)
        real, _ = self.batches.draw(c.batch)
        real_logits = self.discriminator(self.augment(real), self.dtype)
        d_loss = self.discriminator_loss(real_logits, fake_logits)
        self._step(self.adam_d, d_loss)
        return terms | {"d": d_loss.detach(), "sign": real_logits.detach().sign().mean()}

    def r1_step(self) -> dict[str, Tensor]:
        """Gradient penalty at augmented real images, half a batch."""
        c = self.config
        real = self.augment(self.batches.draw(max(c.batch // 2, 1))[0]).detach().requires_grad_()
        r1 = losses.r1_penalty(real, self.discriminator(real, self.dtype))
        self._step(self.adam_d, r1 * (c.r1_gamma / 2 * c.r1_interval))
        return {"r1": r1.detach()}

    def match_step(self) -> dict[str, Tensor]:
        """Move the mapping network towards the bank of codes."""
        z = self._normal(SAMPLE, self.config.z_dim)
        distance = self.bank.distance(self.generator.mapping.to_w(z), self.rng)
        self._step(self.adam_m, distance)
        return {"match": distance.detach()}

    def update_ema(self, images: int) -> None:
        """Update the moving average of the generator; its half-life grows with `images` of the phase to `ema_kimg`."""
        half_life = min(self.config.ema_kimg * 1000, max(images * 0.15, 1))
        keep = 0.5 ** (self.config.batch / half_life)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.g_ema.parameters()), list(self.generator.parameters()), 1 - keep)
            self.g_ema.mapping.w_mean.copy_(self.generator.mapping.w_mean)

    def fit_mapping(self, report: Callable[[str], None] = lambda text: None) -> None:
        """Fit the mapping network to the codes of all faces, plain and mirrored; the moving average takes it over."""
        mapping = self.generator.mapping
        self.bank.replace(self.encode(torch.cat([self.faces, self.faces.flip(3)])))
        fit_mapping(mapping, self.bank.codes.clone(), self.config.mapping_steps, self.rng, report)
        with torch.no_grad():
            w = mapping.to_w(self._normal(10_000, self.config.z_dim))
        mapping.w_mean.copy_(w.mean(0))
        self.g_ema.mapping.load_state_dict(mapping.state_dict())

    @torch.no_grad()
    def encode(self, faces: Tensor) -> Tensor:
        """Codes w [M, w_dim] of uint8 faces [M, 3, R, R]."""
        return torch.cat([self.encoder(dequantize(some), self.dtype).float() for some in faces.split(256)])

    # --- parts of a step -------------------------------------------------------------------------------------------

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.rng, device=self.device)

    def _repeat(self, w: Tensor) -> Tensor:
        """W+ codes [N, num_ws, w_dim] of w [N, w_dim]."""
        return w[:, None].expand(-1, self.generator.num_ws, -1)

    def _random_w_plus(self, count: int) -> Tensor:
        """W+ codes of random z; a share mixes two codes at a random layer (StyleGAN, 3.1)."""
        mapping = self.generator.mapping
        num_ws = self.generator.num_ws
        with torch.set_grad_enabled(self.config.mapping == "adversarial"):
            w = mapping.to_w(self._normal(2 * count, self.config.z_dim))
        first, second = w.chunk(2)
        cut = torch.randint(1, num_ws, (count, 1), generator=self.rng, device=self.device)
        mixed = torch.rand(count, 1, generator=self.rng, device=self.device) < self.config.style_mixing
        own = ~mixed | (torch.arange(num_ws, device=self.device) < cut)  # [count, num_ws]
        mapping.w_mean.lerp_(w.detach().mean(0), 0.005)
        return torch.where(own[..., None], first[:, None], second[:, None])

    def _encode_batch(self, photos: Tensor, rows: Tensor, frozen: bool) -> Tensor:
        """Codes w [N, w_dim] of photos, a little beside where they are; the bank keeps them."""
        if frozen:
            w = self.bank.codes[rows]
        else:
            w = self.encoder(photos, self.dtype)
            self.bank.store(rows, w)
        return self.bank.perturb(w, self.config.code_noise, self.rng)

    def _synthesize(self, w_plus: Tensor, noise: bool) -> Tensor:
        """Images, with fresh noise maps at every call; the stored maps are for use after training."""
        maps = "none"
        if noise:
            maps = [self._normal(len(w_plus), 1, *stored.shape) for stored in self.generator.noise_maps()]
        return self.generator.synthesis(w_plus, maps, dtype=self.dtype)

    def _reconstruction(self, image: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            target_features = self.feature_net(target, self.dtype)
        return losses.reconstruction_loss(image, target, target_features, self.feature_net, self.dtype)

    def _set_discriminator_trainable(self, trainable: bool) -> None:
        for weight in self.discriminator.trainable_parameters():
            weight.requires_grad_(trainable)

    @staticmethod
    def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    torch.nan_to_num(weight.grad, nan=0.0, posinf=1e5, neginf=-1e5, out=weight.grad)
        optimizer.step()
