"""The shipped encoder: one forward pass to a good start."""

import pytest
import torch

from i2s.embedding import EmbedSettings, initial_code
from i2s.embedding.objective import Objective
from i2s.encoder import ENCODERS, load_encoder
from i2s.errors import ImageError, WeightFileError
from i2s.generators import load_generator
from i2s.losses import PixelMSE


@pytest.fixture(scope="module", params=list(ENCODERS))
def generator(request):
    return load_generator(request.param)


@pytest.fixture(scope="module")
def encoder(generator):
    return load_encoder(generator=generator.name)


def draw_faces(generator, count):
    with torch.no_grad():
        return generator(generator.sample_z(count, seed=9), 0.7).clamp(-1, 1)


def test_what_it_names_is_nearer_to_the_face_than_the_mean_is(generator, encoder):
    faces = draw_faces(generator, 24)
    with torch.no_grad():
        w = encoder(faces)
        redrawn = generator.synthesis(w[:, None].repeat(1, generator.num_ws, 1))
        mean = generator.synthesis(generator.w_mean.expand(1, generator.num_ws, -1))
    ours, theirs = ((image - faces).square().mean(dim=(1, 2, 3)) for image in (redrawn, mean))
    assert w.shape == (24, generator.w_dim)
    assert (ours < theirs).float().mean() > 0.9 and ours.median() < 0.5 * theirs.median()


def test_it_is_small_and_frozen(encoder):
    from i2s.files import data_dir

    assert (data_dir() / ENCODERS[encoder.generator]).stat().st_size <= 9_000_000
    assert not any(p.requires_grad for p in encoder.parameters())


def test_init_encoder_is_that_of_the_generator(generator, encoder):
    photo = draw_faces(generator, 1)
    settings = EmbedSettings(init="encoder")
    code = initial_code(generator, settings, 1, objective=Objective(PixelMSE(), photo))
    torch.testing.assert_close(code, encoder(photo)[:, None].expand_as(code))


def test_another_size_is_refused(encoder):
    with pytest.raises(ImageError, match=str(encoder.resolution)):
        encoder(torch.zeros(1, 3, 32, 32))


def test_a_file_that_is_no_encoder_is_refused(tmp_path):
    from i2s.files import data_dir

    with pytest.raises(WeightFileError, match="not an encoder"):
        load_encoder(data_dir() / "faces-64.safetensors")
    with pytest.raises(WeightFileError, match="no file"):
        load_encoder(tmp_path / "none.safetensors")


def test_eight_bits_for_the_large_matrix_change_the_code_by_little(encoder, tmp_path):
    from i2s.encoder import save_encoder

    size = encoder.resolution
    images = torch.rand(8, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    exact = load_encoder(save_encoder(encoder, tmp_path / "exact.safetensors", half=False))(images)
    small = load_encoder(save_encoder(encoder, tmp_path / "small.safetensors"))(images)
    assert (small - exact).norm() < 0.03 * exact.norm()
