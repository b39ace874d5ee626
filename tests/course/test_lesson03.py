"""Lesson 3: its distortions, feature inversion and LPIPS; its checks pass solutions and name mistakes."""

import pytest
import torch
from helpers import FakeFeatureNet

from i2s import embed
from i2s.course import lesson03
from i2s.course.checks import CheckFailed
from i2s.course.lesson03 import blur, brighten, invert_features, reference_lpips, shift, warp
from i2s.errors import DownloadError, SettingsError

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


def test_invert_features_reproduces_the_maps_of_the_photo():
    net, photo = FakeFeatureNet(), PHOTOS[:1]
    found = invert_features(net, photo, steps=150)
    assert found.shape == (4, 3, 32, 32) and found.abs().max() <= 1
    wanted = net.features(photo)
    for k, (ours, goal) in enumerate(zip(net.features(found), wanted)):
        start = (net.features(torch.zeros_like(photo))[k] - goal).square().mean()
        assert (ours[k] - goal[0]).square().mean() < 0.2 * start


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


# --- checks -----------------------------------------------------------------------------------------------------------

DIMS = (1, 2, 3)
PHOTO = torch.zeros(1, 3, 8, 8)
COPIES = (PHOTO, {"moved": PHOTO + 0.5, "bent": PHOTO + 0.4, "brighter": PHOTO + 0.3, "blurred": PHOTO + 0.1})
BLUR = (
    "The edge may be at several places; the mean of them all has the smallest squared error, and that is a "
    "blurred edge."
)


def squares(net, a, b):
    return [(x - y).square() for x, y in zip(net.features(a), net.features(b))]


def perceptual(net, a, b, weights):
    return sum(w * s.mean(dim=DIMS) for w, s in zip(weights, squares(net, a, b)))


def runs(mse=(1, 0, 1), taps=((0,) * 4, (1,) * 4, (1,) * 4), names=("pixels", "features", "both"), keep=True):
    def three_losses(embed, photo, options):
        rest = options if keep else {}
        return {n: embed(photo, mse_weight=m, tap_weights=t, **rest) for n, m, t in zip(names, mse, taps)}

    return three_losses


