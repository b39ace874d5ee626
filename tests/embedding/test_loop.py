"""Steps 2 to 5: gradients, and photos that do not know of each other, whenever each of them ends."""

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from short_run import run

from i2s.embedding import EmbedSettings, NoiseSettings
from i2s.embedding.init import initial_code
from i2s.embedding.objective import Objective
from i2s.embedding.stages import CodeStage
from i2s.latents import latent_statistics
from i2s.losses import ImageLoss, NoiseRegularization, PNorm, Sum


@pytest.mark.parametrize("space", ["z", "w", "w+"])
@pytest.mark.parametrize("joint", [False, True])
def test_gradients_against_finite_differences(space, joint):
    """Of the whole objective, in float64, in the directions of code and noise maps."""
    generator = small_generator().double()
    photos = targets(generator, 2)
    loss = Sum(ImageLoss(FakeFeatureNet()), PNorm(latent_statistics(generator, 1000), 0.1), NoiseRegularization(10.0))
    settings = EmbedSettings(space=space, init="uniform", noise=NoiseSettings("joint") if joint else None)
    noise = [torch.randn(2, 1, *n.shape, dtype=torch.float64) for n in generator.noise_maps()] if joint else []
    stage = CodeStage(generator, settings, initial_code(generator, settings, 2), noise)
    objective = Objective(loss, photos)

    def value(*_):
        return sum(objective(*stage.synthesize(0, 1.0)).values())

    variables = [stage.code, *stage.noise]
    assert all(v.dtype == torch.float64 for v in variables)
    gradients = torch.autograd.grad(value().sum(), variables)
    step, rng = 1e-6, torch.Generator().manual_seed(0)
    for variable, gradient in zip(variables, gradients):
        direction = torch.randn(variable.shape, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            variable += step * direction
            above = value().sum()
            variable -= 2 * step * direction
            below = value().sum()
            variable += step * direction
        torch.testing.assert_close((gradient * direction).sum(), (above - below) / (2 * step), rtol=1e-5, atol=1e-7)


@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(
    space=st.sampled_from(["z", "w", "w+"]),
    init=st.sampled_from(["mean", "uniform", "nearest"]),
    schedule=st.sampled_from(["constant", "ramp", "cosine"]),
    patience=st.sampled_from([0, 2, 5]),
    noise=st.sampled_from(
        [None, NoiseSettings("joint", learning_rate=0.05, regularization=1.0), NoiseSettings("after", 4, 0.1)]
    ),
    count=st.integers(1, 4),
    data=st.data(),
)
def test_a_batch_equals_its_photos_alone(space, init, schedule, patience, noise, count, data):
    """In float64, where rounding does not grow into a difference."""
    generator = small_generator().double()
    photos = targets(generator, count, seed=count)
    changes = {
        "space": space,
        "init": init,
        "schedule": schedule,
        "patience": patience,
        "min_improvement": 0.05,
        "noise": noise,
        "w_noise": 0.0 if space == "z" else 0.01,
        "learning_rate": 0.05,
        "candidates": 8,
    }
    together = run(generator, photos, **changes)
    k = data.draw(st.integers(0, count - 1))
    alone, ours = run(generator, photos[k : k + 1], **changes), together.select(k)
    tolerance = {"rtol": 1e-6, "atol": 1e-8}
    torch.testing.assert_close(ours.w_plus, alone.w_plus, **tolerance)
    torch.testing.assert_close(ours.image, alone.image)
    assert ours.endings == alone.endings
    if noise is None or noise.when == "joint":  # else a photo that ends early waits for the others
        assert ours.photo_steps == alone.photo_steps
        torch.testing.assert_close(ours.loss, alone.loss, **tolerance)
        assert ours.snapshot_steps[-1] == alone.snapshot_steps[-1]
    for mine, its in zip(ours.noise, alone.noise):
        torch.testing.assert_close(mine, its, **tolerance)


def test_a_settled_photo_is_frozen_and_costs_nothing_more(generator):
    """One photo is reached at the start; the other goes on without it."""

    class Counts(FakeFeatureNet):
        images = 0

        def features(self, images):
            Counts.images += len(images)
            return super().features(images)

    there = generator.synthesis(generator.w_mean.expand(1, generator.num_ws, -1))
    photos = torch.cat([there, targets(generator, 1)])
    result = run(
        generator, photos, steps=40, patience=5, min_improvement=1e-6, learning_rate=0.002, perceptual=Counts()
    )
    assert result.photo_steps == [5, 40] and result.endings == ["settled", ""] and not result.stopped
    # targets of both, of the second again; both for 6 images, the second alone for 35
    assert Counts.images == 2 + 1 + 2 * 6 + 35
    assert torch.equal(result.loss[5:, 0], result.loss[5, 0].expand(36))
    assert torch.equal(result.render(generator), result.image)
    first, second = result.select(0), result.select(1)
    assert first.steps == 5 and first.snapshot_steps[-1] == 5 and len(first.frames) == len(first.snapshots)
    assert torch.equal(first.snapshots[-1], first.w_plus) and second.steps == 40
    alone = run(generator, photos[1:], steps=40, learning_rate=0.002)
    torch.testing.assert_close(second.w_plus, alone.w_plus, rtol=1e-4, atol=1e-6)  # Adam went on as it was


def test_a_loss_that_falls_is_not_cut_short(generator):
    result = run(generator, targets(generator), steps=30, patience=10, min_improvement=0.0)
    assert result.photo_steps == [30, 30]


def test_nan_of_one_photo_leaves_the_others_alone(generator):
    class Breaks(FakeFeatureNet):
        def features(self, images):
            found = super().features(images)
            if self.calls == 6 and len(images) == 3:
                found[0] = torch.cat([found[0][:1], found[0][1:2] * float("nan"), found[0][2:]])
            return found

    photos = targets(generator, 3)
    result, good = run(generator, photos, perceptual=Breaks()), run(generator, photos)
    assert result.photo_steps == [12, 3, 12] and "finite" in result.stopped and "step 4" in result.endings[1]
    for k in (0, 2):
        torch.testing.assert_close(result.w_plus[k], good.w_plus[k], rtol=1e-4, atol=1e-5)
    assert torch.equal(result.w_plus[1], run(generator, photos, steps=3).w_plus[1])
    assert result.image.isfinite().all() and result.loss.isfinite().all()
    assert [bool(result.select(k).stopped) for k in range(3)] == [False, True, False]


def test_a_start_without_a_loss_is_one_sentence(generator):
    from i2s.errors import LatentError

    class Never(FakeFeatureNet):
        def features(self, images):
            return [f * float("nan") for f in super().features(images)]

    with pytest.raises(LatentError, match="initial code"):
        run(generator, targets(generator), perceptual=Never())


def test_a_budget_ends_the_search_in_time(generator):
    result = run(generator, targets(generator), steps=None, budget=1.0, schedule="ramp", snapshots=5)
    assert 0.9 < result.seconds < 3 and result.steps > 2
    assert len(result.snapshot_steps) >= 3 and result.snapshot_steps[-1] == result.steps
    assert run(generator, targets(generator), steps=2, budget=60).steps == 2
    assert run(generator, targets(generator), **{"steps": None, "budget": 0.001}).steps <= 1


def test_stages_share_a_budget(generator):
    stages = {}
    run(
        generator,
        targets(generator),
        steps=None,
        budget=1.0,
        noise=NoiseSettings("after", learning_rate=0.1),
        callback=lambda step: stages.setdefault(step.stage, []).append(step.seconds),
    )
    assert set(stages) == {"code", "noise"} and stages["code"][-1] < 0.8 and stages["noise"][-1] < 3


def test_own_terms_take_the_place_of_the_settings_weights(generator):
    from i2s.losses import PixelL1

    result = run(generator, targets(generator), loss=PixelL1(2.0))
    assert list(result.history) == ["l1"] and "PixelL1" in result.loss_terms
    expected = ((result.image - result.target) / 2).abs().mean(dim=(1, 2, 3)) * 2
    torch.testing.assert_close(result.loss[-1], expected)


def test_latent_terms_are_part_of_the_loss(generator):
    far = run(generator, targets(generator), steps=30)
    near = run(generator, targets(generator), steps=30, p_norm_weight=10.0)
    assert "p_norm" in near.history and "p_norm" not in far.history
    v = latent_statistics(generator).whiten(near.w_plus)
    torch.testing.assert_close(near.history["p_norm"][-1], 10 * v.square().mean(dim=(1, 2)), rtol=1e-3, atol=1e-5)
    assert v.square().mean() < latent_statistics(generator).whiten(far.w_plus).square().mean()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_generator_on_the_cpu(dtype):
    """Where the CPU lacks half operations; the code stays float32."""
    generator = small_generator()
    generator.synthesis.dtype = dtype
    result = run(generator, targets(generator), steps=20)
    assert result.w_plus.dtype == torch.float32 and (result.loss[-1] < result.loss[0]).all()


def test_no_line_of_the_package_assumes_a_gpu_or_an_old_pillow():
    """`.cuda()` on a machine without, names that Pillow 10 took away."""
    from pathlib import Path

    import i2s

    gone = (".cuda(", "cuda.FloatTensor", "Image.ANTIALIAS", "Image.LANCZOS", "Image.BICUBIC", "Image.BILINEAR")
    for path in Path(i2s.__file__).parent.rglob("*.py"):
        text = path.read_text()
        assert not [word for word in gone if word in text], path


def test_snapshots_of_a_budget_are_of_all_stages(generator):
    """Spread evenly over the seconds, as they are over the steps where those are planned."""
    seen = []
    result = run(
        generator,
        targets(generator),
        steps=None,
        budget=2.0,
        snapshots=9,
        noise=NoiseSettings("after", learning_rate=0.1),
        callback=seen.append,
    )
    first_of_noise = next(step.step for step in seen if step.stage == "noise")
    later = [step for step in result.snapshot_steps if step > first_of_noise]
    assert len(later) >= 3 and len(result.snapshot_steps) <= 10
    # planned steps are estimated from the share of the seconds that are over, of which a new stage has used none yet
    noise = [step for step in seen if step.stage == "noise"]
    assert all(step.steps < 10 * result.steps for step in noise)


def run_in(dtype, weight=1.0):
    generator = small_generator()
    photo = targets(generator, 2)
    generator.synthesis.dtype = dtype
    options = {"steps": 15, "learning_rate": 0.05, "tap_weights": (0, 0, 0, 0)}
    return run(generator, photo, mse_weight=weight, **options)


def test_half_precision_finds_what_float32_finds():
    exact, half = run_in(None), run_in(torch.float16)
    assert torch.isfinite(half.loss).all()
    assert torch.allclose(half.loss[-1], exact.loss[-1], rtol=0.1)


def test_gradients_below_the_smallest_half_are_not_lost():
    """With so small a weight the unscaled gradients of most activations vanish, and the descent with them."""
    weight = 2e-5
    half, exact = (1 - loss[-1] / loss[0] for loss in (run_in(dtype, weight).loss for dtype in (torch.float16, None)))
    assert torch.allclose(half, exact, atol=0.15)
