"""The distillation of the slim network: pairs, loss, resuming; and its result, compared with the teachers."""

import pytest
import torch
import torch.nn.functional as F
from helpers import FakeFeatureNet
from scipy.stats import spearmanr
from torch import nn

from i2s.errors import WeightFileError
from i2s.losses.slim import load_slim, training_metadata
from training import distortions
from training.__main__ import main
from training.checkpoint import save_checkpoint
from training.dataset import load_faces
from training.distill_perceptual import (
    HELD_OUT_FACES,
    DistillSettings,
    PairBatches,
    PerceptualDistillation,
    Projection,
    distances,
    distillation_loss,
    learning_rate,
    squared_distances,
    window,
)
from training.evaluate_perceptual import (
    correlations,
    markdown,
    measure_descents,
    measure_pairs,
    optimize_pixels,
    ranked_pairs,
)
from training.features import Teachers


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth_faces(count=8, side=64, seed=0):
    """uint8 pictures [count, 3, side, side] with something to see."""
    return torch.stack([((distortions.cloud(side, rng(seed + k)) + 1) * 127.5).byte() for k in range(count)])


def teacher():
    """A stand-in with the teachers' widths and sizes."""
    return FakeFeatureNet(widths=(64, 65, 256, 257), scales=(1, 1, 4, 8))


# --- pairs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", distortions.DISTORTIONS)
def test_distort_keeps_shape_and_range_and_repeats(kind):
    images = distortions.face_crops(smooth_faces(), 5, 40, rng())
    strength = torch.linspace(0, 1, 5)
    made = distortions.distort(kind, images, strength, rng(1))
    assert made.shape == images.shape and made.dtype == torch.float32 and made.abs().max() <= 1
    assert torch.equal(made, distortions.distort(kind, images, strength, rng(1)))
    assert ((made - images).abs().flatten(1).mean(dim=1) > 1e-4).all()


@pytest.mark.parametrize("kind", set(distortions.DISTORTIONS) - {"other"})
def test_distort_grows_with_strength(kind):
    images = distortions.face_crops(smooth_faces(16), 48, 48, rng())
    change = [
        (distortions.distort(kind, images, torch.full((48,), s), rng(2)) - images).square().mean() for s in (0, 0.5, 1)
    ]
    assert change[0] < change[1] < change[2]


def test_shift_moves_by_what_it_says():
    """At strength 0.6, 0.25 * 32^0.6 = 2 px: the best of all whole shifts is 2 px away."""
    picture = F.avg_pool2d(torch.randn(1, 3, 64, 64, generator=rng()), 3, 1, 1).clamp(-1, 1)
    moved = distortions.shift(picture, torch.tensor([0.6]), rng(1))
    inner = slice(12, -12)
    misses = {
        (dy, dx): float((moved - picture.roll((dy, dx), dims=(2, 3)))[:, :, inner, inner].square().mean())
        for dy in range(-4, 5)
        for dx in range(-4, 5)
    }
    dy, dx = min(misses, key=misses.get)
    assert (dy**2 + dx**2) ** 0.5 == pytest.approx(2, abs=0.7)


@pytest.mark.parametrize("draw", distortions.DRAWN)
def test_drawn_textures(draw):
    made = draw(48, rng(3))
    assert made.shape == (3, 48, 48) and made.abs().max() <= 1 and made.std() > 0.01
    assert torch.equal(made, draw(48, rng(3))) and not torch.equal(made, draw(48, rng(4)))


def test_photographs_exclude_held_out_ones():
    shown, held_out = distortions.photographs(), distortions.photographs(distortions.HELD_OUT_PHOTOGRAPHS)
    assert all(p.dtype == torch.uint8 and p.shape[0] == 3 and min(p.shape[1:]) >= 128 for p in shown + held_out)
    assert not set(distortions.PHOTOGRAPHS) & set(distortions.HELD_OUT_PHOTOGRAPHS)


def test_pair_batches_cost_the_same_at_any_size():
    batches = PairBatches(smooth_faces(), distortions.photographs(("grass",)), 8 * 96 * 96, rng())
    for _ in range(8):
        a, b = next(batches)
        assert a.shape == b.shape and len(a) % 4 == 0
        assert 0.6 < len(a) * a.shape[2] ** 2 / (8 * 96 * 96) < 1.8


# --- what is taught -------------------------------------------------------------------------------------------------


def test_squared_distances_are_of_all_pairs():
    maps = torch.randn(5, 3, 4, 6, generator=rng()).contiguous(memory_format=torch.channels_last)
    expected = (maps[:, None] - maps).square().mean(dim=(2, 3, 4))
    torch.testing.assert_close(squared_distances(maps), expected, rtol=1e-4, atol=1e-6)


