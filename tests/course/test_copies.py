"""Changed copies, the inversion of features, and the reference that may be missing."""

import pytest
import torch
from helpers import TinyEye

from i2s.course import reference
from i2s.course.copies import bent, blurred, brighter, shifted
from i2s.course.inversion import invert_features
from i2s.errors import DownloadError, SettingsError

RNG = torch.Generator().manual_seed(0)
PHOTO = torch.rand(2, 3, 32, 32, generator=RNG) * 2 - 1


@pytest.mark.parametrize("change", [lambda x: shifted(x, 2), lambda x: shifted(x, -2), bent, blurred, brighter])
def test_a_copy_is_an_image_of_the_same_shape_that_differs(change):
    copy = change(PHOTO)
    assert copy.shape == PHOTO.shape and copy.dtype == PHOTO.dtype
    assert copy.abs().max() <= 1
    assert not torch.allclose(copy, PHOTO, atol=1e-2)


def test_shifted_moves_to_the_side_that_it_says():
    assert torch.equal(shifted(PHOTO, 3)[..., 3:], PHOTO[..., :-3])
    assert torch.equal(shifted(PHOTO, -3)[..., :-3], PHOTO[..., 3:])
    assert torch.equal(shifted(PHOTO, 3)[..., 0], PHOTO[..., 0])
    assert torch.equal(shifted(PHOTO, 0), PHOTO)


def test_shifted_refuses_to_push_all_of_it_out():
    with pytest.raises(SettingsError, match="32 px wide"):
        shifted(PHOTO, 32)


def test_bent_keeps_what_has_no_shape():
    flat = torch.full((1, 3, 32, 32), 0.25)
    assert torch.allclose(bent(flat), flat, atol=1e-5)


def test_bent_by_nothing_is_the_image():
    assert torch.allclose(bent(PHOTO, amount=0.0), PHOTO, atol=1e-4)


def test_bent_pulls_by_as_many_px_as_it_says():
    """Of a ramp, the change of brightness is the pull to the side: its mean over both directions is known."""
    ramp = torch.linspace(-0.5, 0.5, 64).expand(1, 3, 64, 64).contiguous()
    pull = (bent(ramp, amount=1.5) - ramp)[0, 0, 8:-8, 8:-8] * 63
    assert 0.4 < pull.abs().mean() < 1.5


def test_blurred_keeps_the_mean_and_takes_detail():
    copy = blurred(PHOTO)
    assert copy.std() < 0.3 * PHOTO.std()
    assert torch.allclose(copy.mean(), PHOTO.mean(), atol=0.02)


def test_brighter_is_clipped():
    assert brighter(torch.full((1, 3, 2, 2), 0.9)).max() == 1


def test_inverted_features_are_those_of_the_photo():
    eye, photo = TinyEye(), PHOTO[:1]
    found = invert_features(eye, photo, steps=150)
    assert found.shape == (4, 3, 32, 32) and found.abs().max() <= 1
    wanted = eye.features(photo)
    for k, (ours, goal) in enumerate(zip(eye.features(found), wanted)):
        start = (eye.features(torch.zeros_like(photo))[k] - goal).square().mean()
        assert (ours[k] - goal[0]).square().mean() < 0.2 * start


def test_without_its_network_lpips_is_missing_and_says_why(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(reference, "LPIPS", lambda net: pytest.fail("nothing is fetched unasked"))
    assert reference.reference_lpips() is None
    assert "fetch=True" in capsys.readouterr().out


def test_a_failed_download_ends_no_lesson(monkeypatch, tmp_path, capsys):
    def fail(net):
        raise DownloadError("The network could not be fetched.")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(reference, "LPIPS", fail)
    assert reference.reference_lpips(fetch=True) is None
    assert "could not be fetched" in capsys.readouterr().out


def test_a_network_in_the_cache_is_used(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "squeezenet1_1-b8a52dc0.pth").touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(reference, "LPIPS", lambda net: f"LPIPS over {net}")
    assert reference.reference_lpips() == "LPIPS over squeeze"
