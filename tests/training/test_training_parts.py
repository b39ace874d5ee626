"""The parts of a training run: pictures, augmentation, losses, the networks that look, the warm start."""

import io
import math
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_run import Eye, pictures

from i2s.errors import ImageError
from i2s.generators import layers
from i2s.generators.stylegan2 import MappingNetwork as Mapping
from i2s.generators.stylegan2 import StyleGAN2Config
from training import losses
from training.augment import STRONGEST, AdaptiveAugment, colour, cutout, translate
from training.dataset import Batches, load_faces, to_range
from training.discriminators import Discriminator, Encoder, minibatch_std
from training.warm_start import before_activation, fit_mapping, set_linear, sliced_distance, widen


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- faces ------------------------------------------------------------------------------------------------------


def png(colour_, size=(8, 8), mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour_).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_faces_come_in_the_order_of_their_names_and_in_the_size_asked_for(tmp_path):
    files = {"b/2.png": png((0, 255, 0)), "a/9.PNG": png((255, 0, 0), (32, 32)), "c.png": png(128, mode="L")}
    faces = load_faces(zipped(tmp_path / "f.zip", files | {"notes.txt": b"no picture"}), 16)
    assert faces.shape == (3, 3, 16, 16) and faces.dtype == torch.uint8
    assert faces[:, :, 5, 5].tolist() == [[255, 0, 0], [0, 255, 0], [128, 128, 128]]


def test_pixels_are_where_they_were(tmp_path):
    picture = Image.new("RGB", (16, 16))
    picture.putpixel((3, 5), (10, 20, 30))  # column 3, row 5
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    face = load_faces(zipped(tmp_path / "f.zip", {"a.png": buffer.getvalue()}), 16)[0]
    assert face[:, 5, 3].tolist() == [10, 20, 30] and int(face.long().sum()) == 60


@pytest.mark.parametrize(
    "files, words",
    [
        ({"a.txt": b"text"}, "holds no"),
        ({"a.png": b""}, "a.png"),
        ({"a.png": png((1, 2, 3))[:40]}, "a.png"),
        ({"a.jpg": b"\xff\xd8 not a picture"}, "a.jpg"),
        ({"a.png": png((1, 2, 3), (8, 12))}, "8 x 12"),
    ],
)
def test_a_zip_with_a_wrong_picture_names_it(tmp_path, files, words):
    with pytest.raises(ImageError, match=words) as error:
        load_faces(zipped(tmp_path / "f.zip", files), 16)
    assert "f.zip" in str(error.value)


def test_a_damaged_zip_is_said_to_be_one(tmp_path):
    path = zipped(tmp_path / "f.zip", {"a.png": png((1, 2, 3), (64, 64))})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF  # inside the picture: the checksum no longer fits
    path.write_bytes(data)
    with pytest.raises(ImageError, match="a.png"):
        load_faces(path, 16)
    path.write_bytes(data[:-30])
    with pytest.raises(ImageError, match="not a zip"):
        load_faces(path, 16)
    whole = zipped(tmp_path / "f.zip", {"a.png": png((1, 2, 3))}).read_bytes()
    path.write_bytes(whole.replace(b"PK\x01\x02", b"PK\0\0"))  # its list of files
    with pytest.raises(ImageError, match="f.zip is a damaged zip"):
        load_faces(path, 16)


def test_too_few_faces_are_refused_before_hours_are_spent_on_them(tmp_path):
    path = zipped(tmp_path / "f.zip", {"a.png": png((1, 2, 3)), "b.png": png((1, 2, 3))})
    assert len(load_faces(path, 16)) == 2
    with pytest.raises(ImageError, match="f.zip holds 2 pictures, but at least 3 are needed"):
        load_faces(path, 16, least=3)


def test_batches_repeat_with_their_generator_and_go_on_from_its_state():
    faces = pictures(24)
    a, b = Batches(faces, 8, rng(3)), Batches(faces, 8, rng(3))
    first = next(a)
    assert torch.equal(first, next(b)) and not torch.equal(first, next(a))
    state = a.generator.get_state()
    expected = next(a)
    b.generator.set_state(state)
    assert torch.equal(next(b), expected)
    assert first.shape == (8, 3, 16, 16) and first.dtype == torch.float32 and first.abs().max() <= 1


