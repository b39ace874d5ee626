"""Masks that cannot be, masks within masks; the perceptual network runs no further than it must."""

import pytest
import torch
from helpers import TinyEye
from terms import SIDE, pictures

from i2s.embedding.degradations import Compose, Downsample, Grey, Inpaint, box_mask, circle_mask, half_mask
from i2s.errors import SettingsError
from i2s.losses import Degraded, ImageLoss, LatentDistance, Masked, Perceptual, PixelL1, PixelMSE, Sum, weighted_mean
from i2s.losses.slim import SlimNet, load_slim
from i2s.losses.vgg16 import VGG16, VGG16Settings

# ---- masks ----------------------------------------------------------------------------------------------------------


def test_weighted_mean_written_out():
    """Each place of a small map counts by the share of the mask that it covers."""
    x = torch.arange(8.0).view(1, 2, 2, 2)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :2], mask[..., 2, 2] = 1, 1  # the first place whole, the last a quarter
    assert float(weighted_mean(x, mask)) == pytest.approx(((0 + 4) + 0.25 * (3 + 7)) / (2 * 1.25))
    assert float(weighted_mean(x)) == 3.5 and float(weighted_mean(x, torch.zeros(1, 1, 4, 4))) == 0


def test_two_masks_on_one_term():
    """Local edits: the face as in one photo, all else as in another."""
    face, images = circle_mask(SIDE, radius=0.3, blur=0.1), pictures(seed=1).float()
    loss = Sum(Masked(ImageLoss(TinyEye()), face, "face "), Masked(PixelMSE(), 1 - face, "rest "))
    found = loss(images, loss.prepare(pictures(seed=2).float()))
    assert set(found) == {"face mse", "face conv1_1", "face conv1_2", "face conv3_2", "face conv4_2", "rest mse"}
    both = PixelMSE()(images, pictures(seed=2).float())["mse"]
    share = float(face.mean())
    torch.testing.assert_close(share * found["face mse"] + (1 - share) * found["rest mse"], both)


def test_masks_multiply():
    left, top = half_mask(SIDE, "left").double(), half_mask(SIDE, "top").double()
    nested, at_once = Masked(Masked(PixelL1(), left), top), Masked(PixelL1(), left * top)
    images, target = pictures(seed=1), pictures(seed=2)
    assert torch.equal(*(term(images, term.prepare(target))["l1"] for term in (nested, at_once)))


def test_a_mask_of_ones_is_none_where_it_would_change_the_order_of_sums():
    """Also for pictures so large that they are added up in pieces: there is no weighing at all."""
    images, target = (torch.rand(4, 3, 512, 512, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    masked = Masked(PixelMSE(), torch.ones(1, 1, 512, 512))
    assert torch.equal(masked(images, masked.prepare(target))["mse"], PixelMSE()(images, target)["mse"])


def test_some_of_the_photos():
    """Each keeps its own masks, wherever in the loss they are."""
    rng = torch.Generator().manual_seed(0)
    masks = torch.rand(4, 3, 1, SIDE, SIDE, generator=rng, dtype=torch.float64)
    loss = Sum(
        PixelMSE(),
        Masked(Degraded(PixelL1(), Compose((Grey(), Inpaint(masks[0])))), masks[1]),
        Masked(Sum(Masked(PixelMSE(), masks[2])), circle_mask(SIDE).double(), "inner "),
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
def test_masks_that_cannot_be(mask, says):
    with pytest.raises(SettingsError, match=says):
        Masked(PixelMSE(), mask)


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 1, SIDE, SIDE)])
def test_masks_of_another_size_than_the_photos(shape):
    with pytest.raises(SettingsError, match="need .1, 1, 40, 40. or .2, 1, 40, 40."):
        Masked(PixelMSE(), torch.ones(shape)).prepare(pictures())


def test_a_term_of_a_users_own():
    """It needs no mask argument until it is masked."""

    class Darker:
        def prepare(self, target):
            return target

        def __call__(self, images, target):
            return {"darker": (target - images).clamp_min(0).mean(dim=(1, 2, 3))}

    loss = Degraded(Sum(Darker(), PixelMSE()), Grey())
    assert set(loss(pictures(), loss.prepare(pictures()))) == {"darker", "mse"}
    with pytest.raises(SettingsError, match="Darker takes no mask"):
        Masked(Darker(), torch.ones(1, 1, SIDE, SIDE))