def test_projection_on_all_axes_keeps_the_distances():
    maps = [torch.randn(4, c, 5, 5, generator=rng(c)) for c in (6, 7, 8, 9)]
    units = torch.tensor([1.0, 2.0, 3.0, 4.0])
    axes = [torch.linalg.qr(torch.randn(c, c, generator=rng(c)))[0] for c in (6, 7, 8, 9)]
    found = distances(*(zip(*((m[:2], m[2:]) for m in Projection(axes, units)(maps)))))
    torch.testing.assert_close(found, distances([m[:2] for m in maps], [m[2:] for m in maps]) / units[:, None])


def test_distillation_loss_is_zero_for_the_teacher_plus_a_constant():
    maps = [torch.randn(8, c, 6, 6, generator=rng(c)) for c in (3, 4, 5, 6)]
    same = distillation_loss([m + 7 for m in maps], maps)  # distances see differences alone
    assert all(float(v) < 1e-5 for v in same.values())
    wrong = distillation_loss([2 * m for m in maps], maps)
    assert float(wrong["change"]) == pytest.approx(1, rel=1e-2)  # off by as much as the change itself
    assert float(wrong["distance"]) == pytest.approx(torch.tensor(4.0).log().square().item(), rel=1e-2)


def test_distillation_loss_weighs_faint_and_strong_pairs_alike():
    maps = [torch.randn(8, c, 6, 6, generator=rng(c)) for c in (3, 4, 5, 6)]
    loud = distillation_loss([1.5 * m for m in maps], maps)
    faint = distillation_loss([0.3 * m for m in maps], [0.2 * m for m in maps])
    for name in loud:
        torch.testing.assert_close(loud[name], faint[name], rtol=0.05, atol=0)


def test_window_takes_every_quarter_in_turn():
    maps = [torch.arange(64.0).view(1, 1, 8, 8)] * 2 + [torch.zeros(1, 1, 2, 2)] * 2
    seen = torch.cat([window(maps, maps, step)[0][0].flatten() for step in range(4)])
    assert sorted(seen.tolist()) == list(range(64)) and window(maps, maps, 0)[1][2] is maps[2]


