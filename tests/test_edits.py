"""Edits are the paper's equations and nothing else: their laws hold for all codes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from i2s.edits import crossover, morph, morph_through, split_for, transfer_expression
from i2s.errors import LatentError, SettingsError

lams = st.floats(-3, 3)
quick = settings(max_examples=30, deadline=None)


@st.composite
def codes(draw, count):
    """`count` codes of one shape, [num_ws, w_dim] or [N, num_ws, w_dim]."""
    shape = draw(st.sampled_from([(2, 4), (10, 8), (18, 16), (1, 10, 8), (3, 6, 5)]))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    return [torch.randn(shape, generator=rng) * draw(st.sampled_from([0.1, 1.0, 30.0])) for _ in range(count)]


def code(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- morphing: w = lam w1 + (1 - lam) w2 ---


@quick
@given(codes(2), lams)
def test_morph_is_the_equation(ws, lam):
    w1, w2 = ws
    assert torch.equal(morph(w1, w2, lam), lam * w1 + (1 - torch.tensor(lam)) * w2)


@quick
@given(codes(2))
def test_morph_ends(ws):
    w1, w2 = ws
    assert torch.equal(morph(w1, w2, 1), w1) and torch.equal(morph(w1, w2, 0), w2)
    assert torch.equal(morph(w1, w2, True), w1)


@quick
@given(codes(2), st.lists(st.sampled_from([0, 0.25, 0.5, 0.75, 1]), min_size=1, max_size=6))
def test_swapping_the_ends_reverses_a_morph(ws, lam):
    w1, w2 = ws
    forth, back = morph(w1, w2, lam), morph(w2, w1, [1 - value for value in lam])
    assert torch.equal(forth, back)


@quick
@given(codes(1), lams)
def test_a_morph_to_itself_stays(ws, lam):
    assert torch.allclose(morph(ws[0], ws[0], lam), ws[0], rtol=1e-5, atol=1e-4)


@quick
@given(codes(2), st.lists(lams, min_size=1, max_size=5))
def test_frames_are_the_single_morphs_one_after_the_other(ws, lam):
    w1, w2 = ws
    count = len(w1) if w1.ndim == 3 else 1
    singles = [morph(w1, w2, value).reshape(count, *w1.shape[-2:]) for value in lam]
    for many in (lam, tuple(lam), torch.tensor(lam), np.array(lam)):
        frames = morph(w1, w2, many)
        assert frames.shape == (len(lam) * count, *w1.shape[-2:])
        assert torch.allclose(frames, torch.cat(singles), rtol=1e-6, atol=1e-6)


def test_one_code_goes_with_many():
    one, many = code(6, 4), code(3, 6, 4, seed=1)
    expected = torch.stack([morph(one, w, 0.3) for w in many])
    assert torch.equal(morph(one, many, 0.3), expected) and torch.equal(morph(one[None], many, 0.3), expected)
    assert crossover(many, one).shape == transfer_expression(many, one, one, rows=None).shape == (3, 6, 4)


# --- expression transfer: w = w1 + lam (w3 - w2) ---


@quick
@given(codes(3), lams)
def test_transfer_is_the_equation(ws, lam):
    w1, w2, w3 = ws
    assert torch.equal(transfer_expression(w1, w2, w3, lam, rows=None), w1 + lam * (w3 - w2))


@quick
@given(codes(2), lams)
def test_no_expression_to_transfer_changes_nothing(ws, lam):
    w1, w2 = ws
    assert torch.equal(transfer_expression(w1, w2, w2, lam, rows=None), w1)
    assert torch.equal(transfer_expression(w1, w2, w1 * 3, 0.0, rows=None), w1)


@quick
@given(codes(2))
def test_transfer_from_oneself_is_the_expressive_face(ws):
    w2, w3 = ws
    assert torch.allclose(transfer_expression(w2, w2, w3, 1, rows=None), w3, rtol=1e-4, atol=1e-4)


@quick
@given(codes(3), lams, st.data())
def test_transfer_changes_the_rows_that_are_named(ws, lam, data):
    w1, w2, w3 = ws
    num_ws = w1.shape[-2]
    rows = data.draw(st.lists(st.integers(-num_ws, num_ws - 1)))
    found = transfer_expression(w1, w2, w3, lam, rows=rows)
    whole = transfer_expression(w1, w2, w3, lam, rows=None)
    for row in range(num_ws):
        changed = row in rows or row - num_ws in rows
        assert torch.equal(found[..., row, :], (whole if changed else w1)[..., row, :])


def test_transfer_in_frames():
    w1, w2, w3 = code(6, 4), code(6, 4, seed=1), code(6, 4, seed=2)
    frames = transfer_expression(w1, w2, w3, torch.linspace(0, 1, 5), rows=None)
    assert frames.shape == (5, 6, 4) and torch.equal(frames[0], w1)
    assert torch.equal(frames[4], transfer_expression(w1, w2, w3, 1, rows=None))


def test_transfer_changes_half_of_the_middle_rows_unless_told_otherwise():
    """What was measured to lead nearest to the targets' own smiles; too few rows for it are refused."""
    w1, w2, w3 = (code(12, 4, seed=k) for k in range(3))
    found = transfer_expression(w1, w2, w3)
    assert torch.equal(found[4:8], (w1 + 0.5 * (w3 - w2))[4:8])
    assert torch.equal(found[:4], w1[:4]) and torch.equal(found[8:], w1[8:])
    with pytest.raises(LatentError, match="no row 6"):
        transfer_expression(GOOD, GOOD, GOOD)