def test_all_faces_are_served_mirrored_half_of_the_time():
    faces = pictures(5)
    batches = Batches(faces, 50, rng())
    served = torch.cat([next(batches) for _ in range(20)])  # 1000
    plain, mirrored = to_range(faces), to_range(faces.flip(3))
    is_plain = (served[:, None] == plain).flatten(2).all(2)  # [1000, 5]
    is_mirrored = (served[:, None] == mirrored).flatten(2).all(2)
    assert (is_plain | is_mirrored).any(1).all()
    assert 0.42 < is_mirrored.any(1).float().mean() < 0.58
    assert (is_plain | is_mirrored).sum(0).min() > 140


def test_the_ends_of_the_range():
    assert to_range(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


# ---- augmentation -----------------------------------------------------------------------------------------------


def test_at_p_0_nothing_is_changed_and_no_random_number_drawn():
    augment = AdaptiveAugment(rng())
    images = to_range(pictures(8))
    state = augment.rng.get_state()
    assert torch.equal(augment(images), images) and torch.equal(augment.rng.get_state(), state)


def test_at_p_1_every_image_is_changed_and_p_is_the_share_of_each_change():
    images = to_range(pictures(8))
    changed = (AdaptiveAugment(rng(), p=1.0)(images) != images).flatten(1).any(1)
    assert changed.all()
    many = torch.rand(4000, 3, 4, 4, generator=rng()) * 2 - 1
    augment = AdaptiveAugment(rng(), p=0.3)
    same = (augment(many) == many).flatten(1).all(1).float().mean()
    # at 4 px there is no room to translate; a cutout may miss no pixel, as 40 % of 4 px is more than one
    assert abs(same - 0.7**2) < 0.03


def test_gradients_flow_through_all_changes():
    images = to_range(pictures(4)).double().requires_grad_()
    u = torch.rand(4, 4, generator=rng(), dtype=torch.float64)
    small = images[:1, :, :8, :8].detach().requires_grad_()
    for change in (colour, translate, cutout):
        assert torch.autograd.gradcheck(lambda x, change=change: change(x, u[:1]), small)
    augment = AdaptiveAugment(rng(), p=1.0)
    (gradient,) = torch.autograd.grad(augment(images.float()).square().sum(), images)
    assert gradient.abs().flatten(1).sum(1).min() > 0


def test_p_follows_the_target():
    augment = AdaptiveAugment(rng(), images=1000)
    augment.update(0.9, 100)  # too sure: more
    assert augment.p == pytest.approx(0.1)
    augment.update(0.2, 40)
    assert augment.p == pytest.approx(0.06)
    augment.update(-1.0, 500)
    assert augment.p == 0
    augment.update(1.0, 5000)
    assert augment.p == STRONGEST < 1


def test_translate_moves_pixels_and_fills_with_black():
    x = torch.rand(3, 3, 16, 16, generator=rng())
    u = torch.tensor([[1.0, 0.5, 0, 0], [0.5, 0.0, 0, 0], [0.5, 0.5, 0, 0]])  # down ends, left ends, nothing
    y = translate(x, u)
    assert torch.equal(y[0, :, :14], x[0, :, 2:]) and (y[0, :, 14:] == -1).all()  # an eighth of 16 is 2
    assert torch.equal(y[1, :, :, 2:], x[1, :, :, :14]) and (y[1, :, :, :2] == -1).all()
    assert torch.equal(y[2], x[2])


def test_cutout_greys_out_a_square():
    x = torch.ones(2, 3, 20, 20)
    y = cutout(x, torch.tensor([[0.51, 0.51, 0, 0], [0.01, 0.01, 0, 0]]))
    assert y[0].eq(0).sum() == 3 * 8 * 8 and (y[0, :, 7:15, 7:15] == 0).all()  # 40 % of 20 px
    assert y[1].eq(0).sum() == 3 * 5 * 5 and (y[1, :, :5, :5] == 0).all()  # in the corner a part of it


def test_colour_changes_what_it_says():
    x = to_range(pictures(1)).double()
    middle = torch.full((1, 4), 0.5, dtype=torch.float64)
    assert torch.allclose(colour(x, middle), x)
    brighter, grey, flat = (middle.clone() for _ in range(3))
    brighter[0, 0], grey[0, 1], flat[0, 2] = 1.0, 0.0, 0.0
    assert torch.allclose(colour(x, brighter), x + 0.5)
    assert torch.allclose(colour(x, grey), x.mean(1, keepdim=True).expand_as(x))
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    assert torch.allclose(colour(x, flat), mean + (x - mean) / 2)


# ---- losses -----------------------------------------------------------------------------------------------------


@given(st.floats(-8, 8), st.floats(0.1, 5))
def test_the_generator_wants_high_scores_for_its_images_and_the_discriminator_low_ones(score, more):
    low, high = torch.tensor([score]), torch.tensor([score + more])
    assert losses.generator_loss(high) < losses.generator_loss(low)
    assert losses.discriminator_loss(low, high) > losses.discriminator_loss(low, low)
    assert losses.discriminator_loss(high, low) < losses.discriminator_loss(low, low)


def test_an_undecided_discriminator_costs_log_2_each():
    zero = torch.zeros(4)
    assert losses.generator_loss(zero).item() == pytest.approx(math.log(2))
    assert losses.discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))


