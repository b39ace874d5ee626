"""Noise maps and the generator as variables: what is returned draws the image that was seen; nothing else changes."""

import warnings

import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from short_run import run

from i2s.embedding import EmbedInterrupted, EmbedSettings, NoiseSettings, TuningSettings
from i2s.embedding.degradations import Grey, half_mask
from i2s.embedding.result import EmbedResult
from i2s.embedding.stages import code_loss, shows_noise, tuning_loss
from i2s.errors import LatentError, SettingsError
from i2s.latents import latent_statistics
from i2s.losses import Degraded, Masked, Perceptual, PixelL1, PixelMSE, PNorm, WeightedSum
from i2s.losses.base import check_weight

JOINT = NoiseSettings("joint", learning_rate=0.05, regularization=1.0)
AFTER = NoiseSettings("after", steps=15, learning_rate=0.05)


@pytest.mark.parametrize("noise", [JOINT, AFTER])
def test_the_noise_that_was_found_is_returned_and_draws_the_image(tmp_path, generator, noise):
    """A common mistake: the code alone is returned, and the image drawn with the old noise."""
    before = [n.clone() for n in generator.noise_maps()]
    result = run(generator, targets(generator), noise=noise)
    assert all(torch.equal(a, b) for a, b in zip(before, generator.noise_maps()))
    assert all(n.shape == (2, 1, *b.shape) for n, b in zip(result.noise, before))
    assert torch.equal(result.render(generator), result.image)
    assert torch.equal(EmbedResult.load(result.save(tmp_path / "r")).render(generator), result.image)
    assert not torch.allclose(generator.synthesis(result.w_plus), result.image, atol=1e-3)
    one = result.select(1)
    torch.testing.assert_close(one.render(generator), result.image[1:])


@pytest.mark.parametrize("noise", [None, JOINT, AFTER])
def test_each_step_shows_the_code_and_noise_that_it_names(generator, noise):
    """Also where noise is added to the code, the image belongs to the code that is told."""
    images = []

    def stop(step):
        images.append(step)
        if len(images) == 6:
            raise KeyboardInterrupt

    with pytest.raises(EmbedInterrupted) as stopped:
        run(generator, targets(generator), space="w", w_noise=0.1, noise=noise, callback=stop)
    result = stopped.value.result
    assert result.stopped == "interrupted" and result.steps == 5
    assert torch.equal(result.w_plus, images[-1].w_plus) and torch.equal(result.image, images[-1].image)
    assert torch.equal(result.render(generator), result.image)
    if noise is not JOINT:
        assert all(torch.equal(generator.synthesis(step.w_plus), step.image) for step in images)


def test_noise_after_the_code_leaves_the_code_and_lowers_the_pixels(generator):
    plain, result = run(generator, targets(generator)), run(generator, targets(generator), noise=AFTER)
    assert torch.equal(plain.w_plus, result.w_plus)
    assert result.steps == 12 + 15 and result.photo_steps == [27, 27]
    mse = lambda r: ((r.image - r.target) / 2).square().mean(dim=(1, 2, 3))  # noqa: E731
    assert (mse(result) < 0.8 * mse(plain)).all()
    torch.testing.assert_close(result.loss[-1], mse(result))  # pixels alone
    assert all(torch.equal(result.history[name][:12], plain.history[name][:12]) for name in plain.history)
    assert not torch.equal(result.frames[-1], plain.frames[-1])


