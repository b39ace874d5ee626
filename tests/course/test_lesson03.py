"""Lesson 3: its distortions, feature inversion and LPIPS; its checks pass solutions and name mistakes."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import FakeFeatureNet, small_generator
from skimage import data

from i2s import embed, load_photos
from i2s.course import lesson03
from i2s.course.checks import CheckFailed, NoAnswer
from i2s.course.lesson03 import (
    blur,
    brighten,
    invert_features,
    lpips_of_the_copies,
    reference_lpips,
    shift,
    starts_near_the_mean,
    warp,
)
from i2s.errors import DownloadError, SettingsError
from i2s.losses import LPIPS, Perceptual

# --- helpers ----------------------------------------------------------------------------------------------------------

PHOTOS = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("change", [lambda x: shift(x, 2), lambda x: shift(x, -2), warp, blur, brighten])
def test_distortion_keeps_the_shape_and_changes_the_image(change):
    copy = change(PHOTOS)
    assert copy.shape == PHOTOS.shape and copy.dtype == PHOTOS.dtype
    assert copy.abs().max() <= 1
    assert not torch.allclose(copy, PHOTOS, atol=1e-2)


def test_shift_translates_to_the_right_and_left():
    assert torch.equal(shift(PHOTOS, 3)[..., 3:], PHOTOS[..., :-3])
    assert torch.equal(shift(PHOTOS, -3)[..., :-3], PHOTOS[..., 3:])
    assert torch.equal(shift(PHOTOS, 3)[..., 0], PHOTOS[..., 0])
    assert torch.equal(shift(PHOTOS, 0), PHOTOS)


def test_shift_refuses_the_whole_width():
    with pytest.raises(SettingsError, match="32 px wide"):
        shift(PHOTOS, 32)


def test_warp_keeps_a_constant_image():
    flat = torch.full((1, 3, 32, 32), 0.25)
    assert torch.allclose(warp(flat), flat, atol=1e-5)


def test_warp_by_zero_is_the_identity():
    assert torch.allclose(warp(PHOTOS, amount=0.0), PHOTOS, atol=1e-4)


def test_warp_displaces_by_the_given_length():
    """Of a ramp, the change of brightness is the displacement to the side."""
    ramp = torch.linspace(-0.5, 0.5, 64).expand(1, 3, 64, 64).contiguous()
    pull = (warp(ramp, amount=1.5) - ramp)[0, 0, 8:-8, 8:-8] * 63
    assert 0.4 < pull.abs().mean() < 1.5


def test_blur_keeps_the_mean_and_removes_detail():
    copy = blur(PHOTOS)
    assert copy.std() < 0.3 * PHOTOS.std()
    assert torch.allclose(copy.mean(), PHOTOS.mean(), atol=0.02)


def test_brighten_clips():
    assert brighten(torch.full((1, 3, 2, 2), 0.9)).max() == 1


@pytest.mark.parametrize("tap", range(4))
def test_invert_features_reproduces_the_map_of_the_photo(tap):
    net, photo = FakeFeatureNet(), PHOTOS[:1]
    found = invert_features(net, photo, tap, steps=100)
    assert found.shape == photo.shape and found.abs().max() <= 1 and not found.requires_grad
    wanted, start = net.features(photo)[tap], net.features(torch.zeros_like(photo))[tap]
    assert (net.features(found)[tap] - wanted).square().mean() < 0.2 * (start - wanted).square().mean()


def test_invert_features_runs_the_network_no_further_than_the_tap():
    counts = []

    class Counting(FakeFeatureNet):
        def features(self, images, count=4):
            counts.append(count)
            return super().features(images)[:count]

    invert_features(Counting(), PHOTOS[:1], tap=1, steps=2)
    assert set(counts) == {2}


def test_starts_lie_close_to_the_mean_latent():
    generator = small_generator(16)
    start = starts_near_the_mean(generator, 3)
    assert start.shape == (3, generator.w_dim) and torch.equal(start[0], generator.w_mean)
    spread = generator.mapping(generator.sample_z(1000, 0))[:, 0].std(dim=0).norm()
    assert all(0.03 * spread < (row - generator.w_mean).norm() < 0.3 * spread for row in start[1:])
    assert torch.equal(start, starts_near_the_mean(generator, 3)) and not torch.equal(start[1], start[2])


def test_reference_lpips_downloads_nothing_unasked(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(lesson03, "LPIPS", lambda net: pytest.fail("nothing is fetched unasked"))
    assert reference_lpips() is None
    assert "fetch=True" in capsys.readouterr().out


def test_reference_lpips_survives_a_failed_download(monkeypatch, tmp_path, capsys):
    def fail(net):
        raise DownloadError("The network could not be fetched.")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(lesson03, "LPIPS", fail)
    assert reference_lpips(fetch=True) is None
    assert "could not be fetched" in capsys.readouterr().out


def test_reference_lpips_uses_the_cache(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth").touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(lesson03, "LPIPS", lambda net: f"LPIPS over {net}")
    assert reference_lpips() == "LPIPS over squeeze"


@pytest.fixture(scope="module")
def astronaut():
    return load_photos(data.astronaut()[15:195, 135:315], 128)


@pytest.fixture(scope="module")
def copies(astronaut):
    return {
        "shifted": shift(astronaut, 3),
        "warped": warp(astronaut, 2.5),
        "brighter": brighten(astronaut, 0.3),
        "blurred": blur(astronaut, 3.5),
        "half contrast": astronaut / 2,
    }


def test_stored_lpips_is_found_for_the_lessons_copies_only(astronaut, copies, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = lpips_of_the_copies(astronaut, copies | {"another": blur(astronaut, 4)})
    assert [found[name] for name in copies] == [lpips for _, lpips in lesson03.LPIPS_MEASURED]
    assert np.isnan(found["another"])
    assert "measured before" in capsys.readouterr().out


def test_lpips_is_computed_where_its_network_is(astronaut, copies, monkeypatch):
    def fake(photo_or_image, prepared=None):
        return {"lpips": photo_or_image.mean().view(1)}

    fake.prepare = lambda photo: photo
    monkeypatch.setattr(lesson03, "reference_lpips", lambda fetch: fake)
    found = lpips_of_the_copies(astronaut, copies)
    assert found == {name: pytest.approx(copy.mean().item()) for name, copy in copies.items()}


@pytest.mark.reference
def test_stored_lpips_is_what_the_network_gives(astronaut, copies, shared, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "losses")
    from test_lpips import squeeze

    lpips = LPIPS(squeeze.__wrapped__(shared))
    found = [lpips(copy, lpips.prepare(astronaut))["lpips"].item() for copy in copies.values()]
    assert found == pytest.approx([stored for _, stored in lesson03.LPIPS_MEASURED], rel=0.01)


# --- checks -----------------------------------------------------------------------------------------------------------

DIMS = (1, 2, 3)
PHOTO = torch.zeros(1, 3, 8, 8)
COPIES = {"shifted": PHOTO + 0.4, "warped": PHOTO + 0.3, "brighter": PHOTO + 0.3, "blurred": PHOTO + 0.2}  # ratio: 4
BLUR = (
    "The edge may be at several places; the mean of them all has the smallest squared error, and that is a "
    "blurred edge."
)


def mean(features):
    return features.square().mean(dim=DIMS)


def mean_of(change):
    return lambda a, b: change((a - b) / 2).mean(dim=DIMS)


def mean_square_of_colours(a, b):
    return ((a - b) / 2).square().mean(dim=(0, 2, 3))


def in_place(a, b):
    a -= b
    return (a / 2).square().mean(dim=DIMS)


def taps_of(net, a, b):
    return list(zip(net.features(a), net.features(b)))


def perceptual(net, a, b, weights=(1, 1, 1, 1)):
    return sum(w * (x - y).square().mean(dim=DIMS) for w, (x, y) in zip(weights, taps_of(net, a, b)))


def over(reduce):
    """The loss that sums weight times `reduce(difference)`."""
    return lambda n, a, b, w=(1, 1, 1, 1): sum(v * reduce(x - y) for v, (x, y) in zip(w, taps_of(n, a, b)))


@torch.no_grad()
def without_gradient(net, a, b, weights=(1, 1, 1, 1)):
    return perceptual(net, a, b, weights)


def as_floats(net, a, b, weights=(1, 1, 1, 1)):
    return torch.tensor([float(perceptual(net, a[k : k + 1], b[k : k + 1], weights)) for k in range(len(a))])


def one_tap_without_gradient(net, a, b, weights=(1, 1, 1, 1)):
    pairs = taps_of(net, a, b)
    pairs[2] = (pairs[2][0].detach(), pairs[2][1])
    return sum(w * (x - y).square().mean(dim=DIMS) for w, (x, y) in zip(weights, pairs))


def in_a_loop(net, images, target, weights=(1, 1, 1, 1)):
    total = torch.zeros(len(images))
    for k in range(4):
        difference = net.features(images)[k] - net.features(target)[k]
        total = total + weights[k] * (difference**2).flatten(1).sum(1) / difference[0].numel()
    return total


def in_double(net, images, target, weights=(1, 1, 1, 1)):
    return perceptual(net, images.double(), target.double(), weights)


def with_the_library(net, images, target, weights=(1, 1, 1, 1)):
    values = Perceptual(net, tuple(weights))(images, Perceptual(net, tuple(weights)).prepare(target))
    return sum(values.values())


def by_norms(net, images, target, weights=(1, 1, 1, 1)):
    pairs = zip(weights, net.features(images), net.features(target.detach()))
    return sum(w * torch.linalg.vector_norm((a - b).flatten(1), dim=1) ** 2 / a[0].numel() for w, a, b in pairs)


def by_mse_loss(net, images, target, weights=(1, 1, 1, 1)):
    pairs = zip(weights, net.features(images), net.features(target))
    return torch.stack([w * F.mse_loss(a, b, reduction="none").mean(DIMS) for w, a, b in pairs]).sum(0)


def runs(mse=(1, 0, 1), taps=((0,) * 4, (1,) * 4, (1,) * 4), names=("pixels", "features", "both"), keep=True, get=None):
    def three_losses(embed, photo, options):
        rest = options if keep else {}
        made = [embed(photo, mse_weight=m, tap_weights=t, **rest) for m, t in zip(mse, taps)]
        return dict(zip(names, made if get is None else [get(run) for run in made]))

    return three_losses


def changes_the_options(embed, photo, options):
    options["steps"] = 3
    return runs()(embed, photo, options)


def shares_a_run(embed, photo, options):
    made = runs()(embed, photo, options)
    return made | {"both": made["pixels"]}


RIGHT = [
    ("mse", lambda a, b: ((a - b) / 2).square().mean(dim=DIMS)),
    ("mse", lambda a, b: ((a - b) ** 2).flatten(1).mean(1) / 4),
    ("mse", lambda a, b: F.mse_loss((a + 1) / 2, (b + 1) / 2, reduction="none").mean(DIMS)),
    ("mse", lambda a, b: ((a.numpy() - b.numpy()) ** 2).mean(axis=DIMS) / 4),
    ("mse", lambda a, b: ((a.double() - b.double()) / 2).pow(2).mean(DIMS)),
    ("mse", lambda a, b: [float(((x - y) / 2).square().mean()) for x, y in zip(a, b)]),
    ("mse", lambda a, b: torch.linalg.vector_norm((a - b).flatten(1), dim=1) ** 2 / (4 * a[0].numel())),
    ("why_blur", BLUR),
    ("why_blur", "Where the position is uncertain, the least squares answer is averaging, and that smears the edges."),
    ("why_blur", "Squared error is smallest at the expected value: over all plausible edges that is a soft ramp."),
    ("why_blur", "Half way costs little everywhere; a sharp edge in an incorrect location costs the contrast squared."),
    ("why_blur", "Hedging: a compromise between all candidates is never far off, a crisp wrong guess is, and squared."),
    ("why_blur", ["The optimum is the conditional expectation.", "Averaged over possible shifts it is a soft edge."]),
    ("perceptual_loss", perceptual),
    ("perceptual_loss", in_a_loop),
    ("perceptual_loss", in_double),
    ("perceptual_loss", with_the_library),
    ("perceptual_loss", by_norms),
    ("perceptual_loss", by_mse_loss),
    ("three_losses", runs()),
    ("three_losses", runs(mse=(1.0, 0.0, torch.tensor(1)), taps=([0, 0, 0, 0], torch.ones(4), np.ones(4)))),
    ("three_losses", runs(mse=(np.float32(1), np.int64(0), 1))),
    ("three_losses", lambda embed, photo, options: {
        "pixels": embed(photo, tap_weights=[0, 0, 0, 0], **options),
        "features": embed(photo, mse_weight=0.0, **options),
        "both": embed(photo, **options),
    }),
    ("three_losses", lambda embed, photo, options: {
        "both": embed(photo, **options),
        "features": embed(photo, **options, mse_weight=0),
        "pixels": embed(photo, **options, tap_weights=torch.zeros(4)),
    }),
    ("range_factors", (4, 65025)),
    ("range_factors", (4.0, 255**2)),
    ("range_factors", (np.float32(4), np.int64(65025))),
    ("range_factors", (torch.tensor(4), torch.tensor([65025.0]))),
    ("range_factors", (2**2, 6.5025e4)),
    ("sum_weight", 3 * 256 * 256),
    ("sum_weight", 196_608),
    ("sum_weight", 1.966e5),
    ("sum_weight", np.int32(196608)),
    ("sum_weight", torch.zeros(3, 256, 256).numel()),
    ("sum_weight", torch.tensor([196608.0])),
]  # fmt: skip
MISTAKES = [
    ("mse", lambda a, b: None, "no value yet"),
    ("mse", lambda a, b: ((a - b) / 2).square().mean(), "shape .* One number for each image"),
    ("mse", lambda a, b: (a - b).square().mean(dim=DIMS), "four times too large"),
    ("mse", lambda a, b: (a - b).square().mean(dim=DIMS) / 2, "twice too large"),
    ("mse", lambda a, b: ((a - b) / 4).square().mean(dim=DIMS), "four times too small"),
    ("mse", lambda a, b: (255 * (a - b) / 2).square().mean(dim=DIMS), "0..255"),
    ("mse", lambda a, b: ((a - b) / 255).square().mean(dim=DIMS), "not in 0..255"),
    ("mse", lambda a, b: ((a - b) / 2).square().mean().repeat(len(a)), "whole batch"),
    ("mse", mean_of(lambda d: d.square() * d[0].numel()), "sum of the squares"),
    ("mse", mean_of(lambda d: 3 * d.square()), "three colours"),
    ("mse", mean_of(torch.abs), "absolute"),
    ("mse", lambda a, b: F.l1_loss(a, b, reduction="none").mean(DIMS), "absolute"),
    ("mse", lambda a, b: ((a - b) / 2).square().mean(dim=DIMS).sqrt(), "root"),
    ("mse", lambda a, b: ((a - b) / 2).mean(dim=DIMS).square(), "cancel"),
    ("mse", lambda a, b: ((a - b) / 2).mean(dim=DIMS), "cancel"),
    ("mse", lambda a, b: ((a - b) / 2).flatten(1).var(dim=1), "variance"),
    ("mse", lambda a, b: ((a + 1) / 2 - b).square().mean(dim=DIMS), "only one of the two"),
    ("mse", lambda a, b: ((a + b) / 2).square().mean(dim=DIMS), "sums of the two"),
    ("mse", lambda a, b: (a.square() - b.square()).mean(dim=DIMS) / 4, "first the difference"),
    ("mse", lambda a, b: (a.clamp(0, 1) - b.clamp(0, 1)).square().mean(dim=DIMS), "do not clip"),
    ("mse", mean_square_of_colours, "each colour"),
    ("mse", lambda a, b: ((a - b) / 2).square().amax(dim=DIMS), "largest squared"),
    ("mse", lambda a, b: torch.zeros(len(a)), "not the mean of the squared"),
    ("mse", lambda a, b: -((a - b) / 2).square().mean(dim=DIMS), "not the mean of the squared"),
    ("mse", in_place, "changes what it was handed"),
    ("mse", lambda a, b: ((a - b) / 2).square().mean(dim=DIM), "NameError"),  # noqa: F821
    ("mse", lambda a: a, "TypeError"),
    ("mse", 0.3, "function itself"),
    ("why_blur", "It is so.", "few more words"),
    ("why_blur", "Because the loss is smallest there and so the search goes down to it and stays.", "which value"),
    ("why_blur", "A blurred picture is the mean, which is always a little better than any of the others is.", "known"),
    ("why_blur", "MSE averages neighbouring pixels at every place, and so the edges come out soft.", "neighbo"),
    ("why_blur", "A sharp edge always has the smallest error; the mean of places is never best.", "always the best"),
    ("why_blur", "Why does a search that follows MSE alone draw a blurred edge when it is not sure where the edge is?",
     "repeats the question"),
    ("why_blur", "Weil der Mittelwert aller möglichen Kanten den kleinsten quadratischen Fehler hat, wird es unscharf.",
     "English"),
    ("why_blur", "Sharp edges at wrong positions cost a great deal since errors are squared.", "which value"),
    ("why_blur", 7, "sentences"),
    ("perceptual_loss", lambda *a: None, "no value"),
    ("perceptual_loss", lambda *a: perceptual(*a).sum(), "shape"),
    ("perceptual_loss", over(lambda d: d.square().sum(dim=DIMS)), "N_j"),
    ("perceptual_loss", lambda n, a, b, w=None: perceptual(n, a, b), "weights are not used"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a, b, [v * v for v in w]), "squared too"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a, b, w[::-1]), "reverse"),
    ("perceptual_loss", lambda *a: perceptual(*a) / 4, "do not take their mean"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a, b, w) / sum(w), "do not take their mean"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a, b, (0, 0, 0, w[3])), "only one tap"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a, b, (w[0], 0, 0, 0)), "only one tap"),
    ("perceptual_loss", over(lambda d: d.square().mean(dim=DIMS).sqrt()), "root"),
    ("perceptual_loss", over(lambda d: d.flatten(1).norm(dim=1)), "root .* N_j"),
    ("perceptual_loss", over(lambda d: d.flatten(1).norm(dim=1) / d[0].numel()), "root"),
    ("perceptual_loss", over(lambda d: d.abs().mean(dim=DIMS)), "absolute"),
    ("perceptual_loss", over(lambda d: d.mean(dim=DIMS).square()), "cancel"),
    ("perceptual_loss", over(lambda d: d.square().sum(1).mean((1, 2))), "channels were added up"),
    ("perceptual_loss", over(lambda d: d.square().mean(1).sum((1, 2))), "positions were added up"),
    ("perceptual_loss", lambda *a: perceptual(*a) / len(a[1]), "size of the batch"),
    ("perceptual_loss", lambda *a: perceptual(*a).mean().repeat(len(a[1])), "whole batch"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: sum(v * mean(f) for v, f in zip(w, n.features(a - b))),
     "features of the difference"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, (a + 1) / 2, (b + 1) / 2, w), "as they are"),
    ("perceptual_loss", over(lambda d: d.square().amax(dim=DIMS)), "largest squared"),
    ("perceptual_loss", over(lambda d: d.square().flatten(1).median(1).values), "not the sum over the taps"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: sum(w) * perceptual(n, a, b), "added up"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a, b, [*w[:3], 0]), "last tap is missing"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a, b, [0, *w[1:]]), "first tap is missing"),
    ("perceptual_loss", over(lambda d: (d / 2).square().mean(dim=DIMS)), "do not halve"),
    ("perceptual_loss", without_gradient, "no gradient"),
    ("perceptual_loss", as_floats, "no gradient"),
    ("perceptual_loss", lambda *a: perceptual(*a).detach(), "no gradient"),
    ("perceptual_loss", one_tap_without_gradient, "part of its gradient"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a.detach(), b, w), "no gradient"),
    ("perceptual_loss", lambda n, a, b, w=(1,) * 4: perceptual(n, a, c, w), "NameError"),  # noqa: F821
    ("three_losses", lambda *a: None, "returns nothing"),
    ("three_losses", lambda *a: [], "a list, but a dict"),
    ("three_losses", runs(taps=(0, (1,) * 4, (1,) * 4)), "tap_weights.*One number for each tap"),
    ("three_losses", runs(taps=((0,) * 3, (1,) * 4, (1,) * 4)), "shape \\[3\\]"),
    ("three_losses", runs(mse=(0, 0, 1)), "all weights at 0"),
    ("three_losses", runs(mse=(-1, 0, 1)), "never below 0"),
    ("three_losses", lambda _, photo, options: runs()(embed, photo, {"steps": 1}), "handed in"),
    ("three_losses", lambda given, photo, options: runs()(given, photo + 1, options), "`photo` that"),
    ("three_losses", runs(names=("pixels", "features", "all")), '"both" is missing.*\'all\''),
    ("three_losses", lambda *a: {"pixels": None, "features": None, "both": None}, "NoneType.*as it is"),
    ("three_losses", runs(get=lambda run: run.image), "not its .image"),
    ("three_losses", shares_a_run, "same run"),
    ("three_losses", changes_the_options, "options.*|handed"),
    ("three_losses", runs(taps=((0,) * 4, (1, 1, 0, 0), (1,) * 4)), "tap_weights=.1, 1, 0, 0.*four times 1"),
    ("three_losses", runs(mse=(1, 0, 2)), "both.*mse_weight=2: it should be 1"),
    ("three_losses", runs(taps=((1,) * 4,) * 3), "pixels.*1, 1, 1, 1.*four times 0, without the features"),
    ("three_losses", runs(mse=(1, 1, 1)), "features.*mse_weight=1: it should be 0, without the pixels"),
    ("three_losses", runs(names=("features", "pixels", "both")), "pixels.*mse_weight=0: it should be 1"),
    ("three_losses", runs(keep=False), "options"),
    ("range_factors", (2, 65025), "MSE squares it"),
    ("range_factors", (4, 255), "MSE squares it"),
    ("range_factors", (0.25, 65025), "other way round"),
    ("range_factors", (0.5, 65025), "other way round"),
    ("range_factors", (4, 1 / 65025), "other way round"),
    ("range_factors", (1, 65025), "twice|2 times"),
    ("range_factors", (4, 65536), "255 steps"),
    ("range_factors", (65025, 4), "swapped"),
    ("range_factors", (16, 65025), "what does its square do"),
    ("range_factors", ("4", 65025), "quotation"),
    ("range_factors", (float("nan"), 65025), "number"),
    ("sum_weight", 256**2, "three colours"),
    ("sum_weight", 256, "width"),
    ("sum_weight", 768, "row"),
    ("sum_weight", 1 / 196608, "other way round"),
    ("sum_weight", 4 * 196608, "no factor of 4"),
    ("sum_weight", 196608 * 255**2, "no 255"),
    ("sum_weight", 1, "not a mean"),
    ("sum_weight", 0, "leave the pixels out"),
    ("sum_weight", 443.4, "root"),
    ("sum_weight", 128 * 128 * 3, "how many numbers"),
    ("sum_weight", "B", "quotation"),
    ("sum_weight", -196608, "how many numbers"),
]  # fmt: skip
BLANK = [
    ("mse", None),
    ("why_blur", ""),
    ("why_blur", "   "),
    ("range_factors", (None, None)),
    ("sum_weight", None),
]


def check(name, answer):
    getattr(lesson03, f"check_{name}")(*(answer if isinstance(answer, tuple) else (answer,)))


@pytest.mark.parametrize("name, answer", RIGHT)
def test_check_passes_right_answers(name, answer, capsys):
    check(name, answer)
    assert capsys.readouterr().out.startswith("Both points are mentioned" if name == "why_blur" else "Right:")


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_check_names_each_mistake(name, answer, said):
    with pytest.raises(CheckFailed, match=f"(?s){said}") as failed:
        check(name, answer)
    assert "  lesson03.py" not in str(failed.value), "a line of the check"


@pytest.mark.parametrize("name, answer", BLANK)
def test_blank_answer_is_no_failure_unless_it_is_needed(name, answer, capsys):
    if name == "mse":
        with pytest.raises(NoAnswer, match="cells below need it"):
            check(name, answer)
    else:
        check(name, answer)
        assert "no answer yet" in capsys.readouterr().out


def test_stubs_are_no_answer():
    def stub(*given):
        raise NotImplementedError()

    for name in ("mse", "perceptual_loss", "three_losses"):
        with pytest.raises(NoAnswer):
            check(name, stub)


GUESSES = [4, 4.2, np.float32(2), torch.tensor([1.5]), 0.25]
IMPOSSIBLE = [0, -1, "blurred", float("inf"), (1, 2), [1, 2], True, 1e6, torch.zeros(2)]


@pytest.mark.parametrize("guess", GUESSES)
def test_a_guessed_ratio_stands_beside_the_measured_one(guess, capsys):
    lesson03.check_shift_against_blur(guess, PHOTO, COPIES)
    out = capsys.readouterr().out
    assert f": 4; you guessed {float(guess):.3g}" in out
    assert ("MSE does not see it so" in out) == (float(guess) < 1)


@pytest.mark.parametrize("guess", IMPOSSIBLE)
def test_an_impossible_ratio_is_refused(guess, capsys):
    with pytest.raises(CheckFailed, match="`ratio`"):
        lesson03.check_shift_against_blur(guess, PHOTO, COPIES)


@pytest.mark.parametrize("guess", [-3, -0.5, 2, 0, np.float64(1), torch.tensor(-1)])
def test_a_guessed_change_stands_beside_the_measured_one(guess, capsys):
    lesson03.check_left_out(guess, 0.5)
    out = capsys.readouterr().out
    assert f": 0.5; you guessed {float(guess):.3g}" in out
    assert ("not the one that you expected" in out) == (float(guess) < 0)


@pytest.mark.parametrize("guess", [40, -40, "-1", "conv4_2", [1, 2], True, float("nan"), {}])
def test_an_impossible_change_is_refused(guess):
    with pytest.raises(CheckFailed, match="`decibels`"):
        lesson03.check_left_out(guess, 0.5)


@pytest.mark.parametrize("name, rest", [("shift_against_blur", (PHOTO, COPIES)), ("left_out", (0.5,))])
def test_no_guess_is_no_failure(name, rest, capsys):
    getattr(lesson03, f"check_{name}")(None, *rest)
    assert "no answer yet" in capsys.readouterr().out


def test_the_fake_network_is_not_linear():
    """Or features of the difference were the difference of the features."""
    a, b = (torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    net = lesson03.FourTaps()
    for x, y, z in zip(net.features(a), net.features(b), net.features(a - b)):
        assert not torch.allclose(x - y, z, atol=0.1)