# --- style transfer: crossover ---


@quick
@given(codes(2), st.data())
def test_crossover_takes_rows_whole(ws, data):
    content, style = ws
    num_ws = content.shape[-2]
    split = data.draw(st.integers(0, num_ws))
    mixed = crossover(content, style, split)
    assert torch.equal(mixed[..., :split, :], content[..., :split, :])
    assert torch.equal(mixed[..., split:, :], style[..., split:, :])
    assert torch.equal(mixed, crossover(content, style, layers=range(split, num_ws)))
    assert torch.equal(mixed, crossover(style, content, layers=range(split)))


@quick
@given(codes(2))
def test_crossover_ends(ws):
    a, b = ws
    num_ws = a.shape[-2]
    assert torch.equal(crossover(a, b, 0), b) and torch.equal(crossover(a, b, num_ws), a)
    assert torch.equal(crossover(a, b, layers=[]), a) and torch.equal(crossover(a, b, layers=range(num_ws)), b)
    assert torch.equal(crossover(a, a), a)
    assert torch.equal(crossover(a, b), crossover(a, b, num_ws // 2))


def test_the_papers_split_is_9_of_18():
    content, style = torch.zeros(18, 512), torch.ones(18, 512)
    assert crossover(content, style)[:, 0].tolist() == [0] * 9 + [1] * 9


def test_layers_in_any_order_and_from_the_end():
    content, style = torch.zeros(6, 2), torch.ones(6, 2)
    assert crossover(content, style, layers=[4, 0, -1, 4])[:, 1].tolist() == [1, 0, 0, 0, 1, 1]
    assert crossover(content, style, layers=iter([2]))[:, 1].tolist() == [0, 0, 1, 0, 0, 0]


def test_split_for():
    assert [split_for(r) for r in (64, 128, 256, 512, 1024)] == [5, 6, 7, 8, 9]
    assert [split_for(r, upto=64) for r in (64, 128, 256, 512, 1024)] == [9] * 5
    assert split_for(1024) == split_for(1024, upto=64) == 9  # the paper's
    assert [split_for(64, upto=size) for size in (4, 8, 16, 32, 64)] == [1, 3, 5, 7, 9]
    assert split_for(4) == 1


@pytest.mark.parametrize("resolution", [16, 32])
def test_split_for_counts_the_layers_of_the_generator(resolution):
    """The rows of the style change no feature map up to the size that the content decides: asked of the generator."""
    from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config

    generator = StyleGAN2(StyleGAN2Config(resolution, 8, 8, 2, channels=(8,) * (int(math.log2(resolution)) - 1)))
    assert split_for(resolution) == generator.num_ws // 2
    sizes = []  # of the feature maps that each row reaches first
    for row in range(generator.num_ws):
        sizes.append(first_size_changed(generator, row))
    for upto in [2**k for k in range(2, int(math.log2(resolution)) + 1)]:
        split = split_for(resolution, upto)
        assert all(size <= upto for size in sizes[:split]) and all(size > upto for size in sizes[split + 1 :])


def first_size_changed(generator, row: int) -> int:
    """The smallest feature map of a convolution that differs when one row of the code is another."""
    maps = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, out: maps.append(out))
        for module in generator.synthesis.modules()
        if type(module).__name__ == "SynthesisLayer"
    ]
    assert hooks
    with torch.no_grad():
        w_plus = code(1, generator.num_ws, 8)
        other = w_plus.clone()
        other[:, row] += 1
        generator.synthesis(w_plus)
        count = len(maps)
        generator.synthesis(other)
    for hook in hooks:
        hook.remove()
    changed = [a.shape[-1] for a, b in zip(maps[:count], maps[count:]) if not torch.equal(a, b)]
    return min(changed, default=generator.resolution * 2)


