"""The combinations of terms: the paper's loss, sums, masks, degradations."""

import pytest
import torch
from helpers import FakeFeatureNet
from terms import SIDE, codes, pictures, statistics

from i2s.embedding.degradations import Compose, Downsample, Grey, Inpaint, box_mask, circle_mask, half_mask
from i2s.errors import SettingsError
from i2s.losses import TAP_NAMES, Degraded, ImageLoss, Masked, Perceptual, PixelL1, PixelMSE, PNorm, Sum, WeightedSum


def distance(loss, images, targets):
    return sum(loss(images, loss.prepare(targets)).values())


class Distance:
    """A latent term of a user's own: the distance of the code from a mean."""

    def latent(self, w_plus, noise):
        return {"distance": w_plus.square().mean(dim=(1, 2))}


# ---- the paper's loss, and sums -------------------------------------------------------------------------------------


def test_image_loss_is_the_papers_formula():
    net, images, targets = FakeFeatureNet(), pictures(seed=1), pictures(seed=2)
    terms = ImageLoss(net, 0.5, (1, 2, 3, 4))(images, ImageLoss(net).prepare(targets))
    for n in range(2):
        u, v = (images[n] + 1) / 2, (targets[n] + 1) / 2
        expected = {"mse": 0.5 / u.numel() * (u - v).norm() ** 2}
        for k, name in enumerate(TAP_NAMES):
            a, b = net.features(images)[k][n], net.features(targets)[k][n]
            expected[name] = (k + 1) / a.numel() * (a - b).norm() ** 2
        assert {name: pytest.approx(float(value)) for name, value in expected.items()} == {
            name: float(value[n]) for name, value in terms.items()
        }


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("side", [16, 48])
def test_image_loss_depends_neither_on_the_size_nor_on_the_batch(count, side):
    """A constant difference of 0.5 in [-1, 1] is 0.25^2 in [0, 1], at any size and batch."""
    net = FakeFeatureNet(kernel=1)  # so that there is no border
    targets = torch.full((count, 3, side, side), -0.25, dtype=torch.float64)
    terms = ImageLoss(net)(targets + 0.5, ImageLoss(net).prepare(targets))
    torch.testing.assert_close(terms["mse"], torch.full((count,), 0.0625, dtype=torch.float64))
    one = ImageLoss(net)(targets[:1, :, :16, :16] + 0.5, ImageLoss(net).prepare(targets[:1, :, :16, :16]))
    for name in TAP_NAMES:
        torch.testing.assert_close(terms[name], one[name].expand(count))


def test_image_loss_weights_scale_their_own_terms():
    images, targets = pictures(seed=1), pictures(seed=2)
    plain, scaled = (
        loss(images, loss.prepare(targets))
        for loss in (ImageLoss(FakeFeatureNet()), ImageLoss(FakeFeatureNet(), 5.0, (1, 0.5, 2, 3)))
    )
    for name, factor in zip(("mse", *TAP_NAMES), (5.0, 1, 0.5, 2, 3)):
        torch.testing.assert_close(scaled[name], factor * plain[name])


def test_image_loss_computes_features_of_the_target_once_and_without_gradient():
    net, targets = FakeFeatureNet(), pictures(seed=2).requires_grad_()
    loss = ImageLoss(net)
    prepared = loss.prepare(targets)
    assert net.calls == 1
    for _ in range(3):
        images = pictures(seed=1).requires_grad_()
        sum(loss(images, prepared).values()).sum().backward()
        assert images.grad.abs().sum() > 0
    assert net.calls == 4 and targets.grad is None


def test_image_loss_leaves_out_terms_of_weight_0():
    net, images, targets = FakeFeatureNet(), pictures(seed=1), pictures(seed=2)
    loss = ImageLoss(net, tap_weights=(0, 0, 0, 0))
    assert set(loss(images, loss.prepare(targets))) == {"mse"} and net.calls == 0
    loss = ImageLoss(net, 0, (0, 1, 0, 1))
    assert set(loss(images, loss.prepare(targets))) == {"conv1_2", "conv4_2"}


