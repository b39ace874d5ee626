"""Lesson 1: what its helpers show is what the network computes; its checks pass solutions and name mistakes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import small_generator

from i2s import crossover
from i2s.course import enlarge, feature_maps, lesson01, stages, trace_layers
from i2s.course.checks import CheckFailed
from i2s.course.lesson01 import aspects, layer_effects, layer_groups
from i2s.generators import layers, load_generator, stylegan1, stylegan2


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# --- helpers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def generator():
    generator = small_generator()
    for layer in (layer for block in generator.synthesis.blocks for layer in block.layers()):
        layer.noise_strength.data.zero_()  # as in the shipped one
    return generator


@pytest.fixture
def w_plus(generator):
    return generator.mapping(generator.sample_z(2, seed=0))


def test_stages_end_with_the_image(generator, w_plus):
    found = stages(generator, w_plus)
    assert [tuple(s.shape) for s in found] == [(2, 3, 4, 4), (2, 3, 8, 8), (2, 3, 16, 16)]
    torch.testing.assert_close(found[-1], generator.synthesis(w_plus))


def test_feature_maps_have_the_size_of_each_block(generator, w_plus):
    found = feature_maps(generator, w_plus)
    assert [tuple(m.shape) for m in found] == [(2, 12, 4, 4), (2, 10, 8, 8), (2, 8, 16, 16)]
    assert enlarge(found[0][0], 16).shape == (12, 16, 16)


def test_feature_maps_of_stylegan1_are_the_output_of_adain():
    """Mean and spread of each map are shift and scale of the style."""
    student = load_generator("faces-64-adain")
    w_plus = student.mapping(student.sample_z(2, seed=0))
    maps, layer = feature_maps(student, w_plus)[2], student.synthesis.blocks[2].layer1
    scale, shift = layer.affine(w_plus[:, 5]).chunk(2, dim=1)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), shift, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(maps.std(dim=(2, 3), unbiased=False), (1 + scale).abs(), rtol=1e-3, atol=1e-3)


def test_trace_layers_reproduces_the_network(generator, w_plus):
    at_work = trace_layers(generator, w_plus)
    assert len(at_work) == generator.num_ws - 1
    layer, x, style = at_work[0]  # the only one of 4 px: its output is the first feature map
    y = stylegan2.modulated_conv(x, layer.weight, style, layers.fir_kernel())
    y = layers.leaky_relu(y + layer.bias.view(-1, 1, 1))
    torch.testing.assert_close(y, feature_maps(generator, w_plus)[0])


def test_hooks_are_removed_also_after_an_error(generator, w_plus):
    for look in (stages, feature_maps, trace_layers):
        look(generator, w_plus)
        with pytest.raises(Exception, match="latent code"):
            look(generator, w_plus[:, :2])
    assert not any(module._forward_hooks for module in generator.modules())


def test_around_style_shows_what_adain_gets_and_gives():
    student = small_generator("stylegan1")
    layer = student.synthesis.blocks[1].layer1
    w_plus = student.mapping(student.sample_z(2, seed=0))
    before, after = lesson01.around_style(student, w_plus, layer)
    scale, shift = layer.affine(w_plus[:, 3]).chunk(2, dim=1)
    torch.testing.assert_close(stylegan1.adain(before, scale, shift), after)
    assert not torch.allclose(before, after, atol=0.1)


# --- Z and W ----------------------------------------------------------------------------------------------------------


def test_toy_faces_are_those_of_the_figure():
    toy = lesson01.ToyFaces()
    z = torch.randn(20_000, 2, generator=rng(), dtype=torch.float64)
    w = toy.to_w(z)
    hair, beard = w.unbind(dim=1)
    assert (hair.min() >= 0) and (hair.max() <= 1) and (beard <= toy.longest_beard(hair)).all()
    density, _ = torch.histogram(hair, 10, range=(0.0, 1.0))
    assert density[0] > 3 * density[-1], "as many faces as their hair leaves lengths of beard"
    inner = (z.abs() < 2).all(dim=1)
    torch.testing.assert_close(toy.to_z(w)[inner], z[inner], rtol=0, atol=0.02)


def test_straight_in_z_changes_the_beard_and_straight_in_w_does_not():
    toy = lesson01.ToyFaces()
    ends = toy.to_z(torch.tensor([[0.12, 0.2], [0.9, 0.2]], dtype=torch.float64))
    walk = toy.to_w(torch.lerp(*ends, torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]))
    assert walk[0, 1] == pytest.approx(0.2, abs=0.01) and walk[-1, 1] == pytest.approx(0.2, abs=0.01)
    assert walk[:, 1].max() > 0.4, "the alternative text says: twice its height"
    assert lesson01.plot_toy_walks().alt


def test_slerp_walks_on_the_sphere_at_even_speed():
    z1, z2 = torch.randn(2, 3, 16, generator=rng())
    walk = torch.stack([lesson01.slerp(z1, 5 * z2, t) for t in torch.linspace(0, 1, 5)])
    torch.testing.assert_close(walk.norm(dim=2), torch.full((5, 3), 4.0))
    torch.testing.assert_close(walk[0], 4 * F.normalize(z1, dim=1))
    torch.testing.assert_close(walk[-1], 4 * F.normalize(z2, dim=1))
    steps = (walk[1:] - walk[:-1]).norm(dim=2)
    torch.testing.assert_close(steps, steps[:1].expand(4, 3))


def test_linear_share_is_1_for_a_linear_mapping_and_small_for_a_bent_one():
    z = torch.randn(4000, 8, generator=rng())
    matrix = torch.randn(8, 8, generator=rng(1))

    def linear(z):
        return F.leaky_relu(F.normalize(z, dim=1) @ matrix, 0.2)[:, None]

    assert lesson01.linear_share(linear, z) == pytest.approx(1, abs=1e-6)
    assert lesson01.linear_share(linear, z, undo_relu=False) < 0.99
    assert lesson01.linear_share(lambda z: (z @ matrix).square()[:, None], z) < 0.05


def test_untrained_mapping_has_the_mean_and_covariance_of_w():
    generator = small_generator()
    before = [p.clone() for p in generator.parameters()]
    control = lesson01.UntrainedMapping(generator, seed=3, count=4000)
    z = generator.sample_z(4000, seed=3)
    w, random = generator.mapping(z)[:, 0], control(z)[:, 0]
    assert control(z).shape == generator.mapping(z).shape
    torch.testing.assert_close(random.mean(0), w.mean(0), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(random.T.cov(), w.T.cov(), rtol=5e-2, atol=5e-3)
    assert not torch.allclose(random, w, atol=0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, generator.parameters())), "the generator is as it was"
    again = lesson01.UntrainedMapping(generator, seed=3, count=4000)
    assert torch.equal(again(z[:5]), control(z[:5]))


class Plain:
    """W is z times a matrix, the image is the code, the features are the image."""

    z_dim, device = 16, torch.device("cpu")

    def sample_z(self, count, seed):
        return torch.randn(count, 16, generator=rng(seed))

    def mapping(self, z):
        return F.normalize(z, dim=1)[:, None] * 4

    def synthesis(self, w_plus):
        return w_plus.reshape(-1, 1, 4, 4)

    def features(self, images):
        return [images, 2 * images]


def test_path_lengths_of_a_mapping_that_does_not_bend():
    """Squared speed, averaged over 16 numbers and summed over two taps: that of the chord in W, of the arc in Z."""
    plain = Plain()
    in_w, in_z = (lesson01.path_lengths(plain, plain, space, count=200, seed=1) for space in "wz")
    z1, z2 = (F.normalize(z, dim=1) for z in plain.sample_z(400, seed=1).chunk(2))
    chord, arc = (z1 - z2).norm(dim=1), (z1 * z2).sum(dim=1).acos()
    torch.testing.assert_close(in_w, 5 * chord**2, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(in_z, 5 * arc**2, rtol=1e-2, atol=1e-2)
    assert in_z.mean() / in_w.mean() == pytest.approx(math.pi**2 / 8, rel=0.05)  # the right angle of two random z


def test_layer_groups_cover_all_rows():
    assert layer_groups(128) == {"coarse": range(4), "middle": range(4, 8), "fine": range(8, 12)}
    for resolution in (64, 128, 1024):
        rows = [row for group in layer_groups(resolution).values() for row in group]
        assert rows == list(range(2 * int(math.log2(resolution)) - 2))


@pytest.mark.parametrize("kind", ["skip", "stylegan1"])
def test_rows_of_a_group_scale_the_maps_of_its_sizes(kind):
    """A style scales the input of its layer in StyleGAN2, the output in StyleGAN1: the same maps."""
    generator = small_generator(kind)
    w_plus = generator.mapping(generator.sample_z(1, seed=0)).requires_grad_()
    sizes = {}
    hooked = [layer for block in generator.synthesis.blocks for layer in block.layers()]
    hooked += [generator.synthesis.blocks[-1].to_rgb] if kind == "skip" else []
    affines = iter(range(len(hooked)))

    def note(module, inputs, output):
        sizes[next(affines)] = (inputs[0] if kind == "skip" else output).shape[-1]

    with lesson01.forward_hooks(hooked, note):
        generator.synthesis(w_plus)
    assert sizes == {row: 4 * 2 ** (row // 2) for row in range(generator.num_ws)}


def test_aspects_see_what_they_measure():
    x = torch.rand(1, 3, 64, 64, generator=rng()) * 0.1
    left = x.clone()
    left[..., :32] += 1

    def same(a, b, name):
        return torch.allclose(aspects(a)[name], aspects(b)[name], atol=1e-4)

    assert same(left, 0.5 * left + 0.2, "shape")  # not brightness, not contrast
    assert not same(left, left.flip(3), "shape")
    red = x + torch.tensor([0.3, 0, 0]).view(1, 3, 1, 1)
    assert not same(x, red, "colour") and same(x, red, "detail") and same(x, red, "features")
    grain = 0.1 * (-1) ** torch.arange(64).float()  # stripes of 1 px: no grid sees them
    assert same(x, x + grain, "colour") and same(x, x + grain, "shape") and not same(x, x + grain, "detail")
    assert aspects(x)["detail"].shape == (1, 1)  # its strength, not its place
    coarse = F.interpolate(torch.rand(1, 3, 8, 8, generator=rng(1)), scale_factor=8)
    assert aspects(coarse)["features"].abs().max() < 1e-6 < aspects(x)["features"].abs().max()


class Painter:
    """Coarse rows choose where, middle rows what is drawn there, fine rows the colour of the whole."""

    resolution, num_ws, w_dim, z_dim = 64, 10, 4, 4

    def sample_z(self, count, seed):
        return torch.randn(count, 4, generator=rng(seed))

    def mapping(self, z, psi=1.0):
        return z[:, None].repeat(1, 10, 1)

    def synthesis(self, w_plus):
        where, what, colour = w_plus[:, 0], w_plus[:, 5], w_plus[:, 8]
        line = torch.linspace(-1, 1, 64)
        image = torch.tanh(where[:, :1, None, None] * line + where[:, 1:2, None, None] * line[:, None])
        fine = torch.sin(line * math.pi * 8)
        image = 0.3 * image + 0.1 * what[:, :1, None, None].tanh() * fine * fine[:, None]
        return image + 0.3 * colour[:, :3, None, None].tanh()


def test_layer_effects_are_shares_of_the_change():
    found = layer_effects(Painter(), 64)
    assert found["coarse"]["shape"] > 0.9 and found["coarse"]["colour"] < 0.1
    assert found["middle"]["features"] > 0.5 > found["coarse"]["features"] and found["middle"]["colour"] < 0.1
    assert found["fine"]["colour"] > 0.9 and found["fine"]["shape"] < 0.01
    assert all(0 <= share <= 1.1 for shares in found.values() for share in shares.values())


# --- checks -----------------------------------------------------------------------------------------------------------


def mix_styles(a, b, rows):
    mixed = a.clone()
    for row in rows:
        mixed[:, row] = b[:, row]
    return mixed


def colour_changes(generator, a, b, rows=lambda k: [k], of=lambda image: image.mean(dim=(2, 3)), length=torch.norm):
    before = of(generator.synthesis(a))
    mixed = [mix_styles(a, b, rows(k)) for k in range(generator.num_ws)]
    return torch.stack([length(of(generator.synthesis(code)) - before) for code in mixed])


def adain(x, scale, shift):
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x / (x.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
    return x * wide(scale) + wide(shift)


def wide(v):
    return v[:, :, None, None]


def modulated_conv(x, weight, style):
    """By the formula: weights of its own for each image."""
    return torch.cat(
        [F.conv2d(x[n : n + 1], unit(weight * style[n].view(1, -1, 1, 1)), padding=1) for n in range(len(x))]
    )


def unit(weight, dim=(1, 2, 3), eps=1e-8):
    return weight * (weight.pow(2).sum(dim, keepdim=True) + eps).rsqrt()


def mean(x, dim=(2, 3)):
    return x.mean(dim, keepdim=True)


def in_place_conv(x, weight, style):
    weight *= style[:1, :, None, None].mean()
    return modulated_conv(x, weight, style)


def in_place_mix(a, b, rows):
    a[:, list(rows)] = b[:, list(rows)]
    return a


def grouped_conv(x, weight, style):
    """As the authors' code does: all images as groups of one convolution."""
    n, c, h, w = x.shape
    weights = weight[None] * style[:, None, :, None, None]
    weights = weights / (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    return F.conv2d(x.reshape(1, n * c, h, w), weights.flatten(0, 1), padding=1, groups=n).view(n, -1, h, w)


def scaled_maps_conv(x, weight, style):
    """As our generator does: the style scales the maps, the length divides the output."""
    length = torch.einsum("oikl,ni->no", weight**2, style**2).add(1e-8).sqrt()
    return F.conv2d(x * wide(style), weight, padding="same") / wide(length)


def rows_by_hand(generator, a, b):
    found = []
    for k in range(a.shape[1]):
        code = a.clone()
        code[0, k] = b[0, k]
        move = generator.synthesis(code).mean((0, 2, 3)) - generator.synthesis(a).mean((0, 2, 3))
        found.append(float((move**2).sum()) ** 0.5)
    return found


def rows_in_a_batch(generator, a, b):
    rows = torch.eye(generator.num_ws, dtype=torch.bool)[:, :, None]
    colours = generator.synthesis(torch.where(rows, b, a)).mean(dim=(-1, -2))
    return torch.linalg.vector_norm(colours - generator.synthesis(a).mean(dim=(-1, -2)), dim=1)


def no_gradients(generator, a, b):
    with torch.no_grad():
        return colour_changes(generator, a, b)


RIGHT = {
    "scaled_z": [0, 0.0, np.float32(0.2), torch.tensor(0.0), [0.0], 1e-3],
    "mix_styles": [
        mix_styles,
        lambda a, b, rows: crossover(a, b, layers=rows),
        lambda a, b, rows: torch.stack([(b if k in rows else a)[:, k] for k in range(a.shape[1])], dim=1),
        lambda a, b, rows: a + (b - a) * torch.tensor([[[float(k in rows)] for k in range(a.shape[1])]]),
        lambda a, b, rows: a.index_copy(1, torch.tensor(list(rows)), b[:, list(rows)]),
        lambda a, b, rows: mix_styles(a.double(), b.double(), rows).numpy(),
    ],
    "colour_changes": [
        colour_changes,
        rows_by_hand,
        rows_in_a_batch,
        no_gradients,
        lambda g, a, b: colour_changes(g, a, b).double().numpy(),
        lambda g, a, b: colour_changes(g, a, b, of=lambda image: image.flatten(2).mean(2)),
    ],
    "truncate": [
        lambda w, m, p: m + p * (w - m),
        lambda w, m, p: p * w + (1 - p) * m,
        lambda w, m, p: torch.lerp(m.expand_as(w), w, p),
        lambda w, w_mean, psi: w - (1 - psi) * (w - w_mean[None, None]),
        lambda w, m, p: torch.stack([torch.stack([m + p * (row - m) for row in code]) for code in w]),
        lambda w, m, p: (m + p * (w - m)).double().numpy(),
    ],
    "truncation_words": [
        "Near the mean the training has seen many codes, so faces are good; the price: all faces look alike.",
        "Codes close to w-bar were common, so the network draws them well. In exchange there is less variation.",
        "The network has practised most on typical faces. We pay for it with people who are less varied.",
        "Averaging towards the centre removes what the network never learned, but all of them end up identical.",
        "Rare codes are drawn badly because training met few of them. With a smaller psi the faces become similar.",
        "Codes far from the mean were seen rarely, so they look bad; psi 0.5 avoids them, but all become similar.",
        "There is no more variety: all of them look alike. But they are near the mean, which training has seen often.",
        "At psi 1 a code may lie far from the mean, where training was sparse. At 0.5 it is safer, but less diverse.",
    ],
    "adain": [
        adain,
        lambda x, s, b: F.instance_norm(x, eps=1e-8) * wide(s) + wide(b),
        lambda x, s, b: (x - mean(x)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-8).sqrt() * wide(s) + wide(b),
        lambda x, s, b: torch.stack([adain(x[n : n + 1], s[n : n + 1], b[n : n + 1])[0] for n in range(len(x))]),
        lambda x, s, b: F.group_norm(x, x.shape[1], eps=1e-8) * s.view(*s.shape, 1, 1) + b.view(*b.shape, 1, 1),
        lambda x, s, b: adain(x.double(), s.double(), b.double()).numpy(),
    ],
    "modulated_conv": [
        modulated_conv,
        grouped_conv,
        scaled_maps_conv,
        lambda x, w, s: modulated_conv(x, 7 * w, s),
        lambda x, w, s: torch.stack([F.conv2d(i, unit(w * t[:, None, None]), padding=1) for i, t in zip(x, s)]),
        lambda x, w, s: stylegan2.modulated_conv(x, w, s, layers.fir_kernel()),
        lambda x, w, s: modulated_conv(x.double(), w.double(), s.double()),
    ],
    "scaled_style": ["B", "b", " B. ", ("B",), "B: it cancels", "(B)"],
}  # fmt: skip


WRONG = {
    "scaled_z": [
        (50, "would differ"),
        (500, "which box"),
        (10.0, "would differ"),
        (np.float64(127.5), "would differ"),
        (-1, "negative"),
        ("same", "number"),
        (float("nan"), "number"),
        ([0, 1], "one is needed"),
        (True, "number"),
    ],
    "mix_styles": [
        (lambda a, b, rows: mix_styles(torch.zeros_like(a), b, rows), "other rows are 0"),
        (lambda a, b, rows: mix_styles(a, b[:1].repeat(len(b), 1, 1), rows), "first one of b"),
        (lambda a, b, rows: None, "no value"),
        (lambda a, b, rows: a, "no trace"),
        (lambda a, b, rows: b, "wrong|not a with"),
        (lambda a, b, rows: mix_styles(b, a, rows), "wrong way round"),
        (in_place_mix, "`a`.*changed in place"),
        (lambda a, b, rows: crossover(a, b, layers=range(max(rows) + 1)), "before"),
        (lambda a, b, rows: crossover(a, b, split=min(rows)), "after or between"),
        (lambda a, b, rows: crossover(a, b, layers=list(rows)[:1]), "only the first"),
        (lambda a, b, rows: [crossover(a, b, layers=[k]) for k in rows][-1], "only the last"),
        (lambda a, b, rows: b[:, list(rows)], "rows of b alone"),
        (lambda a, b, rows: crossover(a.mT, b.mT, layers=rows).mT, "within each row"),
        (lambda a, b, rows: mix_styles(a, 0.5 * a + 0.5 * b, rows), "means"),
        (lambda a, b, rows: mix_styles(a, a + b, rows), "added"),
        (lambda a, b, rows: mix_styles(a, b, rows)[0], "shape"),
        (lambda a, b, rows: mix_styles(a, b, [0, 1, 2, 3]), "not a with|came along"),
        (lambda a, b, rows: torch.cat([a, b], dim=1), "shape"),
        (lambda a, b, rows: mix_styles(a, b[..., :1].expand_as(b), rows), "not a with"),
    ],
    "colour_changes": [
        (lambda g, a, b: torch.stack([(a - b)[0, k].norm() for k in range(g.num_ws)]), "codes are apart"),
        (lambda g, a, b: None, "no value"),
        (lambda g, a, b: colour_changes(g, a, b).sum(), "shape"),
        (lambda g, a, b: colour_changes(g, a, b, lambda k: range(k, 4)), "from k on"),
        (lambda g, a, b: colour_changes(g, a, b, lambda k: range(k + 1)), "up to k"),
        (lambda g, a, b: colour_changes(g, a, b, lambda k: [i for i in range(4) if i != k]), "all rows but k"),
        (lambda g, a, b: colour_changes(g, b, a), "wrong way round"),
        (lambda g, a, b: colour_changes(g, a, b, of=lambda x: x), "average each image"),
        (lambda g, a, b: colour_changes(g, a, b, of=lambda x: x, length=lambda d: d.abs().mean()), "average each"),
        (lambda g, a, b: colour_changes(g, a, b, of=lambda x: x, length=lambda d: d.pow(2).mean()), "average each"),
        (lambda g, a, b: colour_changes(g, a, b, of=lambda x: x.mean((1, 2, 3))), "grey"),
        (lambda g, a, b: colour_changes(g, a, b, length=lambda d: d.square().sum()), "squares"),
        (lambda g, a, b: colour_changes(g, a, b, length=lambda d: d.abs().mean()), "mean of three"),
        (lambda g, a, b: colour_changes(g, a, b, length=lambda d: d.abs().sum()), "added up"),
        (lambda g, a, b: colour_changes(g, a, b, length=lambda d: d.abs().max()), "largest"),
        (lambda g, a, b: colour_changes(g, a, b, length=lambda d: d.sum()), "signs"),
        (lambda g, a, b: colour_changes(g, a, b, length=lambda d: d.pow(2).mean().sqrt()), "mean of squares"),
        (lambda g, a, b: colour_changes(g, a, b)[:3], "shape"),
        (lambda g, a, b: colour_changes(g, a, b, lambda k: [k]).flip(0), "not the distances"),
        (lambda g, a, b: torch.stack([colour_changes(g, a, b)[k] for k in range(12)]), "IndexError"),
    ],
    "truncate": [
        (lambda w, m, p: m + (w - m) / (p + 1e-12), "not w_mean|dividing"),
        (lambda w, m, p: None, "no value"),
        (lambda w, m, p: w, "unchanged"),
        (lambda w, m, p: p * w, "towards 0"),
        (lambda w, m, p: m + p * w - m, "towards 0"),
        (lambda w, m, p: p * (w - m), "not added again"),
        (lambda w, m, p: (1 - p) * w + p * m, "wrong way"),
        (lambda w, m, p: m + p * w, "taken off"),
        (lambda w, m, p: m - p * (w - m), "sign"),
        (lambda w, m, p: w + p * (w - m), "starts from w"),
        (lambda w, m, p: m + p * p * (w - m), "twice"),
        (lambda w, m, p: torch.lerp(w.mean((0, 1)).expand_as(w), w, p), "mean of their own"),
        (lambda w, m, p: m.mean() + p * (w - m.mean()), "averaged"),
        (lambda w, m, p: m + min(1, p) * (w - m), "limited"),
        (lambda w, m, p: (m + p * (w - m))[0], "shape"),
        (lambda w, m, p: (w - m).mul_(p).add_(m) + 0.01, "not w_mean"),
        (lambda w, m, p: w.sub_(m).mul_(p).add_(m), "changed in place"),
        (lambda w, m, p: torch.cat([torch.lerp(m.expand_as(w), w, p)[:, :1], w[:, 1:]], 1), "first row"),
    ],
    "truncation_words": [
        ("It looks better because of truncation, and that is all that I can say about it here", "say why"),
        ("Because the training has seen many of the codes near to the middle of W, and so they work", "what is lost"),
        ("With psi 0.5 the code is further from the mean, so the images have more variety; the price is quality.",
         "nearer"),
        ("Faces gain more variety, as they come from the middle of the training set and not from the border of it.",
         "less variety"),
        ("The mean of the pixels is lower, so noise is lost and it costs more time to compute the image.", "time"),
        ("better faces", "more words"),
        ("Le visage moyen est plus souvent vu pendant cet entrainement, donc la qualite augmente partout", "English"),
        ("Why does an image generated with psi 0.5 often look better than one with psi 1, and what is the price?",
         "repeats"),
        (42, "sentences"),
    ],
    "adain": [
        (lambda x, s, b: F.instance_norm(x) * wide(s) + wide(b), "1e-8"),
        (lambda x, s, b: (x - mean(x)) / (x - mean(x)).norm(dim=(2, 3), keepdim=True) * wide(s) + wide(b), "sum"),
        (lambda x, s, b: None, "no value"),
        (lambda x, s, b: x.mean(dim=(2, 3)), "shape"),
        (lambda x, s, b: x * wide(s) + wide(b), "normalise"),
        (lambda x, s, b: adain(x, s, torch.zeros_like(b)), "shift is missing"),
        (lambda x, s, b: adain(x, torch.ones_like(s), b), "scale is missing"),
        (lambda x, s, b: adain(x, b, s), "wrong way round"),
        (lambda x, s, b: (adain(x, torch.ones_like(s), b)) * wide(s), "shift is scaled"),
        (lambda x, s, b: adain(x, 1 + s, b), "1 was added"),
        (lambda x, s, b: adain(x, s.abs(), b), "absolute"),
        (lambda x, s, b: adain(-x, s, b), "sign"),
        (lambda x, s, b: adain(x.mT, s, b), "changed places"),
        (lambda x, s, b: adain(F.relu(x), s, b), "ReLU"),
        (lambda x, s, b: adain(F.leaky_relu(x, 0.2), s, b), "ReLU"),
        (lambda x, s, b: adain(x[:1].repeat(len(x), 1, 1, 1), s, b), "first one"),
        (lambda x, s, b: (x - mean(x, 3)) / (x - mean(x, 3)).square().mean(3, keepdim=True).sqrt() * wide(s) + wide(b),
         "lines"),
        (lambda x, s, b: (x - mean(x, 2)) / (x - mean(x, 2)).square().mean(2, keepdim=True).sqrt() * wide(s) + wide(b),
         "columns"),
        (lambda x, s, b: F.batch_norm(x, None, None, training=True, eps=1e-8) * wide(s) + wide(b), "batch"),
        (lambda x, s, b: F.layer_norm(x, x.shape[1:], eps=1e-8) * wide(s) + wide(b), "layer norm"),
        (lambda x, s, b: (x - x.mean()) / x.std(correction=0) * wide(s) + wide(b), "everything"),
        (lambda x, s, b: (x - mean(x)) / x.std((2, 3), keepdim=True) * wide(s) + wide(b), "one less"),
        (lambda x, s, b: (x - mean(x)) / x.var((2, 3), correction=0, keepdim=True) * wide(s) + wide(b), "root"),
        (lambda x, s, b: x - mean(x) / x.std((2, 3), correction=0, keepdim=True), "not AdaIN"),
        (lambda x, s, b: (x - mean(x)) * wide(s) + wide(b), "own standard deviation"),
        (lambda x, s, b: (x - mean(x)) / x.std((2, 3), correction=0, keepdim=True) * wide(s) + wide(b), "flat map"),
        (lambda x, s, b: (x - x.mean((2, 3))) * wide(s) + wide(b), "stopped with RuntimeError"),
        (lambda x, s, b: adain(x, s, b).add_(torch.randn_like(x)), "not AdaIN"),
        (lambda x, s, b: x.sub_(mean(x)).div_(x.square().mean((2, 3), keepdim=True).sqrt()) * wide(s) + wide(b),
         "changed in place"),
    ],
    "modulated_conv": [
        (lambda x, w, s: torch.cat([F.conv2d(i[None], unit(w + t.view(1, -1, 1, 1)), padding=1) for i, t in zip(x, s)]),
         "added"),
        (lambda x, w, s: None, "no value"),
        (lambda x, w, s: F.conv2d(x, w, padding=1), "plain convolution"),
        (lambda x, w, s: F.conv2d(x * wide(s), w, padding=1), "demodulation is missing"),
        (lambda x, w, s: F.conv2d(x, unit(w), padding=1), "style does nothing"),
        (lambda x, w, s: F.conv2d(x * wide(s), unit(w), padding=1), "before the style"),
        (lambda x, w, s: modulated_conv(x, w, 1 + s), "1 was added"),
        (lambda x, w, s: modulated_conv(x, w, s.abs()), "absolute"),
        (lambda x, w, s: modulated_conv(x, w, s[:1].repeat(len(s), 1)), "style of the first"),
        (lambda x, w, s: modulated_conv(x, w, s.mean(0, True).repeat(len(s), 1)), "mean style"),
        (lambda x, w, s: modulated_conv(x, w.flip(-1, -2), s), "turned"),
        (lambda x, w, s: F.relu(modulated_conv(x, w, s)), "not the convolution"),
        (lambda x, w, s: F.leaky_relu(modulated_conv(x, w, s), 0.2), "leaky"),
        (lambda x, w, s: modulated_conv(x, w, s)[:, :, 1:-1, 1:-1], "shape"),
        (lambda x, w, s: F.instance_norm(F.conv2d(x * wide(s), w, padding=1)), "not the convolution"),
        (lambda x, w, s: torch.cat([F.conv2d(i[None], unit(w * t.view(-1, 1, 1, 1)), padding=1) for i, t in zip(x, s)]),
         "input maps"),
        (lambda x, w, s: torch.cat([F.conv2d(i[None], unit(w * t.view(1, -1, 1, 1), (0, 2, 3)), padding=1)
                                    for i, t in zip(x, s)]), "each input map"),
        (lambda x, w, s: torch.cat([F.conv2d(i[None], unit(w * t.view(1, -1, 1, 1), (2, 3)), padding=1)
                                    for i, t in zip(x, s)]), "window"),
        (lambda x, w, s: torch.cat([F.conv2d(i[None], unit(w * t.view(1, -1, 1, 1), (0, 1, 2, 3)), padding=1)
                                    for i, t in zip(x, s)]), "all weights"),
        (lambda x, w, s: modulated_conv(x, w, s) * 3, "mean of squares|not the convolution"),
        (lambda x, w, s: F.conv2d(x * wide(s), w, padding=1) / wide(s.square() @ w.square().sum((2, 3)).T), "root"),
        (lambda x, w, s: F.conv2d(x * wide(s), w, padding=1) * wide((s.square() @ w.square().sum((2, 3)).T).sqrt()),
         "multiplied"),
        (lambda x, w, s: F.conv2d(x * wide(s), w, padding=1) / wide((s.square() @ w.square().sum((2, 3)).T).sqrt()),
         "NaN"),
        (in_place_conv, "`weight`.*changed in place"),
        (lambda x, w, s: F.conv2d(x, w * s, padding=1), "stopped with|input maps|not the"),
    ],
    "scaled_style": [
        ("A", "linear"),
        ("C", "ReLU"),
        ("D", "not one of"),
        (2, "not one of"),
        ("A: it clips", "linear"),
        (("C",), "ReLU"),
        ("none", "not one of"),
        (["A", "B"], "not one of"),
    ],
}  # fmt: skip


def check(name):
    return getattr(lesson01, f"check_{name}")


@pytest.mark.parametrize("name, answer", [(name, answer) for name, answers in RIGHT.items() for answer in answers])
def test_check_passes_right_answers(name, answer, capsys):
    check(name)(answer)
    assert capsys.readouterr().out.startswith("Both points are mentioned" if name == "truncation_words" else "Right:")


@pytest.mark.parametrize("name, answer, said", [(name, *pair) for name, pairs in WRONG.items() for pair in pairs])
def test_check_names_each_mistake(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        check(name)(answer)


def test_each_check_has_enough_answers():
    names = {name.removeprefix("check_") for name in vars(lesson01) if name.startswith("check_")}
    assert names == RIGHT.keys() == WRONG.keys()
    assert all(len(answers) >= 5 for answers in RIGHT.values())
    assert all(len(answers) >= 8 for answers in WRONG.values())


@pytest.mark.parametrize("name", ["scaled_z", "truncation_words", "scaled_style"])
def test_blank_words_and_numbers_let_the_rest_run(name, capsys):
    for blank in (None, "", ...):
        if name != "scaled_z" or blank != "":
            check(name)(blank)
            assert "no answer yet" in capsys.readouterr().out