def test_r1_is_the_mean_squared_gradient():
    direction = torch.randn(3, 4, 4, generator=rng())
    images = torch.randn(5, 3, 4, 4, generator=rng(1)).requires_grad_()
    linear = (images * direction).sum(dim=(1, 2, 3))
    assert losses.r1_penalty(images, linear).item() == pytest.approx(direction.square().sum().item(), rel=1e-5)
    square = images.square().sum(dim=(1, 2, 3))  # gradient 2x
    expected = 4 * images.square().sum(dim=(1, 2, 3)).mean()
    assert losses.r1_penalty(images, square).item() == pytest.approx(expected.item(), rel=1e-5)


def test_r1_has_a_gradient_of_its_own():
    net = Discriminator((8, 8))
    images = torch.rand(4, 3, 8, 8, generator=rng()).requires_grad_()
    penalty = losses.r1_penalty(images, net(images))
    gradients = torch.autograd.grad(penalty, [net.trunk.from_rgb.weight, net.out.weight])
    assert penalty > 0 and all(g.abs().sum() > 0 for g in gradients)


def test_equal_steps_in_w_that_change_the_image_equally_cost_nothing():
    """For images = w A with orthonormal rows of A, |J^T y| is |A y|: the penalty is its variance about the mean."""
    count, rows, dim, size = 4000, 2, 3, 16
    basis = torch.linalg.qr(torch.randn(3 * size * size, rows * dim, generator=rng()))[0].T  # orthonormal rows
    w_plus = torch.randn(count, rows, dim, generator=rng(1)).requires_grad_()

    def lengths_of(scale):
        images = (w_plus.flatten(1) @ basis * scale).view(count, 3, size, size)
        return losses.path_length_penalty(images, w_plus, torch.tensor(0.0), rng(2))

    penalty, mean = lengths_of(1.0)
    # |A y|^2 of normal y / size: `rows * dim` squared normals / size^2, averaged over the rows
    expected = dim / size**2
    assert penalty.item() == pytest.approx(expected, rel=0.1)
    assert mean.item() == pytest.approx(0.01 * math.sqrt(expected), rel=0.1)  # a hundredth of the way
    assert lengths_of(3.0)[0].item() == pytest.approx(9 * penalty.item(), rel=1e-3)


def test_reconstruction_of_the_same_picture_costs_nothing():
    eye, image = Eye(), to_range(pictures(4))
    target_features = eye(image)
    assert losses.reconstruction_loss(image, image, target_features, eye).item() == pytest.approx(0, abs=1e-6)
    shifted = losses.reconstruction_loss(image + 0.1, image, eye(image + 0.1), eye).item()
    assert shifted == pytest.approx(0.4, rel=1e-4)  # 0.1 at each of the four levels


# ---- networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [(8,), (8, 6), (12, 10, 8, 6)])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_one_score_and_one_code_for_each_image_of_any_size(channels, dtype):
    size = 4 * 2 ** (len(channels) - 1)
    images = torch.rand(6, 3, size, size, generator=rng())
    score, code = Discriminator(channels)(images, dtype), Encoder(channels, 16)(images, dtype)
    assert score.shape == (6,) and code.shape == (6, 16)
    assert score.dtype == code.dtype == torch.float32


def test_the_discriminator_sees_its_images_together_and_the_encoder_one_by_one():
    torch.manual_seed(0)
    judge, encoder = Discriminator((8, 8)), Encoder((8, 8), 16)
    images = torch.rand(8, 3, 8, 8, generator=rng())
    alone = torch.cat([encoder(x[None]) for x in images])
    assert torch.allclose(alone, encoder(images), atol=1e-5)
    same = images[:1].expand(8, -1, -1, -1)
    assert (judge(images)[0] - judge(same)[0]).abs() > 1e-4


def test_activations_keep_their_scale_through_the_trunk():
    torch.manual_seed(0)
    x = Discriminator((32,) * 5).trunk(torch.randn(16, 3, 64, 64, generator=rng()))
    assert x.shape == (16, 32, 4, 4) and 0.2 < x.square().mean() < 5


