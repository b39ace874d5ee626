"""Embedding: the five steps as the paper has them, and the defects that other implementations have."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from PIL import Image
from short_run import run

from i2s.embedding import EmbedInterrupted, EmbedResult, embed, interrupted_result
from i2s.embedding.degradations import Blur, Compose, Inpaint, half_mask
from i2s.errors import DeviceError, ImageError, LatentError, SettingsError
from i2s.latents import latent_statistics
from i2s.losses import Masked, Perceptual, PixelMSE, WeightedSum


def test_the_loss_falls(generator):
    result = run(generator, targets(generator), steps=60)
    assert (result.loss[-1] < 0.5 * result.loss[0]).all()


def test_one_step_is_one_adam_step_of_the_papers_loss(generator):
    """By hand: w - lr * g / (|g| + eps), the first Adam step, with g from the written-out loss."""
    photo = targets(generator, 1)
    eye = FakeFeatureNet()
    w = generator.w_mean.expand(1, generator.num_ws, -1).clone().requires_grad_()
    image = generator.synthesis(w)
    loss = ((image - photo) / 2).square().mean()  # pixels in [0, 1]
    for ours, theirs in zip(eye.features(image), eye.features(photo)):
        loss = loss + (ours - theirs).square().mean()
    (gradient,) = torch.autograd.grad(loss, w)
    expected = w.detach() - 0.01 * gradient / (gradient.abs() + 1e-8)
    result = run(generator, photo, steps=1)
    torch.testing.assert_close(result.w_plus, expected, rtol=1e-4, atol=1e-6)
    assert result.loss[0, 0] == pytest.approx(loss.item(), rel=1e-5)


def test_w_has_one_row(generator):
    """A common mistake: a W that is really as many independent rows as there are layers."""
    result = run(generator, targets(generator), space="w")
    assert torch.equal(result.w_plus, result.w_plus[:, :1].expand_as(result.w_plus))
    assert not torch.equal(result.w_plus[:, 0], generator.w_mean.expand(2, -1))
    rows = run(generator, targets(generator)).w_plus
    assert not torch.allclose(rows, rows[:, :1].expand_as(rows))


def test_image_code_and_loss_belong_together(generator):
    """The image returned is the one that the returned code draws, with the same noise."""
    photos = targets(generator)
    result = run(generator, photos)
    again = generator.synthesis(result.w_plus)
    assert torch.equal(again, result.image) and torch.equal(result.render(generator), result.image)
    mse = ((result.image - photos) / 2).square().flatten(1).mean(1)
    torch.testing.assert_close(result.history["mse"][-1], mse)


def test_history_has_one_entry_more_than_updates(generator):
    result = run(generator, targets(generator), steps=7)
    assert result.steps == 7 and result.loss.shape == (8, 2)
    assert set(result.history) >= {"mse"} and all(v.shape == (8, 2) for v in result.history.values())


def test_a_photo_does_not_depend_on_its_neighbours(generator):
    photos = targets(generator, 3)
    together, alone = run(generator, photos), run(generator, photos[1:2])
    torch.testing.assert_close(together.w_plus[1:2], alone.w_plus, rtol=1e-4, atol=1e-5)


def test_snapshots_are_codes_of_their_steps(generator):
    result = run(generator, targets(generator), steps=20, snapshots=5)
    assert result.snapshot_steps == [0, 5, 10, 15, 20]
    assert torch.equal(result.snapshots[0], generator.w_mean.expand_as(result.w_plus))
    assert torch.equal(result.snapshots[-1], result.w_plus)
    shorter = run(generator, targets(generator), steps=10)
    torch.testing.assert_close(result.snapshots[2], shorter.w_plus)


def test_callback_sees_code_image_and_loss_of_one_moment(generator):
    seen = []
    run(generator, targets(generator), steps=4, callback=seen.append)
    assert [s.step for s in seen] == [0, 1, 2, 3, 4]
    for step in seen:
        assert torch.equal(generator.synthesis(step.w_plus), step.image)


def stop_at(last):
    """A callback that is interrupted at a step."""

    def callback(step):
        if step.step == last:
            raise KeyboardInterrupt

    return callback


def test_control_c_ends_a_loop_of_embeddings_and_keeps_what_there_is(generator, tmp_path):
    """One interrupt that ended one embedding alone would let the next one begin."""
    begun = []
    with pytest.raises(KeyboardInterrupt, match="stopped after step 5 of 12: .*interrupted_result") as stop:
        for k in range(3):
            begun.append(k)
            run(generator, targets(generator), callback=stop_at(5))
    result = stop.value.result
    assert begun == [0] and interrupted_result() is result
    assert result.stopped == "interrupted" and result.interrupted and result.steps == 5
    assert torch.equal(result.render(generator), result.image)
    assert EmbedResult.load(result.save(tmp_path / "r")).interrupted


@pytest.mark.parametrize("changes", [{"budget": 60.0}, {"noise": {"steps": 3}}, {"tuning": {"steps": 3}}])
def test_control_c_in_other_runs_keeps_what_there_is(generator, changes):
    with pytest.raises(EmbedInterrupted, match="stopped after step") as stop:
        run(generator, targets(generator, 1), callback=stop_at(12 if "budget" not in changes else 2), **changes)
    assert torch.equal(stop.value.result.render(generator), stop.value.result.image)


def test_there_is_no_interrupted_result_before_any(monkeypatch):
    monkeypatch.setattr("i2s.embedding.result._interrupted", None)
    with pytest.raises(LatentError, match="No embedding was interrupted"):
        interrupted_result()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)])
@pytest.mark.parametrize(
    "changes", [{}, {"preset": "fast", "steps": 3}, {"noise": {"steps": 3}, "tuning": {"steps": 2}}]
)
def test_gradients_are_switched_on(generator, mode, changes):
    photos, net = targets(generator), FakeFeatureNet()
    expected = run(generator, photos, perceptual=net, **changes)
    try:
        with mode():
            result = run(generator, photos, perceptual=net, **changes)
            assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    assert torch.equal(result.w_plus, expected.w_plus)


def test_what_was_made_in_inference_mode_is_taken():
    generator = small_generator()
    photos, start = targets(generator), generator.w_mean * 1.1
    changes = {"p_norm_weight": 0.1, "degradation": Inpaint(half_mask(16))}
    expected = run(generator, photos, start=start, mask=half_mask(16), **changes)
    with torch.inference_mode():
        made = small_generator()
        latent_statistics(generator)
        generator(generator.sample_z(1, 0))  # its layers keep what they prepare
        given = {"start": start.clone(), "mask": half_mask(16), "p_norm_weight": 0.1}
        given["degradation"] = Inpaint(half_mask(16))
        photos = photos.clone()
    for network in (generator, made):
        assert torch.equal(run(network, photos, **given).w_plus, expected.w_plus)


CASES = [
    {},
    {"init": "uniform"},
    {"noise": {"when": "joint"}},
    {"tuning": {"steps": 2}},
    {"init": "zeros", "space": "w"},
]


@pytest.mark.parametrize("changes", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_another_default_dtype_changes_nothing(generator, dtype, changes):
    photos, net = targets(generator), FakeFeatureNet()
    expected = run(generator, photos, perceptual=net, **changes)
    torch.set_default_dtype(dtype)
    try:
        result = run(generator, photos, perceptual=net, **changes)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(result.w_plus, expected.w_plus) and torch.equal(result.image, expected.image)


def test_threads_share_a_generator(generator):
    photos, net = targets(generator, 8), FakeFeatureNet()
    kinds = [{"preset": "fast"}, {}, {"space": "w", "optimizer": "lbfgs"}, {"tuning": {"steps": 2}}]

    def one(k):
        return run(generator, photos[k : k + 1], perceptual=net, **{"steps": 4} | kinds[k % 4]).image

    alone = list(map(one, range(8)))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert all(map(torch.equal, pool.map(one, range(8)), alone))
    assert not any(module._forward_hooks for module in generator.modules())


def test_numbers_of_numpy_are_taken(generator, tmp_path):
    photos, path = targets(generator, 1), tmp_path / "c"
    plain = {"steps": 4, "seed": 3, "learning_rate": 0.25, "betas": (0.5, 0.75), "tap_weights": (1.0, 1.0, 0.0, 2.0)}
    numbers = {
        "steps": np.int64(4),
        "seed": np.uint8(3),
        "learning_rate": np.float32(0.25),
        "betas": np.array([0.5, 0.75], np.float32),
        "tap_weights": [np.float64(1), torch.tensor(1.0), np.float16(0), np.array(2.0)],
    }
    plain |= {"tuning": {"steps": 2, "mse_weight": 0.5}, "degradation": Blur(0.5)}
    numbers |= {"tuning": {"steps": np.int32(2), "mse_weight": np.float64(0.5)}, "degradation": Blur(np.float32(0.5))}
    saved = {"checkpoint": path, "checkpoint_every": 2}
    expected = run(generator, photos, **plain, **saved)
    result = run(generator, photos, **numbers, **saved | {"checkpoint_every": np.int64(2)}, resume=True)
    assert torch.equal(result.w_plus, expected.w_plus) and result.settings == expected.settings
    values = [*vars(result.settings).values(), *result.settings.betas, *vars(result.settings.tuning).values()]
    assert not any(isinstance(value, np.generic | np.ndarray | torch.Tensor) for value in values)
    assert EmbedResult.load(result.save(tmp_path / "r")).settings == expected.settings


def test_a_mask_that_hides_nothing_is_said(generator):
    for hidden in (
        {"mask": torch.ones(1, 1, 16, 16)},
        {"degradation": Compose((Blur(1.0), Inpaint(torch.ones(1, 1, 16, 16))))},
    ):
        with pytest.warns(UserWarning, match="hides nothing"):
            assert run(generator, targets(generator), steps=1, **hidden).notices
    assert not run(generator, targets(generator), steps=1, mask=half_mask(16)).notices


def test_a_mask_of_other_proportions_than_a_photo_is_refused(generator):
    photos, mask = [Image.new("RGB", size, "red") for size in ((60, 40), (60, 50))], Image.new("L", (40, 60), 255)
    mask.paste(0, (0, 0, 20, 60))
    with pytest.raises(ImageError, match="The mask is 40 x 60 px, but the photo 60 x 40"):
        run(generator, photos[0], mask=mask)
    with pytest.raises(ImageError, match="60 x 50"):
        run(generator, iter(photos), mask=mask.transpose(Image.Transpose.ROTATE_90))
    turned = mask.transpose(Image.Transpose.ROTATE_90).resize((120, 80))
    run(generator, photos[0], mask=turned, steps=1)


def test_a_loss_that_is_no_number_keeps_the_last_good_code(generator):
    class Breaks(FakeFeatureNet):
        def features(self, images):
            found = super().features(images)
            return [f * float("nan") for f in found] if self.calls > 5 else found

    result = run(generator, targets(generator), perceptual=Breaks())
    assert "finite" in result.stopped and torch.isfinite(result.w_plus).all() and torch.isfinite(result.loss).all()


def test_out_of_memory_is_one_sentence(generator):
    class Hungry(FakeFeatureNet):
        def features(self, images):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB")

    with pytest.raises(DeviceError, match="fewer"):
        run(generator, targets(generator), perceptual=Hungry())


def test_the_network_is_left_alone(generator):
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    run(generator, targets(generator))
    assert all(torch.equal(v, before[k]) for k, v in generator.state_dict().items())
    assert all(p.grad is None for p in generator.parameters())


def test_the_photos_features_are_computed_once(generator):
    """A common mistake: the photos' features recomputed at every step."""

    class Counts(FakeFeatureNet):
        calls = 0

        def features(self, images):
            Counts.calls += 1
            return super().features(images)

    run(generator, targets(generator), steps=9, perceptual=Counts())
    assert Counts.calls == 1 + 10


