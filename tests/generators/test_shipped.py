"""What the generators that ship promise to those who load them."""

import pytest
import torch

from i2s import load_generator
from i2s.metrics import psnr
from i2s.weights.catalog import entry

SHIPPED = ["faces-64", "faces-64-adain", "faces-128"]


@pytest.fixture(scope="module", params=SHIPPED)
def generator(request):
    return load_generator(request.param)


@torch.no_grad()
def draw(generator, count=24, psi=1.0):
    return generator(generator.sample_z(count, seed=11), truncation_psi=psi).clamp(-1, 1)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_small(name):
    assert entry(name).bytes <= 16 * 2**20


def test_it_comes_whole(generator):
    """Mean latent and statistics are those of its mapping network; the noise is stored; nothing asks for a gradient."""
    w = generator.mapping(generator.sample_z(20_000, seed=5))[:, 0]
    assert (w.mean(0) - generator.w_mean).norm() < 0.05 * w.std(0).norm()
    assert generator.latents is not None
    assert [tuple(m.shape) for m in generator.noise_maps()][-1] == (generator.resolution,) * 2
    assert not any(p.requires_grad for p in generator.parameters())


def test_truncation_takes_variety(generator):
    """Spread over the pictures: most at psi 1, less at 0.7, none at 0."""
    spreads = [float(draw(generator, psi=psi).std(0).mean()) for psi in (1.0, 0.7, 0.0)]
    assert spreads[0] > 1.1 * spreads[1] > 0 and spreads[2] < 1e-5


def test_lines_in_w_are_smooth(generator):
    """No step of sixteen along a line moves the picture more than three times as far as the steps do on average."""
    ends = generator.mapping(generator.sample_z(2, seed=3))
    line = torch.lerp(ends[:1], ends[1:], torch.linspace(0, 1, 17).view(-1, 1, 1))
    with torch.no_grad():
        steps = generator.synthesis(line).diff(dim=0).flatten(1).norm(dim=1)
    assert steps.max() < 3 * steps.mean()


def test_adain_student_draws_the_same_person_of_the_same_z():
    teacher, student = (load_generator(name) for name in ("faces-64", "faces-64-adain"))
    assert student.kind == "stylegan1" and student.resolution == teacher.resolution
    z = teacher.sample_z(8, seed=0)
    torch.testing.assert_close(student.mapping(z)[:, 0], teacher.mapping(z)[:, 0], rtol=0, atol=5e-3)
    theirs, ours = draw(teacher), draw(student)
    pairs = torch.stack([psnr(ours, theirs.roll(k, dims=0)) for k in range(len(ours))])  # row 0: the same z
    assert (pairs.argmax(dim=0) == 0).all(), "another face is nearer than that of the same z"