def test_weighted_sum_joins_terms_and_refuses_one_name_twice():
    images, targets = pictures(seed=1), pictures(seed=2)
    loss = WeightedSum(PixelMSE(2.0), Perceptual(FakeFeatureNet(), (1, 0, 0, 0)))
    assert set(loss(images, loss.prepare(targets))) == {"mse", "conv1_1"}
    twice = WeightedSum(PixelMSE(), PixelMSE())
    with pytest.raises(SettingsError, match="mse"):
        twice(images, twice.prepare(targets))


@pytest.mark.parametrize(
    "settings",
    [
        {"mse_weight": -1.0},
        {"mse_weight": float("nan")},
        {"mse_weight": float("inf")},
        {"tap_weights": (1, 1, 1)},
        {"tap_weights": (1, 1, 1, -2)},
        {"mse_weight": 0, "tap_weights": (0, 0, 0, 0)},
        {"pixel_range": (1, 0)},
    ],
)
def test_image_loss_settings_out_of_range(settings):
    with pytest.raises(SettingsError):
        ImageLoss(FakeFeatureNet(), **settings)


def test_weighted_sum_refuses_images_and_photos_of_different_shapes():
    """One photo is not silently compared with many images."""
    loss = ImageLoss(FakeFeatureNet())
    with pytest.raises(SettingsError, match="differ in shape"):
        loss(pictures(2), loss.prepare(pictures(1)))


def test_weighted_sum_takes_image_and_latent_terms():
    images, (w_plus, noise) = pictures(seed=1), codes()
    loss = WeightedSum(PixelMSE(), WeightedSum(PixelL1(), Distance()), PNorm(statistics()))
    assert set(loss(images, loss.prepare(pictures()))) == {"mse", "l1"}
    found = loss.latent_terms(w_plus, noise)
    assert set(found) == {"distance", "p_norm"} and all(x.shape == (2,) for x in found.values())
    assert WeightedSum(PixelMSE()).latent_terms(w_plus, noise) == {}
    with pytest.raises(SettingsError, match="p_norm"):
        WeightedSum(PixelMSE(), PNorm(statistics()), PNorm(statistics())).latent_terms(w_plus, noise)


def test_weighted_sum_needs_a_term_that_compares_images():
    with pytest.raises(SettingsError, match="PixelMSE"):
        WeightedSum(PNorm(statistics()))
    with pytest.raises(SettingsError, match="PixelMSE"):
        WeightedSum()


def test_sum_is_the_earlier_name_of_weighted_sum():
    assert Sum is WeightedSum


# ---- masks ----------------------------------------------------------------------------------------------------------


def test_masked_twice_with_labels():
    """Local edits: the face as in one photo, all else as in another."""
    face, images = circle_mask(SIDE, radius=0.3, blur=0.1), pictures(seed=1).float()
    loss = WeightedSum(Masked(ImageLoss(FakeFeatureNet()), face, "face "), Masked(PixelMSE(), 1 - face, "rest "))
    found = loss(images, loss.prepare(pictures(seed=2).float()))
    assert set(found) == {"face mse", "face conv1_1", "face conv1_2", "face conv3_2", "face conv4_2", "rest mse"}
    both = PixelMSE()(images, pictures(seed=2).float())["mse"]
    share = float(face.mean())
    torch.testing.assert_close(share * found["face mse"] + (1 - share) * found["rest mse"], both)


def test_masked_within_masked_multiplies():
    left, top = half_mask(SIDE, "left").double(), half_mask(SIDE, "top").double()
    nested, at_once = Masked(Masked(PixelL1(), left), top), Masked(PixelL1(), left * top)
    images, target = pictures(seed=1), pictures(seed=2)
    assert torch.equal(*(term(images, term.prepare(target))["l1"] for term in (nested, at_once)))