def test_the_global_random_state_is_untouched(generator):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    run(generator, targets(generator), init="uniform")
    assert torch.equal(torch.get_rng_state(), state)


@hypothesis.settings(max_examples=10, deadline=None)
@hypothesis.given(weight=st.floats(0.01, 100))
def test_weights_scale_their_terms(weight):
    generator = small_generator()
    photos = targets(generator, 1)
    plain, scaled = run(generator, photos, steps=1), run(generator, photos, steps=1, mse_weight=weight)
    torch.testing.assert_close(scaled.history["mse"][0], weight * plain.history["mse"][0])


def test_a_generator_by_path(tmp_path, generator):
    from i2s.generators.file import save_generator

    path = save_generator(generator, tmp_path / "own.safetensors", half=False)
    by_path, loaded = run(path, targets(generator)), run(generator, targets(generator))
    assert torch.equal(by_path.w_plus, loaded.w_plus)


def test_control_c_before_the_first_image_is_control_c(generator, monkeypatch):
    def slow(*_):
        raise KeyboardInterrupt

    # i2s.embedding.embed is the function; its module has the same name
    monkeypatch.setattr(sys.modules["i2s.embedding.embed"], "initial_code", slow)
    with pytest.raises(KeyboardInterrupt):
        run(generator, targets(generator))


