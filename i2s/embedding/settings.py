"""What an embedding depends on, as plain data that is saved with the result."""

import math
from dataclasses import dataclass, fields

from i2s.embedding.schedules import SCHEDULES
from i2s.errors import SettingsError
from i2s.losses.slim import TAP_NAMES

SPACES = ("z", "w", "w+")
STARTS = ("mean", "uniform", "zeros", "nearest", "encoder", "auto")
OPTIMIZERS = ("adam", "lbfgs")
NOISE_TIMES = ("joint", "after")


@dataclass(frozen=True)
class NoiseSettings:
    """How the noise maps are searched for too; each photo has maps of its own.

    when: "after": once the code is found, which is then held, by pixels alone (Image2StyleGAN++: one after
    the other, never jointly), from the stored maps. "joint": together with the code, from fresh N(0, 1), held
    to mean 0 and deviation 1 after each update (StyleGAN2's projector). steps: Adam steps of "after".
    learning_rate: of the maps. regularization: weight of `i2s.losses.NoiseRegularization`.
    """

    when: str = "after"
    steps: int = 1000
    learning_rate: float = 5.0
    regularization: float = 0.0

    def __post_init__(self):
        if self.when not in NOISE_TIMES:
            raise SettingsError(f"noise is searched for {self.when!r}: it is 'joint' or 'after'.")
        _at_least("steps of the noise", self.steps, 1)
        _above_zero("learning_rate of the noise", self.learning_rate)
        _weights(regularization=self.regularization)


@dataclass(frozen=True)
class TuningSettings:
    """Pivotal tuning (Roich et al. 2021): the code is held, and a copy of the generator learns the photo.

    steps, learning_rate: of Adam on the weights of the synthesis network. mse_weight: of the pixels beside
    the feature terms of the search (4 in [0, 1] is the paper's 1 in [-1, 1]). lpips_stop: it ends when LPIPS,
    unweighted, is as low as this; without an LPIPS term in the loss it makes all its steps.
    """

    steps: int = 350
    learning_rate: float = 3e-4
    mse_weight: float = 4.0
    lpips_stop: float = 0.06

    def __post_init__(self):
        _at_least("steps of the tuning", self.steps, 1)
        _above_zero("learning_rate of the tuning", self.learning_rate)
        _weights(mse_weight=self.mse_weight, lpips_stop=self.lpips_stop)