# --- purity, gradients, types ---

EDITS = {
    "morph": lambda a, b, c: morph(a, b, 0.3),
    "morph end": lambda a, b, c: morph(a, b, 1),
    "frames": lambda a, b, c: morph(a, b, [0.0, 1.0]),
    "transfer": lambda a, b, c: transfer_expression(a, b, c, 0.0, rows=None),
    "crossover": lambda a, b, c: crossover(a, b),
    "crossover all": lambda a, b, c: crossover(a, b, a.shape[-2]),
}


@pytest.mark.parametrize("name", EDITS)
@settings(max_examples=15, deadline=None)
@given(ws=codes(3))
def test_edits_are_pure(name, ws):
    before = [w.clone() for w in ws]
    edited = EDITS[name](*ws)
    assert all(torch.equal(w, b) for w, b in zip(ws, before))
    edited.add_(1)  # shares no memory with what it was made of
    assert all(torch.equal(w, b) for w, b in zip(ws, before))


def test_gradients_are_those_of_the_equations():
    w1, w2, w3 = (code(6, 4, seed=k).requires_grad_() for k in range(3))
    lam = torch.tensor(0.25, requires_grad=True)
    morph(w1, w2, lam).sum().backward()
    assert torch.allclose(w1.grad, torch.tensor(0.25)) and torch.allclose(w2.grad, torch.tensor(0.75))
    assert torch.allclose(lam.grad, (w1 - w2).sum())
    w1.grad = w2.grad = None
    transfer_expression(w1, w2, w3, 2.0, rows=None).sum().backward()
    assert [w.grad.unique().tolist() for w in (w1, w2, w3)] == [[1], [-2], [2]]
    w1.grad = w2.grad = None
    crossover(w1, w2, 2).sum().backward()
    assert w1.grad[:, 0].tolist() == [1, 1, 0, 0, 0, 0] and w2.grad[:, 0].tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_types_are_kept(dtype):
    a, b = code(6, 4).to(dtype), code(6, 4, seed=1).to(dtype)
    assert {morph(a, b, 0.5).dtype, morph(a, b, [0.5]).dtype, crossover(a, b).dtype} == {dtype}


# --- bad input ---

GOOD = code(6, 4)
BAD_CODES = {
    "other length": (code(7, 4), "differ in shape"),
    "other width": (code(6, 5), "differ in shape"),
    "a single w": (code(4), "shape"),
    "four dimensions": (code(1, 1, 6, 4), "shape"),
    "empty": (code(0, 6, 4), "shape"),
    "nan": (GOOD * float("nan"), "NaN"),
    "one infinity": (
        GOOD.clone().index_put_((torch.tensor([2]), torch.tensor([1])), torch.tensor(math.inf)),
        "infinity",
    ),
    "integers": (torch.ones(6, 4, dtype=torch.long), "int64"),
    "an array": (GOOD.numpy(), "ndarray"),
    "nothing": (None, "NoneType"),
    "another device": (torch.empty(6, 4, device="meta"), "device"),
}


