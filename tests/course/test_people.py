"""The people of lesson 5: codes with their attribution, bound to one generator."""

import pytest
import torch
from helpers import tiny_generator
from PIL import Image

from i2s.course.people import FILE, load_people, save_people
from i2s.errors import ImageError, WeightFileError
from i2s.files import data_dir
from i2s.generators import load_generator
from training.people import embed_people, main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for k, name in enumerate(("a", "b")):
        for j, face in enumerate(("neutral", "smiling")):
            Image.new("RGB", (32, 32), (60 * k + 40, 90 * j + 30, 120)).save(folder / f"{name}-{face}.jpg")
    return folder


def test_codes_are_found_saved_and_loaded(folder, tmp_path):
    generator = tiny_generator()
    people = embed_people(folder, generator, limit=2, steps=3, learning_rate=0.05, progress=False)
    assert people.neutral.shape == people.smiling.shape == (2, generator.num_ws, generator.w_dim)
    loaded = load_people(generator, save_people(people, generator, tmp_path / "p.safetensors"))
    assert loaded.names == ["person 1", "person 2"] and "CC BY 4.0" in loaded.attribution
    assert torch.allclose(loaded.neutral, people.neutral, atol=2e-3)
    assert not torch.allclose(loaded.neutral, loaded.smiling, atol=1e-2)


def test_the_penalty_keeps_the_codes_near_those_of_random_faces(folder):
    generator = tiny_generator()
    away = []
    for weight in (0.0, 5.0):
        people = embed_people(folder, generator, 2, 12, 0.05, p_norm_weight=weight, progress=False)
        away.append((people.smiling - generator.w_mean).norm())
    assert away[1] < 0.9 * away[0]


def test_codes_of_another_generator_are_refused(folder, tmp_path):
    generator = tiny_generator()
    people = embed_people(folder, generator, limit=1, steps=1, learning_rate=0.05, progress=False)
    path = save_people(people, generator, tmp_path / "p.safetensors")
    with pytest.raises(WeightFileError, match="not for this generator"):
        load_people(tiny_generator(seed=3), path)


def test_a_folder_without_photos_and_a_broken_file_are_refused(tmp_path, capsys):
    with pytest.raises(ImageError, match="neutral"):
        embed_people(tmp_path, tiny_generator(), 2, 1, 0.01)
    assert main(["--photos", str(tmp_path), "--out", str(tmp_path / "o")]) != 0 and "neutral" in capsys.readouterr().err
    (tmp_path / "p.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightFileError, match="broken"):
        load_people(tiny_generator(), tmp_path / "p.safetensors")
    with pytest.raises(WeightFileError, match="no file"):
        load_people(tiny_generator(), tmp_path / "none")


def test_the_shipped_people_belong_to_the_shipped_generator():
    generator = load_generator()
    people = load_people(generator)
    assert len(people.names) >= 4 and people.neutral.shape[1:] == (generator.num_ws, generator.w_dim)
    assert (data_dir() / FILE).stat().st_size < 500_000
