"""Settings and presets: what is refused, what the papers say, how keywords change them."""

import dataclasses
import json
import math

import pytest
from helpers import FakeFeatureNet, small_generator, targets

from i2s.embedding import PRESETS, EmbedSettings, NoiseSettings, TuningSettings, embed, preset_settings
from i2s.errors import SettingsError


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"space": "z+"}, "'z', 'w' or 'w\\+'"),
        ({"init": "best"}, "nearest"),
        ({"init": "zero"}, "'zeros'"),
        ({"schedule": "exponential"}, "ramp"),
        ({"optimizer": "sgd"}, "lbfgs"),
        ({"optimizer": "lbfgs", "w_noise": 0.1}, "adam"),
        ({"optimizer": "lbfgs", "noise": NoiseSettings("joint")}, "adam"),
        ({"steps": 2.5}, "whole number"),
        ({"steps": 0}, "at least 1"),
        ({"learning_rate": 0}, "above 0"),
        ({"learning_rate": math.nan}, "above 0"),
        ({"mse_weight": -1}, "at least 0"),
        ({"mse_weight": math.inf}, "at least 0"),
        ({"tap_weights": (1, 1, 1)}, "4 values"),
        ({"tap_weights": (1, 1, 1, -1)}, "at least 0"),
        ({"mse_weight": 0, "tap_weights": (0, 0, 0, 0)}, "All weights"),
        ({"snapshots": -1}, "snapshots"),
        ({"steps": True}, "whole number"),
        ({"budget": 0}, "budget"),
        ({"budget": math.inf}, "budget"),
        ({"epsilon": 0}, "epsilon"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"betas": (0.9,)}, "betas"),
        ({"patience": -1}, "patience"),
        ({"min_improvement": -0.1}, "min_improvement"),
        ({"candidates": 0}, "candidates"),
        ({"lpips_weight": math.nan}, "lpips_weight"),
        ({"taps": ("conv1_1",)}, "taps"),
        ({"space": "z", "w_noise": 0.1}, "w_noise"),
        ({"betas": None}, "betas"),
        ({"betas": ("a", "b")}, "betas"),
        ({"tap_weights": 1.0}, "tap_weights"),
        ({"taps": None}, "taps"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 10**30}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"noise": {"rate": 1.0}}, "noise has no setting 'rate'.*learning_rate"),
        ({"noise": "after"}, "NoiseSettings"),
        ({"noise": {"when": "before"}}, "'joint' or 'after'"),
        ({"noise": {"learning_rate": -1}}, "noise"),
        ({"tuning": {"steps": 0}}, "tuning"),
    ],
)
def test_wrong_settings_are_one_sentence(wrong, says):
    with pytest.raises(SettingsError, match=says):
        EmbedSettings(**wrong)


def test_a_budget_stands_in_for_steps():
    assert EmbedSettings().steps == 1000
    assert EmbedSettings(budget=3).steps is None
    assert EmbedSettings(budget=3, steps=7).steps == 7


@pytest.mark.parametrize("name", PRESETS)
def test_settings_survive_a_file(name):
    settings = preset_settings(name)
    assert EmbedSettings(**json.loads(json.dumps(dataclasses.asdict(settings)))) == settings


def test_presets_are_the_papers():
    paper = preset_settings("image2stylegan")
    assert (paper.space, paper.init, paper.steps, paper.learning_rate) == ("w+", "mean", 5000, 0.01)
    assert paper.betas == (0.9, 0.999) and paper.epsilon == 1e-8 and paper.mse_weight == 1
    assert paper.tap_weights == (1, 1, 1, 1) and paper.taps == ("conv1_1", "conv1_2", "conv3_2", "conv4_2")
    assert paper.schedule == "constant" and paper.noise is None and paper.tuning is None
    projector = preset_settings("stylegan2")
    assert (projector.space, projector.steps, projector.learning_rate, projector.schedule) == ("w", 1000, 0.1, "ramp")
    assert projector.w_noise == 0.05 and projector.noise == NoiseSettings("joint", 1000, 0.1, 1e5)
    assert projector.lpips_weight == 1 and projector.mse_weight == 0 and not any(projector.tap_weights)
    good_latents = preset_settings("ii2s")
    assert (good_latents.steps, good_latents.p_norm_weight, good_latents.lpips_weight) == (1300, 0.001, 1)
    plus = preset_settings("image2stylegan++")
    assert plus.noise == NoiseSettings("after", 1000, 5.0, 0) and plus.steps == 5000
    assert plus.taps == ("conv1_1", "conv1_2", "conv2_2", "conv3_3")
    pivotal = preset_settings("pti")
    assert pivotal.space == "w" and pivotal.steps == 450 and pivotal.tuning == TuningSettings(350, 3e-4, 4.0, 0.06)


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_cites_its_paper(name):
    assert "arXiv" in PRESETS[name].__doc__


def test_keywords_change_a_preset():
    generator = small_generator()
    result = embed(
        targets(generator),
        generator,
        preset="image2stylegan",
        steps=3,
        space="w",
        perceptual=FakeFeatureNet(),
        progress=False,
    )
    assert result.settings == dataclasses.replace(preset_settings("image2stylegan"), steps=3, space="w")


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"preset": "image2style"}, "stylegan2"),
        ({"step": 3}, "learning_rate"),
        ({"preset": "ii2s", "settings": EmbedSettings()}, "one"),
    ],
)
def test_wrong_keywords_are_one_sentence(keywords, says):
    generator = small_generator()
    with pytest.raises(SettingsError, match=says):
        embed(targets(generator), generator, perceptual=FakeFeatureNet(), progress=False, **keywords)
