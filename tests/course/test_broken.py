"""The broken embeddings of lesson 4 show what the lesson says of them, and break nothing else."""

import pytest
import torch
from helpers import TinyEye, targets, tiny_generator

from i2s import embed
from i2s.course.broken import DEFECTS, broken_run, with_noise
from i2s.errors import SettingsError

STEPS = 40


@pytest.fixture(scope="module")
def world():
    """Generator, eye, photo, all four runs, and a sound one."""
    generator, eye = tiny_generator(), TinyEye()
    photo = targets(generator, 1)
    runs = {name: broken_run(name, photo, generator, eye, STEPS) for name in DEFECTS}
    sound = embed(photo, generator, steps=STEPS, learning_rate=0.05, perceptual=eye, progress=False)
    return generator, eye, photo, runs, sound


def test_each_run_starts_as_a_sound_one_does(world):
    *_, runs, sound = world
    for name in "ABD":
        assert runs[name].losses[0] == pytest.approx(sound.loss[0, 0].item(), rel=1e-5)
    assert all(len(run.losses) == STEPS + 1 for run in runs.values())


def test_a_is_thrown_by_its_first_step(world):
    *_, runs, _ = world
    assert runs["A"].losses[1] > 1.5 * runs["A"].losses[0]


def test_b_begins_well_and_swings(world):
    *_, runs, sound = world
    assert runs["B"].losses[1] == pytest.approx(sound.loss[1, 0].item(), rel=1e-4)
    assert runs["B"].losses[2] != pytest.approx(sound.loss[2, 0].item(), rel=1e-4)
    assert max(runs["B"].losses[5:]) > 2 * float(sound.loss[-1])


def test_c_alone_has_several_losses_for_one_code(world):
    *_, runs, _ = world
    for name, run in runs.items():
        assert len(set(run.compared_again)) == (5 if name == "C" else 1), name


def test_d_is_a_sound_search_of_w_plus(world):
    *_, runs, sound = world
    assert runs["D"].losses == pytest.approx(sound.loss[:, 0].tolist(), rel=1e-3)
    assert runs["D"].w_plus.std(dim=1).mean() > 0.01


def test_the_code_and_the_image_belong_together(world):
    generator, _, _, runs, _ = world
    assert torch.allclose(generator.synthesis(runs["B"].w_plus), runs["B"].image, atol=1e-5)


def test_noise_is_switched_on_in_a_copy():
    quiet = tiny_generator()
    for name, parameter in quiet.named_parameters():
        if name.endswith("noise_strength"):
            parameter.zero_()
    noisy, code = with_noise(quiet), quiet.w_mean.expand(1, quiet.num_ws, -1)
    assert torch.equal(quiet.synthesis(code, "const"), quiet.synthesis(code, "none"))
    assert not torch.equal(noisy.synthesis(code, "const"), noisy.synthesis(code, "none"))
    own = tiny_generator()  # a strength that a generator has learned stays
    assert torch.equal(with_noise(own, strength=0.7).synthesis(code), own.synthesis(code))


def test_a_name_that_is_none():
    with pytest.raises(SettingsError, match="A, B, C, D"):
        broken_run("E", torch.zeros(1, 3, 16, 16), tiny_generator(), TinyEye())