@dataclass(frozen=True)
class EmbedSettings:
    """The defaults are those of Image2StyleGAN, but for the steps; `i2s.embedding.presets` has those of others.

    space: "w+" (a code of its own for each layer), "w" (one for all), or "z" (the mapping network's input).
    init: "mean" (the mean latent; in Z, of random z, the one whose w is nearest to it), "uniform" (U(-1, 1)), "zeros",
    "nearest" (of `candidates` random codes the one of the least loss), "encoder" (one pass of the network that was
    trained with the generator), or "auto" (the encoder's where there is one for this generator, else the mean).
    A code of your own goes to `embed(start=...)`.
    steps: of the optimizer (the paper takes 5000; faces settle in about 1000); None: as many as `budget` allows.
    budget: seconds after which the search ends if its steps do not end it before; further stages (noise, tuning) share
    them equally with the search for the code.
    learning_rate, betas, epsilon: of Adam.
    schedule: of the learning rate: "constant", "ramp" (up in 5 % of the steps, down a cosine in the last 25 %), or
    "cosine" (down a cosine from the first step).
    optimizer: "adam", or "lbfgs", which learns from the last steps how the loss curves (`i2s.embedding.lbfgs`): a fifth
    of the steps or less for the same loss; it takes no learning rate.
    patience: a photo is done when its loss has not fallen by the share `min_improvement` in so many steps; 0: never.
    w_noise: noise added to the code, in units of the spread of w; it has gone after 3/4 of the steps.
    mse_weight, tap_weights, lpips_weight: the lambdas of the loss: pixels, the four feature maps, LPIPS.
    taps: the layers of VGG-16 that the four maps are taken from; the slim network has those of Image2StyleGAN alone.
    p_norm_weight: of the distance from the codes of random z (P_N of II2S; P_N+ in W+); `embed` takes 0.03 when nothing
    is given, for inpainting and colorization in W+.
    noise, tuning: what is searched for besides the code, or None.
    seed: of all that is drawn at random. snapshots: how many codes along the way are kept, spread evenly.
    """

    space: str = "w+"
    init: str = "mean"
    steps: int | None = None
    learning_rate: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    mse_weight: float = 1.0
    tap_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    seed: int = 0
    snapshots: int = 20
    budget: float | None = None
    schedule: str = "constant"
    optimizer: str = "adam"
    patience: int = 0
    min_improvement: float = 0.01
    candidates: int = 100
    w_noise: float = 0.0
    lpips_weight: float = 0.0
    taps: tuple[str, ...] = TAP_NAMES
    p_norm_weight: float = 0.0
    noise: NoiseSettings | None = None
    tuning: TuningSettings | None = None

    def __post_init__(self):
        for name, kind in (("noise", NoiseSettings), ("tuning", TuningSettings)):
            value = getattr(self, name)
            if isinstance(value, dict):
                known = [field.name for field in fields(kind)]
                if unknown := [key for key in value if key not in known]:
                    raise SettingsError(f"{name} has no setting {unknown[0]!r}: they are {', '.join(known)}.")
                object.__setattr__(self, name, kind(**value))
            elif not isinstance(value, kind | None):
                raise SettingsError(f"{name} is {value!r}: give {kind.__name__}(...) or None.")
        for name in ("betas", "tap_weights", "taps"):
            try:
                object.__setattr__(self, name, tuple(getattr(self, name)))
            except TypeError:
                raise SettingsError(f"{name} is {getattr(self, name)!r}, but must be several, in brackets.") from None
        if self.steps is None and self.budget is None:
            object.__setattr__(self, "steps", 1000)
        if self.space not in SPACES:
            raise SettingsError(f"space is {self.space!r}: it is 'z', 'w' or 'w+'.")
        if self.init not in STARTS:
            raise SettingsError(f"init is {self.init!r}: it is {_listed(STARTS)} (a code of your own goes to start=).")
        if self.optimizer not in OPTIMIZERS:
            raise SettingsError(f"optimizer is {self.optimizer!r}: it is {_listed(OPTIMIZERS)}.")
        if self.optimizer == "lbfgs" and (self.w_noise or (self.noise and self.noise.when == "joint")):
            raise SettingsError("L-BFGS takes no noise on the code and no maps beside it: use optimizer='adam'.")
        if self.schedule not in SCHEDULES:
            raise SettingsError(f"schedule is {self.schedule!r}: it is {_listed(SCHEDULES)}.")
        if self.steps is not None:
            _at_least("steps", self.steps, 1)
        if self.budget is not None:
            _above_zero("budget", self.budget)
        _above_zero("learning_rate", self.learning_rate)
        _above_zero("epsilon", self.epsilon)
        _weights(**{f"betas[{k}]": beta for k, beta in enumerate(self.betas)})
        if len(self.betas) != 2 or not all(beta < 1 for beta in self.betas):
            raise SettingsError(f"betas are {self.betas}, but Adam takes two, from 0 to below 1.")
        if not len(self.tap_weights) == len(self.taps) == 4:
            given = f"{len(self.tap_weights)} weights and {len(self.taps)} taps"
            raise SettingsError(f"The loss takes four feature maps and a weight for each, but got {given}.")
        if self.w_noise and self.space == "z":
            raise SettingsError("w_noise is of W, but space is 'z': use space='w', or w_noise=0.")
        _weights(mse_weight=self.mse_weight, lpips_weight=self.lpips_weight, p_norm_weight=self.p_norm_weight)
        _weights(w_noise=self.w_noise, min_improvement=self.min_improvement)
        _weights(**{f"tap_weights[{k}]": weight for k, weight in enumerate(self.tap_weights)})
        if not any((self.mse_weight, self.lpips_weight, *self.tap_weights)):
            raise SettingsError("All weights of the loss are 0: give at least one a value above 0.")
        _at_least("seed", self.seed, -(2**63))
        if self.seed >= 2**63:
            raise SettingsError(f"seed is {self.seed}, but must be below 2^63.")
        _at_least("snapshots", self.snapshots, 0)
        _at_least("patience", self.patience, 0)
        _at_least("candidates", self.candidates, 1)


def _listed(names) -> str:
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}"


def _at_least(name: str, value, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise SettingsError(f"{name} is {value!r}, but must be a whole number of at least {low}.")


def _above_zero(name: str, value) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise SettingsError(f"{name} is {value!r}, but must be a number above 0.")


def _weights(**values) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise SettingsError(f"{name} is {value!r}, but must be a number of at least 0.")