def test_a_degradation_is_of_images():
    with pytest.raises(SettingsError, match="LatentDistance looks at codes"):
        Degraded(LatentDistance(torch.zeros(12)), Grey())


def test_degraded_and_masked_either_way_round():
    """A mask inside is of the degraded size, a mask outside of the photo's."""
    images, target = pictures(seed=1), pictures(seed=2)
    inside = Degraded(Masked(PixelMSE(), box_mask(10, 0, 0, 0.5, 1).double()), Downsample(10))
    outside = Masked(Degraded(PixelMSE(), Downsample(10)), box_mask(SIDE, 0, 0, 0.5, 1).double())
    found = [term(images, term.prepare(target))["mse"] for term in (inside, outside)]
    torch.testing.assert_close(*found)


# ---- how far the network runs ---------------------------------------------------------------------------------------


def layers_run(net, call):
    """Names of the convolutions that a call runs."""
    seen = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, part in net.named_children()
        if name.startswith("conv")
    ]
    call()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("make", [SlimNet, VGG16], ids=["slim", "vgg16"])
@pytest.mark.parametrize(
    "weights, last", [((1, 0, 0, 0), 1), ((0, 1, 0, 0), 2), ((1, 1, 0.5, 0), 6), ((0, 0, 0, 1), 8)]
)
def test_the_network_ends_at_the_last_tap_of_a_weight(make, weights, last):
    """Defect 8. The values are those of the whole network."""
    net = make().requires_grad_(False)
    last += make is VGG16 and last > 6  # VGG has a third layer in its third block
    a, b = pictures(1, 16, 1, torch.float32), pictures(1, 16, 2, torch.float32)
    term = Perceptual(net, weights)
    assert len(layers_run(net, lambda: term.prepare(b))) == last
    assert len(layers_run(net, lambda: term(a, term.prepare(b)))) == 2 * last
    whole = Perceptual(net)
    expected = whole(a, whole.prepare(b))
    for name, found in term(a, term.prepare(b)).items():
        torch.testing.assert_close(found, term.weights[name] * expected[name])


def test_a_network_of_a_users_own_need_not_know_where_to_stop():
    term = Perceptual(TinyEye(), (1, 0, 0, 0))
    images = pictures(dtype=torch.float32)
    assert set(term(images, term.prepare(images))) == {"conv1_1"}


def test_taps_of_image2stylegan_plus_plus():
    taps = ("conv1_1", "conv1_2", "conv2_2", "conv3_3")
    torch.manual_seed(0)
    net = VGG16(VGG16Settings(taps=taps)).requires_grad_(False)
    term = Perceptual(net)
    images = pictures(1, 32, dtype=torch.float32)
    assert tuple(term(images, term.prepare(images))) == taps
    assert [tuple(x.shape[1:]) for x in net.features(images)] == [
        (64, 32, 32),
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
    ]
    assert layers_run(net, lambda: net.features(images))[-1] == "conv3_3"
    assert "conv2_2" in net.describe() and "conv4_2" not in VGG16().describe()


@pytest.mark.parametrize("taps", [(), ("conv5_1",), ("conv1_2", "conv1_1"), ("conv1_1", "conv1_1")])
def test_taps_that_vgg16_does_not_have(taps):
    with pytest.raises(SettingsError, match="taps is"):
        VGG16Settings(taps=taps)


def test_as_many_weights_as_taps():
    with pytest.raises(SettingsError, match="There are 2 taps, but 4"):
        Perceptual(VGG16(VGG16Settings(taps=("conv1_1", "conv4_2"))))


def test_half_precision_images_are_reduced_too():
    """torch has no antialiased filter for bfloat16 on the CPU."""
    net = load_slim().bfloat16()
    assert net.features(pictures(1, 300, dtype=torch.float32).bfloat16(), 1)[0].shape[2:] == (256, 256)