@pytest.mark.parametrize("name", BAD_CODES)
def test_bad_codes(name):
    bad, message = BAD_CODES[name]
    for edit in (
        lambda: morph(GOOD, bad, 0.5),
        lambda: morph(bad, GOOD, [0.5]),
        lambda: transfer_expression(GOOD, GOOD, bad),
        lambda: crossover(bad, GOOD),
    ):
        with pytest.raises(LatentError, match=message) as error:
            edit()
        assert str(error.value).endswith(".") and ": " in str(error.value)


def test_numbers_of_codes_that_do_not_go_together():
    with pytest.raises(LatentError, match="differ in number"):
        morph(code(2, 6, 4), code(3, 6, 4), 0.5)


@pytest.mark.parametrize("lam", ["half", None, float("nan"), [0.1, math.inf], [], [[0.1]], torch.zeros(2, 2)])
def test_bad_lam(lam):
    for edit in (lambda: morph(GOOD, GOOD, lam), lambda: transfer_expression(GOOD, GOOD, GOOD, lam, rows=None)):
        with pytest.raises(SettingsError, match="lam"):
            edit()


@pytest.mark.parametrize("split", [-1, 7, 2.0, "3", True])
def test_bad_split(split):
    with pytest.raises(LatentError, match=f"split is {split}.*from 0 to 6"):
        crossover(GOOD, GOOD, split)


@pytest.mark.parametrize("layers", [[6], [-7], [0, 99], [1.0], [None]])
def test_bad_layers(layers):
    with pytest.raises(LatentError, match="There is no row.*rows 0 to 5"):
        crossover(GOOD, GOOD, layers=layers)


@pytest.mark.parametrize("rows", [[6], [-7], [1.0], [None]])
def test_bad_rows_of_a_transfer(rows):
    with pytest.raises(LatentError, match="There is no row.*rows 0 to 5"):
        transfer_expression(GOOD, GOOD, GOOD, rows=rows)


def test_split_and_layers_together():
    with pytest.raises(SettingsError, match="one of them"):
        crossover(GOOD, GOOD, 3, layers=[1])


@pytest.mark.parametrize("arguments", [(100,), (0,), (2,), (64.0,), (64, 128), (64, 48), ("64",)])
def test_bad_split_for(arguments):
    with pytest.raises(SettingsError):
        split_for(*arguments)


@pytest.mark.parametrize(("count", "frames"), [(2, 5), (3, 4), (4, 2), (2, 2)])
def test_morph_through_shows_each_code_once_and_steps_evenly(count, frames):
    codes = torch.randn(count, 6, 8, generator=torch.Generator().manual_seed(1))
    film = morph_through(codes, frames)
    assert film.shape == ((count - 1) * (frames - 1) + 1, 6, 8)
    assert torch.equal(film[:: frames - 1], codes)
    for k in range(count - 1):
        steps = film[k * (frames - 1) :][:frames].diff(dim=0)
        assert torch.allclose(steps, (codes[k + 1] - codes[k]).expand_as(steps) / (frames - 1), atol=1e-6)
    assert torch.equal(morph_through(list(codes), frames), film)
    if count == 2:
        assert torch.equal(film, morph(*codes, torch.linspace(1, 0, frames)))


def test_morph_through_refuses_what_is_no_film():
    codes = torch.zeros(3, 6, 8)
    for frames in (1, 0, 2.5, "3", True):
        with pytest.raises(SettingsError, match="frames"):
            morph_through(codes, frames)
    with pytest.raises(LatentError, match="two codes"):
        morph_through(codes[:1], 4)
    with pytest.raises(LatentError, match="differ in shape"):
        morph_through([codes[0], codes[1], codes[2, :4]], 4)
    assert len(morph_through(codes, np.int64(3))) == 5


@pytest.mark.parametrize("change", ["device", "dtype"])
def test_defaults_of_torch_do_not_matter(change):
    """The device without memory stands in for a GPU."""
    codes = torch.randn(2, 6, 12)
    expected = morph_through(codes, 7)
    try:
        torch.set_default_device("meta") if change == "device" else torch.set_default_dtype(torch.float64)
        found = morph_through(codes, 7)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert found.device.type == "cpu" and torch.equal(found, expected)