def test_masked_with_ones_changes_no_order_of_sums():
    """Also for pictures so large that they are added up in pieces: there is no weighing at all."""
    images, target = (torch.rand(4, 3, 512, 512, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    masked = Masked(PixelMSE(), torch.ones(1, 1, 512, 512))
    assert torch.equal(masked(images, masked.prepare(target))["mse"], PixelMSE()(images, target)["mse"])


def test_select_keeps_each_photos_own_masks():
    rng = torch.Generator().manual_seed(0)
    masks = torch.rand(4, 3, 1, SIDE, SIDE, generator=rng, dtype=torch.float64)
    loss = WeightedSum(
        PixelMSE(),
        Masked(Degraded(PixelL1(), Compose((Grey(), Inpaint(masks[0])))), masks[1]),
        Masked(WeightedSum(Masked(PixelMSE(), masks[2])), circle_mask(SIDE).double(), "inner "),
    )
    images, target, rows = pictures(3, seed=1), pictures(3, seed=2), torch.tensor([2, 0])
    whole, some = loss(images, loss.prepare(target)), loss.select(rows)
    found = some(images[rows], some.prepare(target[rows]))
    assert found.keys() == whole.keys() == {"mse", "l1", "inner mse"}
    assert all(torch.equal(found[name], whole[name][rows]) for name in found)


@pytest.mark.parametrize(
    "mask, says",
    [
        (torch.ones(SIDE, SIDE), "must be a tensor of floats"),
        (torch.ones(1, 3, SIDE, SIDE), "must be a tensor of floats"),
        (torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool), "must be a tensor of floats"),
        ([[1.0]], "list"),
        (torch.full((1, 1, SIDE, SIDE), 1.5), "beyond 0..1"),
        (torch.full((1, 1, SIDE, SIDE), float("nan")), "beyond 0..1"),
        (torch.zeros(1, 1, SIDE, SIDE), "0 everywhere"),
        (torch.cat([torch.ones(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)]), "0 everywhere"),
    ],
)
def test_masked_refuses_what_is_no_mask(mask, says):
    with pytest.raises(SettingsError, match=says):
        Masked(PixelMSE(), mask)


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 1, SIDE, SIDE)])
def test_masked_refuses_a_mask_of_another_size(shape):
    with pytest.raises(SettingsError, match="need .1, 1, 40, 40. or .2, 1, 40, 40."):
        Masked(PixelMSE(), torch.ones(shape)).prepare(pictures())


def test_masked_needs_a_term_that_takes_a_mask():
    """A term of a user's own needs no such argument until then."""

    class Darker:
        def prepare(self, target):
            return target

        def __call__(self, images, target):
            return {"darker": (target - images).clamp_min(0).mean(dim=(1, 2, 3))}

    loss = Degraded(WeightedSum(Darker(), PixelMSE()), Grey())
    assert set(loss(pictures(), loss.prepare(pictures()))) == {"darker", "mse"}
    with pytest.raises(SettingsError, match="Darker takes no mask"):
        Masked(Darker(), torch.ones(1, 1, SIDE, SIDE))


def test_degraded_refuses_latent_terms():
    with pytest.raises(SettingsError, match="Distance looks at codes"):
        Degraded(Distance(), Grey())


def test_degraded_and_masked_in_either_order():
    """A mask inside is of the degraded size, a mask outside of the photo's."""
    images, target = pictures(seed=1), pictures(seed=2)
    inside = Degraded(Masked(PixelMSE(), box_mask(10, 0, 0, 0.5, 1).double()), Downsample(10))
    outside = Masked(Degraded(PixelMSE(), Downsample(10)), box_mask(SIDE, 0, 0, 0.5, 1).double())
    found = [term(images, term.prepare(target))["mse"] for term in (inside, outside)]
    torch.testing.assert_close(*found)


def test_masked_refuses_latent_terms():
    with pytest.raises(SettingsError, match="PNorm looks at codes"):
        Masked(PNorm(statistics()), torch.ones(1, 1, 8, 8))