@pytest.mark.parametrize("preset", ["fast", "image2stylegan"])
def test_in_float64_the_perceptual_network_is_too(preset):
    generator = small_generator().double()
    result = run(generator, targets(generator), preset=preset, perceptual="slim", steps=2)
    assert result.w_plus.dtype == torch.float64 and result.history["conv1_1"].dtype == torch.float64


def test_feature_maps_that_a_network_lacks_are_said(generator):
    taps = ("conv1_1", "conv1_2", "conv2_2", "conv3_3")
    with pytest.warns(UserWarning, match="slim network has no feature maps.*conv3_3"):
        result = run(generator, targets(generator), perceptual="slim", taps=taps, steps=1)
    assert "conv4_2" in result.history and len(result.notices) == 1
    assert not run(generator, targets(generator), perceptual="slim", steps=1).notices


def test_errors_are_themselves_in_a_torch_without_the_newer_name(generator, monkeypatch):
    """Before 2.5 the memory's error had the name `torch.cuda.OutOfMemoryError` alone."""
    monkeypatch.delattr(torch, "OutOfMemoryError", raising=False)
    with pytest.raises(LatentError):
        run(generator, targets(generator), start=torch.zeros(5))


def test_a_torch_that_cannot_say_whether_it_compiles():
    """torch 2.2, the oldest that is allowed, has no `torch.compiler.is_compiling`."""
    code = """
import torch
del torch.compiler.is_compiling
from helpers import FakeFeatureNet, small_generator, targets
from i2s.embedding import embed
generator = small_generator()
embed(targets(generator), generator, steps=1, perceptual=FakeFeatureNet(), progress=False)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), "tests"])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_loss_without_feature_maps_loads_no_perceptual_network(generator, monkeypatch):
    def load(*_, **__):
        raise AssertionError("a network is loaded")

    monkeypatch.setattr(sys.modules["i2s.embedding.embed"], "load_perceptual", load)
    photos = targets(generator, 1)
    for changes in ({"loss": PixelMSE()}, {"tap_weights": (0, 0, 0, 0)}, {"perceptual": FakeFeatureNet()}):
        result = run(generator, photos, steps=1, **{"perceptual": "auto"} | changes)
        assert result.perceptual == ("tiny test network" if "perceptual" in changes else "")


def test_the_networks_of_a_loss_are_named(generator):
    loss = WeightedSum(PixelMSE(), Masked(Perceptual(FakeFeatureNet()), half_mask(16)))
    assert run(generator, targets(generator, 1), steps=1, loss=loss).perceptual == "tiny test network"


@pytest.mark.parametrize("swapped", ["tensor", "path"])
def test_swapped_arguments_are_one_sentence(generator, swapped, tmp_path):
    photo = targets(generator, 1) if swapped == "tensor" else tmp_path / "photo.png"
    with pytest.raises(SettingsError, match="photos come first"):
        embed(generator, photo)


def test_a_generator_of_another_kind_is_one_sentence(generator):
    with pytest.raises(SettingsError, match="generator cannot be a Linear"):
        embed(targets(generator, 1), torch.nn.Linear(1, 1))
