"""Lesson 1: what its helpers show is what the network computes; its checks pass solutions and name mistakes."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import small_generator

from i2s import crossover
from i2s.course import adain_layer, enlarge, feature_maps, lesson01, stages, trace_layers
from i2s.course.checks import CheckFailed
from i2s.course.lesson01 import aspects, layer_effects, layer_groups
from i2s.generators import layers, load_generator, stylegan2

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


def test_adain_layer_outputs_the_styles_mean_and_spread():
    layer = adain_layer(channels=4, w_dim=6)
    rng = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 4, 32, 32, generator=rng) * 7 + 3, torch.randn(2, 6, generator=rng)
    y = layer(x, w, noise=None, fir=None)
    scale, shift = layer.affine(w).chunk(2, dim=1)
    torch.testing.assert_close(y.mean(dim=(2, 3)), shift, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(y.std(dim=(2, 3), unbiased=False), (1 + scale).abs(), rtol=1e-3, atol=1e-4)


def test_adain_layer_is_reproducible_and_keeps_the_global_seed():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    layer = adain_layer(channels=4, w_dim=6)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(layer.affine.weight, adain_layer(channels=4, w_dim=6).affine.weight)
    assert not torch.equal(layer.affine.weight, adain_layer(channels=4, w_dim=6, seed=1).affine.weight)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_layer_groups_cover_all_rows():
    assert layer_groups(64) == {"coarse": range(3), "middle": range(3, 5), "fine": range(5, 10)}
    for resolution in (32, 64, 128, 1024):
        rows = [row for group in layer_groups(resolution).values() for row in group]
        assert rows == list(range(2 * int(math.log2(resolution)) - 2))


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
        where, what, colour = w_plus[:, 0], w_plus[:, 3], w_plus[:, 5]
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


def adain(x, scale, shift):
    x = x - x.mean(dim=(2, 3), keepdim=True)
    x = x / (x.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt()
    return x * scale[:, :, None, None] + shift[:, :, None, None]


def colours(generator, a, b, layers=lambda k: [k], norm=lambda d: d.norm()):
    def mean(code):
        return generator.synthesis(code).mean(dim=(2, 3))

    return torch.stack([norm(mean(crossover(a, b, layers=layers(k))) - mean(a)) for k in range(generator.num_ws)])


SOLUTIONS = {
    "scaled_z": "same",
    "adain": adain,
    "scaled_style": "B",
    "colour_changes": colours,
    "truncate": lambda w, mean, psi: mean + psi * (w - mean),
    "truncation_words": "Near the mean the training has seen many codes, so faces are good; the price: all look alike.",
}


def wide(v):
    return v[:, :, None, None]


def average(x):
    return x.mean((2, 3), keepdim=True)


def pixels(g, a, b, k):
    return (g.synthesis(crossover(a, b, layers=[k])) - g.synthesis(a)).norm(dim=1).mean()


MISTAKES = [
    ("scaled_z", None, "no answer"),
    ("scaled_z", "brighter", "divides z"),
    ("scaled_z", "noise", "direction"),
    ("scaled_z", "darker", "not one of"),
    ("adain", lambda x, s, b: None, "no value"),
    ("adain", lambda x, s, b: x.mean(dim=(2, 3)), "shape"),
    ("adain", lambda x, s, b: adain(x, s, torch.zeros_like(b)), "shift"),
    ("adain", lambda x, s, b: x * wide(s) + wide(b), "normalise"),
    ("adain", lambda x, s, b: (x - x.mean()) / x.std() * wide(s) + wide(b), "by itself"),
    ("adain", lambda x, s, b: (x - average(x)) / x.var((2, 3), keepdim=True) * wide(s) + wide(b), "root"),
    ("adain", lambda x, s, b: (x - average(x)) / x.std((2, 3), False, keepdim=True) * wide(s) + wide(b), "1e-8"),
    ("adain", lambda x, s, b: adain(x, 1 + s, b), "1 was added"),
    ("adain", lambda x, s, b: adain(x, s, b) * wide(s), "shift last"),
    ("scaled_style", "", "no answer"),
    ("scaled_style", "A", "linear"),
    ("scaled_style", "C", "ReLU"),
    ("scaled_style", "D", "not one of"),
    ("colour_changes", lambda g, a, b: None, "no value"),
    ("colour_changes", lambda g, a, b: colours(g, a, b).sum(), "shape"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, lambda k: range(k, 4)), "from k on"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, lambda k: range(k + 1)), "up to k"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.square().sum()), "squares"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.abs().mean()), "mean colour"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.abs().sum()), "added up"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.abs().max()), "mean colour"),
    ("colour_changes", lambda g, a, b: colours(g, a, b, norm=lambda d: d.sum()), "mean colour"),
    ("colour_changes", lambda g, a, b: colours(g, b, a), "start from a"),
    ("colour_changes", lambda g, a, b: torch.stack([pixels(g, a, b, k) for k in range(4)]), "average each image"),
    ("truncate", lambda w, m, p: None, "no value"),
    ("truncate", lambda w, m, p: p * w, "towards 0"),
    ("truncate", lambda w, m, p: w + p * (m - w), "wrong way"),
    ("truncate", lambda w, m, p: m + p * w, "leave w alone"),
    ("truncation_words", "", "sentences"),
    ("truncation_words", "It looks better because of truncation and that is all that I can say about it", "say where"),
    ("truncation_words", "Because the training has seen many of the codes near to the middle of W", "what is lost"),
]  # fmt: skip


OTHERS = [
    ("scaled_z", " 'Same'. "),
    ("adain", lambda x, s, b: torch.nn.functional.instance_norm(x, eps=1e-8) * wide(s) + wide(b)),
    ("truncate", lambda w, m, p: p * w + (1 - p) * m),
    (
        "truncation_words",
        "Codes close to w-bar were common, so the network draws them well. In exchange there is less variation.",
    ),
    ("truncation_words", "The network has practised most on typical faces. We pay for it with less varied people."),
    (
        "truncation_words",
        "Averaging towards the centre removes what the network never learned, but all end up identical.",
    ),
]


@pytest.mark.parametrize("name, answer", OTHERS)
def test_check_passes_other_right_answers(name, answer):
    getattr(lesson01, f"check_{name}")(answer)


def test_check_colour_changes_passes_codes_mixed_by_hand():
    def by_hand(generator, a, b):
        found = []
        for k in range(generator.num_ws):
            code = a.clone()
            code[:, k] = b[:, k]
            move = generator.synthesis(code).mean(dim=(2, 3)) - generator.synthesis(a).mean(dim=(2, 3))
            found.append(move.square().sum().sqrt())
        return torch.stack(found)

    lesson01.check_colour_changes(by_hand)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_check_passes_the_solution(name, capsys):
    getattr(lesson01, f"check_{name}")(SOLUTIONS[name])
    assert capsys.readouterr().out.startswith("Right:")


@pytest.mark.parametrize("name, answer, said", MISTAKES)
def test_check_names_each_mistake(name, answer, said):
    with pytest.raises(CheckFailed, match=said):
        getattr(lesson01, f"check_{name}")(answer)
