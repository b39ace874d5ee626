"""Settings of the papers, by name: `embed(photo, preset="ii2s")`; keywords of `embed` change single ones.

If a paper's loss has LPIPS and it cannot be had, the four feature maps of the perceptual network take its place; the
result's `notices` say so. To add a preset, write a function and give it a name in `PRESETS`.
"""

from collections.abc import Callable

from i2s.embedding.settings import EmbedSettings, NoiseSettings, TuningSettings
from i2s.errors import SettingsError


def image2stylegan() -> EmbedSettings:
    """Image2StyleGAN (Abdal, Qin, Wonka, ICCV 2019, arXiv 1904.03189).

    W+ from the mean latent, 5000 steps of Adam at 0.01; pixel MSE and VGG-16's conv1_1, conv1_2, conv3_2,
    conv4_2, all lambdas 1. Faces settle in about 1000 steps.
    """
    return EmbedSettings(space="w+", init="mean", steps=5000, learning_rate=0.01)


def fast() -> EmbedSettings:
    """i2s's own: the loss of 1000 steps of Image2StyleGAN (arXiv 1904.03189) in about a tenth of the time, or lower.

    W+ from the encoder's code if there is one, by L-BFGS (Liu and Nocedal 1989) with a Gauss-Newton preconditioner;
    `benchmarks/time_to_quality.py` compares it with others.
    """
    return EmbedSettings(space="w+", init="auto", steps=150, optimizer="lbfgs")


def stylegan2() -> EmbedSettings:
    """The projector of StyleGAN2 (Karras et al., CVPR 2020, arXiv 1912.04958, section 5 and appendix D).

    W from the mean latent, 1000 steps at 0.1, 5 % up and 25 % down; noise of 0.05 spreads added to w, gone
    after 3/4 of the steps; LPIPS alone; noise maps optimised together with w, regularised by 1e5,
    normalised after each step.
    """
    return EmbedSettings(
        space="w",
        init="mean",
        steps=1000,
        learning_rate=0.1,
        schedule="ramp",
        w_noise=0.05,
        mse_weight=0.0,
        tap_weights=(0.0, 0.0, 0.0, 0.0),
        lpips_weight=1.0,
        noise=NoiseSettings(when="joint", learning_rate=0.1, regularization=1e5),
    )


def ii2s() -> EmbedSettings:
    """II2S (Zhu et al., "Improved StyleGAN Embedding: Where are the Good Latents?", arXiv 2012.09036).

    W+ from the mean latent, 1300 steps at 0.01; pixel MSE, LPIPS (VGG, 256 px), and 0.001 times P_N+, the
    mean square of the whitened code, which keeps it where edits work.
    """
    return EmbedSettings(
        space="w+",
        init="mean",
        steps=1300,
        learning_rate=0.01,
        tap_weights=(0.0, 0.0, 0.0, 0.0),
        lpips_weight=1.0,
        p_norm_weight=0.001,
    )


def image2stylegan_plus_plus() -> EmbedSettings:
    """Image2StyleGAN++ (Abdal, Qin, Wonka, CVPR 2020, arXiv 1911.11544).

    First W+, 5000 steps at 0.01, by pixel MSE and VGG-16's conv1_1, conv1_2, conv2_2, conv3_3; then, the code
    being held, the noise maps, 1000 steps at 5, by pixels alone. One after the other, never jointly.
    """
    return EmbedSettings(
        space="w+",
        init="mean",
        steps=5000,
        learning_rate=0.01,
        taps=("conv1_1", "conv1_2", "conv2_2", "conv3_3"),
        noise=NoiseSettings(when="after", steps=1000, learning_rate=5.0),
    )


def pti() -> EmbedSettings:
    """PTI (Roich, Mokady, Bermano, Cohen-Or, "Pivotal Tuning for Latent-based Editing", arXiv 2106.05744).

    A pivot in W by the StyleGAN2 projector, 450 steps at 0.005, the noise maps with it at the same rate; then
    350 steps at 3e-4 on the weights of a copy of the generator, by LPIPS and pixel MSE, until LPIPS is 0.06.
    The tuned weights are in the result (`EmbedResult.tuned_generator`). Without the paper's optional locality
    regularisation.
    """
    return EmbedSettings(
        space="w",
        init="mean",
        steps=450,
        learning_rate=0.005,
        schedule="ramp",
        w_noise=0.05,
        mse_weight=0.0,
        tap_weights=(0.0, 0.0, 0.0, 0.0),
        lpips_weight=1.0,
        noise=NoiseSettings(when="joint", learning_rate=0.005, regularization=1e5),
        tuning=TuningSettings(steps=350, learning_rate=3e-4, mse_weight=4.0, lpips_stop=0.06),
    )


PRESETS: dict[str, Callable[[], EmbedSettings]] = {
    "fast": fast,
    "image2stylegan": image2stylegan,
    "stylegan2": stylegan2,
    "ii2s": ii2s,
    "image2stylegan++": image2stylegan_plus_plus,
    "pti": pti,
}


def preset_settings(name: str) -> EmbedSettings:
    """Return the settings of a preset; SettingsError if there is none of that name."""
    if name not in PRESETS:
        raise SettingsError(f"There is no preset {name!r}: they are {', '.join(PRESETS)}.")
    return PRESETS[name]()