def test_minibatch_std_tells_sameness_from_variety():
    x = torch.randn(8, 5, 4, 4, generator=rng())
    y = minibatch_std(x)
    assert y.shape == (8, 6, 4, 4) and torch.equal(y[:, :5], x)
    # images k and k + 2, k + 4, k + 6 are a group of four
    expected = torch.stack([x[k::2].std(dim=0, unbiased=False).mean() for k in (0, 1)] * 4)
    assert torch.allclose(y[:, 5], expected.view(8, 1, 1).expand(8, 4, 4), atol=1e-4)
    same = minibatch_std(x[:1].expand(8, -1, -1, -1))
    assert same[:, 5].abs().max() < 1e-3
    assert minibatch_std(x[:3]).shape == (3, 6, 4, 4)  # a batch that four does not divide


# ---- warm start -------------------------------------------------------------------------------------------------


def mapping(size=16):
    torch.manual_seed(0)
    return Mapping(StyleGAN2Config(16, size, size, channels=(8, 8, 8)))


def test_before_activation_inverts_the_activation():
    x = torch.randn(100, 7, generator=rng())
    assert torch.allclose(before_activation(layers.leaky_relu(x)), x, atol=1e-6)
    w = torch.randn(100, 7, generator=rng(1))
    assert torch.allclose(layers.leaky_relu(before_activation(w)), w, atol=1e-6)


def test_set_linear_is_the_linear_map_it_says():
    net, root = mapping(), torch.randn(16, 16, generator=rng(2)) / 4
    mean = torch.randn(16, generator=rng(3))
    set_linear(net, mean, root, rng(4), shift=8.0)  # so large a shift that nothing is bent
    z = layers.normalize_2nd_moment(torch.randn(500, 16, generator=rng(5)))
    made = before_activation(net.to_w(z)) - mean
    correlation = torch.nn.functional.cosine_similarity(made - made.mean(0), z @ root, dim=1)
    assert correlation.mean() > 0.999
    assert torch.allclose(made.mean(0), (z @ root).mean(0), atol=0.02)


def test_fit_mapping_gives_the_codes_mean_and_spread_in_every_direction():
    """In every one: a loss of distances between points matched 3 directions of 256 and left the others flat."""
    size = 16
    turn = torch.linalg.qr(torch.randn(size, size, generator=rng()))[0]
    spread = torch.logspace(0, -1.5, size)  # the widest direction is 30 times the narrowest
    plane = torch.randn(3000, size, generator=rng(1)) * spread @ turn + torch.linspace(-1, 1, size)
    net = mapping(size)
    fit_mapping(net, layers.leaky_relu(plane), 30, rng(2), report=lambda text: None)
    with torch.no_grad():
        made = before_activation(net.to_w(torch.randn(20_000, size, generator=rng(3))))
    directions = torch.cat([turn.T, torch.nn.functional.normalize(torch.randn(size, 50, generator=rng(4)), dim=0)], 1)
    ours, theirs = made @ directions, plane @ directions
    assert ((ours.mean(0) - theirs.mean(0)).abs() / theirs.std(0)).max() < 0.2
    ratio = ours.std(0) / theirs.std(0)
    assert 0.75 < ratio.min() and ratio.max() < 1.3


def test_fit_mapping_repeats_whatever_the_global_random_numbers_are():
    codes = torch.randn(600, 16, generator=rng())
    nets = [mapping(), mapping()]
    for k, net in enumerate(nets):
        torch.manual_seed(k)
        fit_mapping(net, codes, 3, rng(2), report=lambda text: None)
    assert all(torch.equal(p, q) for p, q in zip(*(net.parameters() for net in nets)))


def test_sliced_distance_is_zero_for_the_same_sample_and_the_shift_squared_for_a_shifted_one():
    a = torch.randn(400, 6, generator=rng())
    axes = torch.eye(6)
    assert sliced_distance(a, a[torch.randperm(400, generator=rng(1))], axes) == 0
    assert sliced_distance(a, a + 0.5, axes).item() == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.2])
def test_widened_codes_are_as_many_times_as_far_from_the_same_mean(spread):
    torch.manual_seed(3)
    mapping = Mapping(StyleGAN2Config(16, 16, 16, channels=(8, 8, 8)))
    z = torch.randn(8000, 16)
    with torch.no_grad():
        before = before_activation(mapping.to_w(z))
        widen(mapping, spread)
        after = before_activation(mapping.to_w(z))
    torch.testing.assert_close(after - after.mean(0), spread * (before - before.mean(0)), rtol=1e-3, atol=1e-4)
    assert (after.mean(0) - before.mean(0)).norm() < 0.03 * before.std(0).norm() + 1e-5