def test_learning_rate_rises_and_falls():
    settings = DistillSettings(steps=100, warm_up=10, learning_rate=1.0)
    rates = [learning_rate(step, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) > 0.95 and rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates.index(max(rates)) == 9


# --- a run ----------------------------------------------------------------------------------------------------------

SHORT = DistillSettings(steps=4, pixels=64 * 64, analysis_batches=2, warm_up=2)


@pytest.fixture(scope="module")
def faces():
    return smooth_faces(HELD_OUT_FACES + 6)


def test_resumed_distillation_is_bit_equal_to_one_that_was_not_stopped(tmp_path, faces, monkeypatch):
    whole = PerceptualDistillation(teacher(), faces, SHORT, tmp_path / "whole").train(report=lambda _: None)
    run, update = PerceptualDistillation(teacher(), faces, SHORT, tmp_path / "parts"), PerceptualDistillation._update

    def stop_at_2(self, *batch):
        if self.step == 2:
            raise KeyboardInterrupt
        return update(self, *batch)

    monkeypatch.setattr(PerceptualDistillation, "_update", stop_at_2)
    with pytest.raises(KeyboardInterrupt):
        run.train(report=lambda _: None)
    monkeypatch.undo()
    resumed = PerceptualDistillation(teacher(), faces, SHORT, tmp_path / "parts")
    assert resumed.step == 2
    parts = resumed.train(report=lambda _: None)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_held_out_faces_are_never_shown(tmp_path, faces):
    run = PerceptualDistillation(teacher(), faces, SHORT, tmp_path)
    assert torch.equal(run.batches.faces, faces[:-HELD_OUT_FACES])


def test_student_learns(tmp_path, faces):
    """On one batch, again and again, both terms fall."""
    run = PerceptualDistillation(teacher(), faces, DistillSettings(steps=200, pixels=64 * 64, warm_up=5), tmp_path)
    axes = [torch.eye(c)[:, :k] for c, k in zip((64, 65, 256, 257), run.student.config.taps)]
    run.projection = Projection(axes, torch.ones(4))
    batch = run._make_batch()
    terms = [run._update(*batch) for _ in range(24)]
    for name in ("change", "distance"):
        assert terms[-1][name] < 0.7 * terms[0][name]


def test_missing_teachers_are_one_sentence(tmp_path, capsys):
    with pytest.raises(WeightFileError, match="does not hold the weights of VGG-19"):
        Teachers(tmp_path)
    arguments = ["--teachers", str(tmp_path), "--faces", "f.zip", "--out", str(tmp_path / "o")]
    assert main(["distill-perceptual", *arguments]) == WeightFileError.exit_code
    assert "does not hold the weights of VGG-19" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_a_run_of_other_networks_is_refused(tmp_path, faces):
    save_checkpoint(tmp_path, {"s.weight": torch.zeros(1)}, {"images": 32})
    with pytest.raises(WeightFileError, match="holds other networks than the SlimNet of this run"):
        PerceptualDistillation(None, faces, DistillSettings(), tmp_path)


# --- what came of it, with the reference material -------------------------------------------------------------------


@pytest.fixture(scope="module")
def teachers(shared):
    return Teachers(shared / "perceptual")


def test_teachers_vgg_is_torchvisions_with_caffe_input(teachers):
    """The same layers, one after the other, on BGR in 0..255 minus the mean."""
    images = torch.rand(1, 3, 32, 32, generator=rng()) * 2 - 1
    x = (images[:, [2, 1, 0]] + 1) / 2 * 255 - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    expected = {}
    for name in ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2"):
        weight, bias = (teachers.vgg.weights[f"{name}_{part}"] for part in ("weight", "bias"))
        conv = nn.Conv2d(*weight.shape[1::-1], 3, padding=1)
        conv.weight, conv.bias = weight, bias
        x = expected[name] = conv(x).relu()
        if name in ("conv1_2", "conv2_2"):
            x = nn.MaxPool2d(2)(x)
    for name, found in zip(("conv1_1", "conv1_2", "conv3_2"), teachers(images)):
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("size", [64, 72, 128])
def test_teachers_fourth_map_lies_over_the_student_cells(teachers, size):
    """Its cells are 8 px apart and centred where VGG's are: a dot at a cell's centre excites that cell most."""
    images = torch.zeros(1, 3, size, size)
    plain = teachers(images)[3]
    assert plain.shape == (1, 256, size // 8, size // 8)
    cell = size // 16
    images[:, :, 8 * cell + 3 : 8 * cell + 5, 8 * cell + 3 : 8 * cell + 5] = 1
    moved = (teachers(images)[3] - plain).square().sum(dim=1)[0]
    assert divmod(int(moved.argmax()), size // 8) == (cell, cell)


@pytest.fixture(scope="module")
def measured(shared, teachers):
    """A sample of the model card's evaluation: 216 pairs at 64 px."""
    faces = load_faces(shared / "faces-128" / "faces-128.zip", 64)[-HELD_OUT_FACES:]
    photographs = distortions.photographs(distortions.HELD_OUT_PHOTOGRAPHS)
    sources = {
        "faces": lambda n, size, rng: distortions.face_crops(faces, n, size, rng),
        "textures": lambda n, size, rng: distortions.texture_crops(photographs, n, size, rng),
    }
    return measure_pairs(
        load_slim(), teachers, torch.tensor(training_metadata()["units"]), sources, 12, sizes=(64,), seed=7
    )


def test_slim_ranks_held_out_pairs_as_its_teachers_do(measured):
    table = correlations(measured)
    assert len(measured) == 216 and table["all pairs"]["spearman"] >= 0.95
    assert all(row["spearman"] >= 0.9 for row in table.values()), table
    everything = table["all pairs"]  # and it is not merely what the pixels tell
    assert everything["spearman per mse"] >= 0.95 and everything["mse spearman"] < everything["spearman"] - 0.02


def test_correlations_fall_when_the_distances_are_shuffled(measured):
    """The measure itself can fail."""
    shuffled = measured.student[:, torch.randperm(len(measured), generator=rng())]
    assert abs(spearmanr(measured.teacher.sum(dim=0), shuffled.sum(dim=0)).statistic) < 0.3


def test_tables_and_sheet(measured):
    text = markdown(correlations(measured))
    assert "| all pairs | 216 |" in text and "| tap conv4_2 | 216 |" in text
    sheet = ranked_pairs(measured, count=6)
    assert len(sheet) == 6 and sheet[0][0].shape == (3, 64, 128) and sheet[0][1].split()[1] == "1"


def test_unrelated_faces_are_at_distance_1_in_each_tap(measured):
    rows = [k for k in range(len(measured)) if measured.kinds[k] == "other" and measured.sources[k] == "faces"]
    assert ((measured.student[:, rows].mean(dim=1) > 0.6) & (measured.student[:, rows].mean(dim=1) < 1.6)).all()


def test_optimize_pixels_lowers_the_teachers_distance(shared, teachers):
    slim = load_slim()
    target = distortions.face_crops(load_faces(shared / "faces-128" / "faces-128.zip", 64)[-4:], 2, 64, rng(1))
    start = distortions.distort("blur", target, torch.full((2,), 0.8), rng())
    end = optimize_pixels(slim, start, target, steps=40)
    before, after = (distances(teachers(x), teachers(target)) for x in (start, end))
    assert (after < 0.5 * before).all(), (before, after)
    assert ((end - target).square().mean() < 0.7 * (start - target).square().mean()).all()


def test_measure_descents_reports_medians(shared, teachers):
    slim, faces = load_slim(), load_faces(shared / "faces-128" / "faces-128.zip", 64)[-8:]
    table, shown = measure_descents(slim, teachers, torch.ones(4), faces, steps=2)
    assert set(table) == {"blur", "other", "grey"} and shown.shape == (42, 3, 64, 64)