SOLUTIONS = {
    "smallest_mse": ("blurred", *COPIES),
    "mse": (lambda a, b: ((a - b) / 2).square().mean(dim=DIMS),),
    "why_blur": (BLUR,),
    "perceptual_loss": (perceptual,),
    "three_losses": (runs(),),
    "range_factor": (4,),
    "large_loss": ("B",),
}
MISTAKES = [
    ("smallest_mse", (None, *COPIES), "no answer"),
    ("smallest_mse", ("moved", *COPIES), "edges are elsewhere"),
    ("smallest_mse", ("bent", *COPIES), "edges are elsewhere"),
    ("smallest_mse", ("brighter", *COPIES), "every single pixel"),
    ("smallest_mse", ("both", *COPIES), "not one of"),
    ("smallest_mse", ("blurred", PHOTO, COPIES[1] | {"bent": PHOTO}), "at any single pixel"),
    ("mse", (lambda a, b: None,), "no value"),
    ("mse", (lambda a, b: ((a - b) / 2).square().mean(),), "one number for each|One number"),
    ("mse", (lambda a, b: (a - b).square().mean(dim=DIMS),), "four times"),
    ("mse", (lambda a, b: (a - b).square().mean(dim=DIMS) / 2,), "twice too large"),
    ("mse", (lambda a, b: ((a - b) / 2).square().sum(dim=DIMS),), "sum of the squares"),
    ("mse", (lambda a, b: ((a - b) / 2).abs().mean(dim=DIMS),), "absolute"),
    ("mse", (lambda a, b: ((a - b) / 2).square().mean(dim=DIMS).sqrt(),), "root"),
    ("mse", (lambda a, b: ((a - b) / 2).mean(dim=DIMS).square(),), "cancel"),
    ("mse", (lambda a, b: ((a + 1) / 2 - b).square().mean(dim=DIMS),), "only one of the two"),
    ("why_blur", ("",), "sentences"),
    (
        "why_blur",
        ("Because the loss is the smallest there and so the search goes down to it and stays.",),
        "nearest to several",
    ),
    (
        "why_blur",
        ("A blurred picture is the mean, which is always a little better than any of the others is.",),
        "not known",
    ),
    ("perceptual_loss", (lambda *a: None,), "no value"),
    ("perceptual_loss", (lambda n, a, b, w: perceptual(n, a, b, w).sum(),), "shape"),
    ("perceptual_loss", (lambda n, a, b, w: sum(v * s.sum(dim=DIMS) for v, s in zip(w, squares(n, a, b))),), "N_j"),
    ("perceptual_loss", (lambda n, a, b, w: perceptual(n, a, b, (1, 1, 1, 1)),), "weights are not used"),
    ("perceptual_loss", (lambda n, a, b, w: perceptual(n, a, b, w) / 4,), "mean over the taps"),
    ("perceptual_loss", (lambda n, a, b, w: w[-1] * squares(n, a, b)[-1].mean(dim=DIMS),), "only one tap"),
    (
        "perceptual_loss",
        (lambda n, a, b, w: sum(v * s.mean(dim=DIMS).sqrt() for v, s in zip(w, squares(n, a, b))),),
        "root",
    ),
    (
        "perceptual_loss",
        (lambda n, a, b, w: sum(v * s.sqrt().mean(dim=DIMS) for v, s in zip(w, squares(n, a, b))),),
        "absolute",
    ),
    ("three_losses", (lambda *a: None,), "dict"),
    ("three_losses", (runs(taps=(0, (1,) * 4, (1,) * 4)),), "four numbers"),
    ("three_losses", (lambda _, photo, options: runs()(embed, photo, {}),), "handed in"),
    ("three_losses", (lambda given, photo, options: runs()(given, None, options),), "`photo` that"),
    ("three_losses", (runs(names=("pixels", "features", "all")),), "no both"),
    ("three_losses", (lambda *a: {"pixels": None, "features": None, "both": None},), "returned"),
    ("three_losses", (runs(mse=(0, 0, 1)),), "has no pixels"),
    ("three_losses", (runs(taps=((0,) * 4, (1, 1, 0, 0), (1,) * 4)),), "all four taps"),
    ("three_losses", (runs(mse=(1, 0, 2)),), "weight 1 everywhere"),
    ("three_losses", (runs(taps=((1,) * 4,) * 3),), "still has features"),
    ("three_losses", (runs(mse=(1, 1, 1)),), "still has pixels"),
    ("three_losses", (runs(keep=False),), "options"),
    ("range_factor", (None,), "number"),
    ("range_factor", (2,), "squared"),
    ("range_factor", (0.25,), "other way"),
    ("range_factor", (1,), "twice as wide"),
    ("large_loss", (None,), "no answer"),
    ("large_loss", ("A",), "255"),
    ("large_loss", ("C",), "no root"),
]


OTHERS = [
    ("why_blur", "Where the position is uncertain, the least squares answer is averaging, and that smears the edges."),
    ("why_blur", "Squared error is smallest at the expected value: over all plausible edges that is a soft ramp."),
    ("why_blur", "Half way costs little everywhere; a sharp edge in an incorrect location costs the contrast squared."),
    ("mse", lambda a, b: ((a - b) ** 2).flatten(1).mean(1) / 4),
    ("range_factor", torch.tensor(4)),
    ("three_losses", lambda embed, photo, options: {
        "pixels": embed(photo, tap_weights=[0, 0, 0, 0], **options),
        "features": embed(photo, mse_weight=0.0, **options),
        "both": embed(photo, **options),
    }),
]  # fmt: skip


@pytest.mark.parametrize("name, answer", OTHERS)
def test_check_passes_other_right_answers(name, answer):
    getattr(lesson03, f"check_{name}")(answer)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_check_passes_the_solution(name, capsys):
    getattr(lesson03, f"check_{name}")(*SOLUTIONS[name])
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_check_names_each_mistake(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(lesson03, f"check_{name}")(*answer)
