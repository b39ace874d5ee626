"""Step 1, the initial code, in each space."""

import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from short_run import run

from i2s.embedding import INITS, EmbedSettings, embed, initial_code, preset_settings
from i2s.embedding.init import to_w_plus
from i2s.embedding.objective import Objective
from i2s.encoder import load_encoder
from i2s.errors import LatentError, SettingsError
from i2s.generators import load_generator
from i2s.losses import ImageLoss


def objective(generator, count=2):
    return Objective(ImageLoss(FakeFeatureNet()), targets(generator, 2)[:count])


SHAPES = {"z": (2, 1, 12), "w": (2, 1, 12), "w+": (2, 6, 12)}


@pytest.mark.parametrize("space", SHAPES)
@pytest.mark.parametrize("init", ["mean", "uniform", "zeros", "nearest"])
def test_each_start_has_the_shape_of_its_space_and_knows_no_neighbour(generator, space, init):
    settings = EmbedSettings(space=space, init=init, candidates=20)
    both = initial_code(generator, settings, 2, objective=objective(generator))
    assert both.shape == SHAPES[space]
    one = initial_code(generator, settings, 1, objective=objective(generator, 1))
    assert torch.equal(both[:1], one)
    assert to_w_plus(both, generator, space).shape == (2, 6, 12)


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_nearest_is_the_best_of_the_random_codes(generator, space):
    photos, loss = targets(generator, 2), ImageLoss(FakeFeatureNet())
    settings = EmbedSettings(space=space, init="nearest", candidates=30, seed=4)
    code = initial_code(generator, settings, 2, objective=Objective(loss, photos))
    z = generator.sample_z(30, 4)
    w_plus = generator.mapping(z)
    for k in range(2):
        prepared = loss.prepare(photos[k : k + 1].expand(30, -1, -1, -1))
        best = sum(loss(generator.synthesis(w_plus), prepared).values()).argmin()
        torch.testing.assert_close(to_w_plus(code, generator, space)[k], w_plus[best])


def test_the_mean_of_z_is_the_z_nearest_to_the_mean_latent(generator):
    settings = EmbedSettings(space="z", candidates=50)
    z = initial_code(generator, settings, 1)[:, 0]
    distance = lambda z: (generator.mapping(z)[:, 0] - generator.w_mean).norm(dim=1)  # noqa: E731
    torch.testing.assert_close(distance(z)[0], distance(generator.sample_z(50, 0)).min())


def test_zeros_are_zeros(generator):
    assert not initial_code(generator, EmbedSettings(init="zeros"), 2).any()


@pytest.mark.parametrize("shape", [(12,), (1, 12), (2, 12), (1, 1, 12), (2, 1, 12)])
def test_a_given_z_is_taken(generator, shape):
    start = torch.randn(shape)
    code = initial_code(generator, EmbedSettings(space="z"), 2, start)
    assert torch.equal(code, start.reshape(-1, 1, 12).expand(2, 1, 12))


@pytest.mark.parametrize("shape", [(12,), (1, 12), (1, 1, 12), (2, 12), (2, 1, 12), (6, 12), (1, 6, 12), (2, 6, 12)])
@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_given_w_is_taken_in_every_common_shape(generator, space, shape):
    start = torch.randn(shape)
    if space == "w" and shape[-2:] == (6, 12):
        start = start[..., :1, :].expand(shape)
    settings = EmbedSettings(space=space)
    code = initial_code(generator, settings, 2, start)
    expected = start if len(shape) == 3 else start[:, None] if shape == (2, 12) else start
    rows = 6 if space == "w+" else 1
    expected = expected[..., :1, :] if space == "w" and len(shape) > 1 else expected
    assert torch.equal(code, expected.expand(2, rows, 12))
    assert torch.equal(initial_code(generator, settings, 2, start.numpy()), code)
    code.zero_()
    assert start.any()  # it is left alone


def test_a_result_is_a_start(generator):
    result = run(generator, targets(generator), steps=2)
    again = run(generator, targets(generator), steps=1, start=result)
    assert torch.equal(again.snapshots[0], result.w_plus)
    both = run(generator, targets(generator), steps=1, start=[result.select(1), result.select(0)])
    assert torch.equal(both.snapshots[0], result.w_plus.flip(0))
    codes = run(generator, targets(generator), steps=1, start=list(result.w_plus))
    assert torch.equal(codes.snapshots[0], result.w_plus)
    narrow = run(generator, targets(generator), steps=1, space="w")
    assert torch.equal(run(generator, targets(generator), space="w", steps=1, start=narrow).snapshots[0], narrow.w_plus)


@pytest.mark.parametrize(
    ("start", "space", "says"),
    [
        ("result", "z", "is of W"),
        ("mean", "w+", "is a str"),
        ([torch.zeros(12), torch.zeros(6, 12)], "w+", "of one shape"),
        (torch.zeros(12, dtype=torch.bool), "w+", "bool"),
        (torch.zeros(3, 12), "w+", "3 rows"),
        (torch.zeros(2, 3, 12), "w+", "3 rows"),
        (torch.zeros(3, 1, 12), "w+", "has shape"),
    ],
)
def test_what_is_no_start_is_one_sentence(generator, start, space, says):
    start = run(generator, targets(generator), steps=1) if isinstance(start, str) and start == "result" else start
    with pytest.raises(LatentError, match=says):
        run(generator, targets(generator), start=start, space=space)


