"""What an embedding depends on, as plain data that is saved with the result."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch import Tensor

from i2s.embedding.init import INITS
from i2s.embedding.optim import OPTIMIZERS, SCHEDULES
from i2s.errors import SettingsError
from i2s.losses.base import TAP_NAMES

# ---- rules: each returns what a value must be, or "" if it is that ---------------------------------------------------

Rule = Callable[[Any], str]


def one_of(names: Collection[str]) -> Rule:
    """One of these texts; of a dict its keys, those that are added later included."""

    def rule(value: Any) -> str:
        *first, last = map(repr, names)
        return "" if value in tuple(names) else f"{', '.join(first)} or {last}"

    return rule


def whole(low: int, below: int | None = None) -> Rule:
    """A whole number."""

    def rule(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            return f"a whole number of at least {low}"
        return "" if below is None or value < below else f"below {below}"

    return rule


def number(low: float = 0.0, below: float = math.inf, above_low: bool = False) -> Rule:
    """A finite number."""
    bound = f"above {low:g}" if above_low else f"of at least {low:g}"
    wanted = f"a number {bound}" + (f" and below {below:g}" if below < math.inf else "")

    def rule(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return wanted
        return "" if low <= value < below and not (above_low and value == low) else wanted

    return rule


def several(count: int, each: Rule) -> Rule:
    """A tuple of values that each follow a rule."""

    def rule(value: tuple) -> str:
        if len(value) != count:
            return f"{count} values, in brackets"
        complaint = next(filter(None, map(each, value)), "")
        return f"{count} values, each {complaint}" if complaint else ""

    return rule


def optional(rule: Rule) -> Rule:
    """None, or what follows the rule."""
    return lambda value: "" if value is None else rule(value)


def text(value: Any) -> str:
    """A text."""
    return "" if isinstance(value, str) else "a text"


positive = number(above_low=True)
weight = number()


def as_python(value: Any) -> Any:
    """Return a number of NumPy or torch as Python's own, and the values of a list of them; all else as it is."""
    if type(value) in (list, tuple):
        return type(value)(map(as_python, value))
    if isinstance(value, np.ndarray | Tensor):
        return value.tolist() if value.ndim < 2 else value
    return value.item() if isinstance(value, np.generic) else value


def store_as_python(settings: Any) -> None:
    """Convert the fields of a frozen settings object by `as_python`."""
    for field in fields(settings):
        object.__setattr__(settings, field.name, as_python(getattr(settings, field.name)))


def check(settings: Any, rules: dict[str, Rule], of: str = "") -> None:
    """Check the fields of a settings object.

    Args:
        settings: The object.
        rules: {field: rule}.
        of: Words behind a field's name in the message.

    Raises:
        SettingsError: A field breaks its rule.
    """
    for name, rule in rules.items():
        value = getattr(settings, name)
        if wanted := rule(value):
            raise SettingsError(f"{name}{of} is {value!r}, but must be {wanted}.")


# ---- settings --------------------------------------------------------------------------------------------------------

NOISE_RULES = {
    "when": one_of(("joint", "after")),
    "steps": whole(1),
    "learning_rate": positive,
    "regularization": weight,
}


@dataclass(frozen=True)
class NoiseSettings:
    """How the noise maps are optimised too; each photo has maps of its own."""

    # "after": once the code is found, which is then held, by pixels alone, from the stored maps (Image2StyleGAN++: one
    # after the other, never jointly). "joint": together with the code, from fresh N(0, 1), normalised to mean 0 and
    # deviation 1 after each update (StyleGAN2's projector).
    when: str = "after"
    # Adam steps of "after"
    steps: int = 1000
    # learning rate of the maps
    learning_rate: float = 5.0
    # weight of `i2s.losses.NoiseRegularization`
    regularization: float = 0.0

    def __post_init__(self):
        store_as_python(self)
        check(self, NOISE_RULES, " of the noise")


TUNING_RULES = {"steps": whole(1), "learning_rate": positive, "mse_weight": weight, "lpips_stop": weight}


@dataclass(frozen=True)
class TuningSettings:
    """Pivotal tuning (Roich et al. 2021): the code is held, and a copy of the generator learns the photo."""

    # Adam steps on the weights of the synthesis network
    steps: int = 350
    # learning rate of these weights
    learning_rate: float = 3e-4
    # weight of the pixels beside the other terms of the loss (4 in [0, 1] is the paper's 1 in [-1, 1])
    mse_weight: float = 4.0
    # tuning ends when LPIPS, unweighted, is as low as this; without LPIPS in the loss it makes all its steps
    lpips_stop: float = 0.06

    def __post_init__(self):
        store_as_python(self)
        check(self, TUNING_RULES, " of the tuning")


