"""The statistics of W: what they are, what whitening does, and that a file keeps them."""

import copy

import numpy as np
import pytest
import torch
from helpers import small_generator
from safetensors.torch import load_file, save_file
from torch.nn.functional import leaky_relu

from i2s import latents
from i2s.errors import WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import read_metadata, save_generator
from i2s.latents import LatentStatistics, latent_statistics, to_p


@pytest.fixture(scope="module")
def statistics():
    return latent_statistics(small_generator(), 20_000)


def codes(count=5000, seed=3):
    generator = small_generator()
    return generator.mapping(generator.sample_z(count, seed))[:, 0]


def test_p_space_undoes_the_last_leaky_relu():
    x = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(to_p(leaky_relu(x, 0.2)), x) and torch.allclose(leaky_relu(to_p(x), 0.2), x)
    assert to_p(torch.tensor([-1.0, 2.0])).tolist() == [-5, 2]


def test_components_are_orthonormal_and_sorted_by_spread(statistics):
    assert torch.allclose(statistics.components @ statistics.components.T, torch.eye(12), atol=1e-5)
    assert (statistics.std.diff() <= 0).all() and statistics.std.min() > 0


def test_whitened_codes_have_unit_covariance(statistics):
    v = statistics.whiten(codes())
    assert v.mean(0).abs().max() < 0.06
    # by the standard deviation: whitening by singular values would leave spreads of 1 / sqrt(count)
    assert torch.allclose(torch.cov(v.T), torch.eye(12), atol=0.08)


def test_whitening_is_undone(statistics):
    w = codes(50)
    x = (
        statistics.whiten(w) * statistics.std.clamp_min(latents.FLOOR * statistics.std.max()) @ statistics.components
        + statistics.mean
    )
    assert torch.allclose(leaky_relu(x, 0.2), w, atol=1e-5)
    w_plus = w.view(5, 10, 12)
    assert statistics.whiten(w_plus).shape == (5, 10, 12)


def test_directions_without_spread_do_not_divide_by_zero():
    generator = small_generator()
    generator.mapping.layers[-1].weight.data[5:] = 0  # seven directions in which nothing moves
    found = latent_statistics(generator, 1000)
    assert found.std.min() > 0 and found.whiten(generator.mapping(generator.sample_z(8, 0))).isfinite().all()


def test_a_file_keeps_the_statistics_exactly(tmp_path):
    generator = small_generator()
    generator.latents = latent_statistics(generator, 2000)
    again = load_generator(save_generator(generator, tmp_path / "g.safetensors"))
    for name in ("mean", "components", "std"):
        assert torch.equal(getattr(again.latents, name), getattr(generator.latents, name))
    assert torch.equal(latent_statistics(again).std, generator.latents.std)  # not drawn again
    assert load_generator(tmp_path / "g.safetensors", dtype=torch.float64).latents is not None
    assert latent_statistics(load_generator(tmp_path / "g.safetensors", dtype=torch.float64)).std.dtype == torch.float64


def test_a_file_without_them_has_none(tmp_path):
    path = save_generator(small_generator(), tmp_path / "g.safetensors")
    assert load_generator(path).latents is None and not any("latents" in name for name in load_file(path))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.pop("latents.std"),
        lambda t: t.update({"latents.std": torch.ones(11)}),
        lambda t: t.update({"latents.std": torch.zeros(12)}),
        lambda t: t.update({"latents.mean": torch.full([12], float("nan"))}),
        lambda t: t.update({"latents.components": torch.eye(13)}),
        lambda t: t.update({"latents.components": torch.ones(12, 12, dtype=torch.int32)}),
        lambda t: t.update({"latents.more": torch.ones(1)}),
    ],
)
def test_damaged_statistics_are_refused(tmp_path, spoil):
    generator = small_generator()
    generator.latents = latent_statistics(generator, 1000)
    path = save_generator(generator, tmp_path / "g.safetensors")
    tensors, metadata = load_file(path), read_metadata(path)
    spoil(tensors)
    save_file(tensors, path, metadata)
    with pytest.raises(WeightFileError, match="latent"):
        load_generator(path)


def test_statistics_are_computed_once_for_a_generator_as_it_is(monkeypatch):
    monkeypatch.setattr(latents, "_known", {})
    generator, calls = small_generator(), []
    sample = generator.sample_z
    monkeypatch.setattr(generator, "sample_z", lambda *given: calls.append(given) or sample(*given))
    first, again = latent_statistics(generator, 2000), latent_statistics(generator, 2000)
    assert len(calls) == 1 and torch.equal(first.std, again.std)
    latent_statistics(generator, 3000)
    with torch.no_grad():
        generator.mapping.layers[0].weight *= 1.5
    changed = latent_statistics(generator, 3000)
    assert len(calls) == 3 and not torch.equal(changed.mean, first.mean)
    assert latent_statistics(generator.double(), 3000).mean.dtype == torch.float64
    for seed in map(np.int64, range(2 * latents.KEPT)):
        latent_statistics(generator, 500, seed)
    assert len(latents._known) == latents.KEPT


def test_a_generator_can_be_copied_while_its_statistics_are_computed(monkeypatch):
    """As the tuning of one thread does while another starts: a dictionary must not change while it is copied."""
    monkeypatch.setattr(latents, "_known", {})
    generator = small_generator()
    names = set(vars(generator))
    first = latent_statistics(generator, 1000)
    assert set(vars(generator)) == names
    monkeypatch.setattr(type(generator), "sample_z", None)  # the copy needs none
    assert torch.equal(latent_statistics(copy.deepcopy(generator), 1000).std, first.std)


def test_statistics_made_in_inference_mode_take_part_in_gradients(monkeypatch):
    monkeypatch.setattr(latents, "_known", {})
    with torch.inference_mode():
        found = latent_statistics(small_generator(), 1000)
    w = codes(4).requires_grad_()
    found.whiten(w).square().sum().backward()
    assert w.grad.isfinite().all() and w.grad.abs().max() > 0


def test_directions_in_which_codes_hardly_differ_do_not_outweigh_the_others():
    statistics = LatentStatistics(torch.zeros(3), torch.eye(3), torch.tensor([1.0, 0.5, 1e-5]))
    step = statistics.whiten(torch.tensor([0.0, 0.0, 1e-3]))
    assert torch.allclose(
        step, torch.tensor([0.0, 0.0, 0.5])
    )  # 100 of its own deviations, half of the least that counts
    faces = load_generator("faces-128")
    assert latent_statistics(faces).whiten(faces.w_mean).square().mean() < 40  # 52,765 if the floor is left out