@pytest.mark.parametrize("start", [torch.zeros(11), torch.zeros(3, 12), torch.zeros(2, 6, 12)])
def test_a_wrong_z_is_refused(generator, start):
    with pytest.raises(LatentError, match="in Z"):
        initial_code(generator, EmbedSettings(space="z"), 2, start)


def test_a_search_in_z_moves_z_alone(generator):
    result = embed(
        targets(generator),
        generator,
        space="z",
        steps=40,
        learning_rate=0.05,
        perceptual=FakeFeatureNet(),
        progress=False,
    )
    assert (result.loss[-1] < result.loss[0]).all()
    assert torch.equal(result.w_plus, result.w_plus[:, :1].expand_as(result.w_plus))
    assert torch.equal(result.render(generator), result.image)


def test_the_encoder_starts_nearer_than_the_mean():
    from i2s.losses.perceptual import load_perceptual

    generator, eye = load_generator("faces-64"), load_perceptual("slim")
    with torch.no_grad():
        photos = generator(generator.sample_z(8, seed=3), 0.7).clamp(-1, 1)
    loss = {
        init: embed(photos, generator, init=init, steps=1, perceptual=eye, progress=False, snapshots=0).loss[0]
        for init in ("encoder", "mean")
    }
    assert loss["encoder"].median() < 0.7 * loss["mean"].median()


def test_the_encoder_of_another_generator_is_refused(generator):
    with pytest.raises(SettingsError, match="faces-64.*tiny"):
        initial_code(generator, EmbedSettings(init="encoder"), 2, objective=objective(generator))
    with pytest.raises(SettingsError, match="not of Z"):
        initial_code(generator, EmbedSettings(space="z", init="encoder"), 2, objective=objective(generator))


def test_a_start_that_looks_at_photos_needs_them(generator):
    with pytest.raises(SettingsError, match="leave it to embed"):
        initial_code(generator, EmbedSettings(init="nearest"), 2)


def test_uniform_start_is_in_range_repeatable_and_independent_of_the_batch(generator):
    settings = EmbedSettings(init="uniform", seed=3)
    code = initial_code(generator, settings, 2)
    assert code.shape == (2, generator.num_ws, generator.w_dim) and -1 <= code.min() < -0.8 and 0.8 < code.max() <= 1
    assert torch.equal(code[:1], initial_code(generator, settings, 1))
    assert not torch.equal(code, initial_code(generator, EmbedSettings(init="uniform", seed=4), 2))


def test_mean_start_is_the_mean(generator):
    code = initial_code(generator, EmbedSettings(), 2)
    assert torch.equal(code, generator.w_mean.expand_as(code))


@pytest.mark.parametrize("shape", ["w", "one", "each"])
def test_given_start(generator, shape):
    start = torch.randn(2, generator.num_ws, generator.w_dim)
    given = {"w": start[0, 0], "one": start[0], "each": start}[shape]
    code = initial_code(generator, EmbedSettings(), 2, given)
    expected = {"w": start[0, 0].expand_as(start), "one": start[:1].expand_as(start), "each": start}[shape]
    assert torch.equal(code, expected)
    code.add_(1)  # what the search changes is its own
    assert not torch.equal(code, expected)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (torch.zeros(5), "shape"),
        (torch.zeros(3, 6, 12), "shape"),
        (torch.full([12], float("nan")), "NaN"),
        (torch.zeros(4, 12), "rows"),
    ],
)
def test_wrong_start_is_one_sentence(generator, bad, says):
    with pytest.raises(LatentError, match=says):
        run(generator, targets(generator), start=bad)


def test_different_rows_do_not_start_a_search_in_w(generator):
    with pytest.raises(LatentError, match="space='w\\+'"):
        run(generator, targets(generator), space="w", start=torch.randn(generator.num_ws, generator.w_dim))


def test_a_start_of_plain_numbers(tmp_path, generator):
    start = torch.randn(generator.w_dim)
    expected = run(generator, targets(generator), start=start)
    for given in (start.tolist(), start.numpy()):
        result = run(generator, targets(generator), start=given, checkpoint=tmp_path / "c", checkpoint_every=5)
        torch.testing.assert_close(result.w_plus, expected.w_plus)


def test_auto_starts_at_the_mean_where_the_encoder_is_not_the_generators():
    generator = small_generator()
    code = initial_code(generator, preset_settings("fast"), 2)
    assert torch.equal(code, generator.w_mean.expand_as(code))


def test_an_entry_of_inits_is_looked_up(monkeypatch, generator):
    monkeypatch.setitem(INITS, "mean", lambda generator, settings, objective: generator.w_mean + settings.seed)
    code = initial_code(generator, EmbedSettings(seed=2), 2)
    assert torch.equal(code, (generator.w_mean + 2).expand_as(code))


def test_auto_reads_the_encoder_once(monkeypatch):
    reads = []

    def load(**options):
        reads.append(options)
        return load_encoder(**options)

    monkeypatch.setattr("i2s.embedding.init.load_encoder", load)
    faces = load_generator("faces-64")
    photos = faces(faces.sample_z(1, seed=3), 0.7).clamp(-1, 1).detach()
    auto, encoder = (run(faces, photos, init=init, steps=1, perceptual="slim") for init in ("auto", "encoder"))
    assert len(reads) == 2 and torch.equal(auto.w_plus, encoder.w_plus)