def test_joint_noise_stays_noise(generator):
    result = run(generator, targets(generator), noise=JOINT, steps=20)
    for noise in result.noise:
        torch.testing.assert_close(noise.mean(dim=(1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)
        torch.testing.assert_close(noise.square().mean(dim=(1, 2, 3)), torch.ones(2))
    assert "noise" in result.history
    free = run(generator, targets(generator), noise=NoiseSettings("joint", learning_rate=0.05), steps=20)
    assert "noise" not in free.history


def test_noise_that_does_not_show_is_said_and_left_alone():
    silent = small_generator()
    for layer in (layer for block in silent.synthesis.blocks for layer in block.layers()):
        layer.noise_strength.data.zero_()
    assert shows_noise(small_generator()) and not shows_noise(silent)
    with pytest.warns(UserWarning, match="do not show"):
        result = run(silent, targets(silent), noise=AFTER)
    assert result.steps == 12 and result.noise[0].ndim == 2 and "do not show" in result.notices[0]


def test_tuning_learns_the_photo_and_leaves_the_generator_alone(tmp_path, generator):
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    settings = {"space": "w", "steps": 10, "learning_rate": 0.05}
    pivot = run(generator, targets(generator), **settings)
    result = run(generator, targets(generator), tuning=TuningSettings(20, 2e-3), **settings)
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in generator.parameters())
    assert torch.equal(pivot.w_plus, result.w_plus) and result.photo_steps == [30, 30]
    error = lambda r: (r.image - r.target).square().mean(dim=(1, 2, 3))  # noqa: E731
    assert (error(result) < 0.7 * error(pivot)).all()
    assert torch.equal(result.render(generator), result.image)
    loaded = EmbedResult.load(result.save(tmp_path / "r.safetensors"))
    assert torch.equal(loaded.render(generator), result.image) and len(loaded.tuned) == 2
    assert torch.equal(loaded.select(1).render(generator), result.image[1:])
    tuned = loaded.tuned_generator(generator, 1)
    assert torch.equal(tuned.synthesis(loaded.w_plus[1:]), result.image[1:])
    assert torch.equal(generator.synthesis(pivot.w_plus), pivot.image)


def test_a_photo_is_tuned_as_if_it_were_alone(generator):
    photos = targets(generator, 3)
    settings = {"space": "w", "steps": 6, "tuning": TuningSettings(4, 1e-3), "noise": JOINT}
    together, alone = run(generator, photos, **settings), run(generator, photos[1:2], **settings)
    ours = together.select(1)
    for name, weight in alone.tuned[0].items():
        torch.testing.assert_close(ours.tuned[0][name], weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.loss, alone.loss, rtol=1e-3, atol=1e-4)


def test_tuning_ends_at_the_lpips_that_was_asked_for(generator, monkeypatch):
    class Lpips:
        """Stands in for LPIPS, which needs VGG-16: the mean square of the pixels, by its name."""

        def __init__(self, net="vgg", weight=1.0):
            self.weight, self.term = check_weight("lpips", weight), PixelMSE()

        prepare = lambda self, target: target  # noqa: E731

        def __call__(self, images, target, mask=None):
            return {"lpips": self.weight * self.term(images, target, mask)["mse"]}

    monkeypatch.setattr("i2s.embedding.stages.LPIPS", Lpips)
    settings = {"space": "w", "tap_weights": (0, 0, 0, 0), "lpips_weight": 2.0, "mse_weight": 0.0}
    pivot = run(generator, targets(generator), loss=WeightedSum(Lpips(weight=2.0)), **settings)
    stop = float(pivot.loss[-1].mean()) / 2  # between the two photos, in LPIPS without its weight
    tuning = TuningSettings(60, 1e-3, lpips_stop=stop)
    result = run(generator, targets(generator), loss=WeightedSum(Lpips(weight=2.0)), tuning=tuning, **settings)
    lpips = result.history["lpips"]
    done = [k for k in range(2) if result.photo_steps[k] < 72]
    assert done and all(result.endings[k] == "settled" for k in done)
    for k in done:
        last = result.photo_steps[k]
        assert lpips[last, k] <= 2 * stop and (lpips[12:last, k] > 2 * stop).all()


class Breaks(FakeFeatureNet):
    """Sees no numbers when it looks for the twentieth time: while the generator is tuned."""

    def features(self, images):
        maps = super().features(images)
        return [f * (float("nan") if self.calls == 20 else 1) for f in maps]


def test_tuning_that_breaks_leaves_the_pivot(generator):
    pivot = run(generator, targets(generator, 1), space="w")
    result = run(generator, targets(generator, 1), space="w", tuning=TuningSettings(10, 1e-3), perceptual=Breaks())
    assert "finite" in result.stopped and not any(result.tuned)
    assert torch.equal(result.image, pivot.image) and torch.equal(result.render(generator), pivot.image)
    assert result.photo_steps == [12] and (result.loss[12:] == result.loss[12]).all()


def test_control_c_while_tuning_returns_weights_and_their_image(generator):
    def stop(step):
        if step.stage == "tuning" and step.step == 16:
            raise KeyboardInterrupt

    with pytest.raises(EmbedInterrupted) as stopped:
        run(generator, targets(generator, 1), tuning=TuningSettings(10, 1e-2), callback=stop)
    result = stopped.value.result
    assert result.stopped == "interrupted" and result.steps == 16
    assert torch.equal(result.render(generator), result.image)
    settings = {"tuning": TuningSettings(4, 1e-2)}
    assert torch.equal(result.image, run(generator, targets(generator, 1), **settings).image)


def test_tuned_weights_of_another_generator_are_refused(generator):
    result = run(generator, targets(generator, 1), tuning=TuningSettings(2))
    with pytest.raises(LatentError, match="another generator"):
        result.tuned_generator(small_generator(32))


@pytest.mark.parametrize("preset", ["stylegan2", "ii2s", "image2stylegan++", "pti"])
def test_each_preset_runs_and_says_what_it_lacks(generator, preset, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no VGG-16 there, and no network is asked for it
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = run(generator, targets(generator), preset=preset, steps=4, noise=None, tuning=None)
    needs_lpips = preset != "image2stylegan++"
    assert any("LPIPS" in notice and "VGG-16" in notice for notice in result.notices) == needs_lpips
    assert [str(w.message) for w in caught if w.category is UserWarning] == result.notices
    assert ("p_norm" in result.history) == (preset == "ii2s") and "conv4_2" in result.history
    assert ("mse" in result.history) == (preset in ("ii2s", "image2stylegan++"))


def test_the_film_of_a_tuned_photo_is_that_of_the_photo_alone(generator):
    """Photos are tuned one after the other, over the same steps."""
    photos = targets(generator, 3)
    settings = {"space": "w", "steps": 4, "tuning": TuningSettings(8, 1e-2), "snapshots": 13}
    together = run(generator, photos, **settings)
    for k in range(3):
        alone, ours = run(generator, photos[k : k + 1], **settings), together.select(k)
        assert ours.snapshot_steps == alone.snapshot_steps == list(range(13))
        assert (ours.frames.int() - alone.frames.int()).abs().max() <= 1


def test_the_film_ends_with_the_image_where_tuning_broke(generator):
    settings = {"space": "w", "tuning": TuningSettings(10, 1e-2), "snapshots": 23}
    result = run(generator, targets(generator, 1), perceptual=Breaks(), **settings)
    assert "finite" in result.stopped
    shown = (result.image.clamp(-1, 1) * 127.5 + 127.5).round()
    assert (result.frames[-1] - shown).abs().max() <= 1
    assert (result.frames[-2] - shown).abs().max() <= 1  # after its last step nothing changes


@pytest.mark.parametrize("wrap", [lambda x: Masked(x, half_mask(16)), lambda x: Degraded(x, Grey())])
def test_tuning_refuses_a_loss_whose_mask_the_pixels_would_not_know(generator, wrap):
    seen = []
    with pytest.raises(SettingsError, match="embed\\(mask"):
        run(generator, targets(generator), loss=wrap(PixelMSE()), tuning=TuningSettings(2), callback=seen.append)
    assert not seen  # before the search, not after it


class Absolute:
    """A term of a user's own."""

    def prepare(self, target):
        return target

    def __call__(self, images, target, mask=None):
        return {"absolute": (images - target).abs().mean(dim=(1, 2, 3))}


def test_tuning_compares_all_image_terms_of_the_loss(generator):
    loss = WeightedSum(PixelMSE(0.5), PixelL1(3.0), Absolute(), PNorm(latent_statistics(generator), 0.1))
    result = run(generator, targets(generator, 1), loss=loss, tuning=TuningSettings(2, 1e-3, mse_weight=2.0))
    last = {name: values[-1].item() for name, values in result.history.items()}
    error = result.image - result.target
    assert last["mse"] == pytest.approx(2 * (error / 2).square().mean().item(), rel=1e-5)
    assert last["l1"] == pytest.approx(3 * (error / 2).abs().mean().item(), rel=1e-5)
    assert last["absolute"] == pytest.approx(error.abs().mean().item(), rel=1e-5)
    assert last["p_norm"] == 0  # of the code, which is held


def test_tuning_of_the_settings_loss_is_pixels_and_features(generator):
    loss = code_loss(EmbedSettings(p_norm_weight=0.1), generator, FakeFeatureNet(), [])
    terms = tuning_loss(loss, EmbedSettings(tuning=TuningSettings())).terms
    assert [type(term) for term in terms] == [PixelMSE, Perceptual] and terms[0].weight == 4.0