RULES = {
    "space": one_of(("z", "w", "w+")),
    "init": one_of(INITS),
    "steps": optional(whole(1)),
    "learning_rate": positive,
    "betas": several(2, number(below=1.0)),
    "epsilon": positive,
    "mse_weight": weight,
    "tap_weights": several(4, weight),
    "seed": whole(-(2**63), below=2**63),
    "snapshots": whole(0),
    "budget": optional(positive),
    "schedule": one_of(SCHEDULES),
    "optimizer": one_of(OPTIMIZERS),
    "patience": whole(0),
    "min_improvement": weight,
    "candidates": whole(1),
    "w_noise": weight,
    "lpips_weight": weight,
    "taps": several(4, text),
    "p_norm_weight": weight,
}


@dataclass(frozen=True)
class EmbedSettings:
    """Settings of an embedding; the defaults are those of Image2StyleGAN, but for the steps.

    `i2s.embedding.presets` has those of other papers.

    Raises:
        SettingsError: A setting is out of its range, or contradicts another one.
    """

    # "w+": a code for each layer; "w": one for all layers; "z": the input of the mapping network
    space: str = "w+"
    # initial code: "mean" (the mean latent; in Z the random z whose w is nearest to it), "uniform" (in [-1, 1]),
    # "zeros", "nearest" (of `candidates` random codes the one of the lowest loss), "encoder" (what the network that was
    # trained with the generator predicts), "auto" (the encoder's if there is one for this generator, else the mean);
    # a code of your own goes to `embed(start=...)`
    init: str = "mean"
    # updates (the paper takes 5000; faces settle in about 1000); None: as many as `budget` allows
    steps: int | None = None
    # learning rate of Adam
    learning_rate: float = 0.01
    # decay of Adam's moments
    betas: tuple[float, float] = (0.9, 0.999)
    # added to Adam's denominator
    epsilon: float = 1e-8
    # lambda of the pixels
    mse_weight: float = 1.0
    # lambdas of the four feature maps
    tap_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    # of all that is drawn at random
    seed: int = 0
    # codes along the way that are kept, spread evenly
    snapshots: int = 20
    # seconds after which the embedding ends if its steps do not end it before; noise and tuning share them equally with
    # the code
    budget: float | None = None
    # of the learning rate: "constant", "ramp" (up in 5 % of the steps, down by a cosine in the last 25 %), "cosine"
    # (down from the first step)
    schedule: str = "constant"
    # "adam"; or "lbfgs", which learns the curvature of the loss from its last steps: a fifth of the steps or less for
    # the same loss, and no learning rate
    optimizer: str = "adam"
    # a photo is done when its loss has not fallen by the share `min_improvement` in so many steps; 0: never
    patience: int = 0
    # see `patience`
    min_improvement: float = 0.01
    # random codes that "nearest" and "mean" in Z choose from
    candidates: int = 100
    # noise added to the code, in units of the standard deviation of w; it decays to 0 in 3/4 of the steps
    w_noise: float = 0.0
    # lambda of LPIPS
    lpips_weight: float = 0.0
    # layers of VGG-16 that the four feature maps are taken from; the slim network has those of Image2StyleGAN alone
    taps: tuple[str, ...] = TAP_NAMES
    # lambda of the distance from the codes of random z (P_N of II2S; P_N+ in W+); `embed` takes 0.03 for inpainting and
    # colorization in W+ if nothing is given
    p_norm_weight: float = 0.0
    # noise maps, or None: they stay as stored
    noise: NoiseSettings | None = None
    # pivotal tuning of the generator, or None
    tuning: TuningSettings | None = None

    def __post_init__(self):
        self._convert()
        check(self, RULES)
        if self.optimizer == "lbfgs" and (self.w_noise or (self.noise and self.noise.when == "joint")):
            raise SettingsError("L-BFGS takes no noise on the code and no maps beside it: use optimizer='adam'.")
        if self.w_noise and self.space == "z":
            raise SettingsError("w_noise is of W, but space is 'z': use space='w', or w_noise=0.")
        if not any((self.mse_weight, self.lpips_weight, *self.tap_weights)):
            raise SettingsError("All weights of the loss are 0: give at least one a value above 0.")

    def _convert(self) -> None:
        """Convert what files and keywords give to the types of the fields."""
        store_as_python(self)
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

    @property
    def noise_follows(self) -> bool:
        """True if the noise maps have a stage of their own after the code."""
        return self.noise is not None and self.noise.when == "after"

    @property
    def total_steps(self) -> int | None:
        """Updates of all stages; None if a budget alone decides."""
        if self.steps is None:
            return None
        noise = self.noise.steps if self.noise_follows else 0
        tuning = self.tuning.steps if self.tuning is not None else 0
        return self.steps + noise + tuning
