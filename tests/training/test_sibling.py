"""The AdaIN generator that learns from a StyleGAN2: the same W, the same pictures."""

import pytest
import torch
from helpers import tiny_generator
from tiny_run import Eye, quiet

from i2s.errors import SettingsError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import save_generator
from training import distill_adain as sibling
from training.checkpoint import save_checkpoint
from training.distill_adain import Distillation, closeness, sibling_of
from training.export import finish


@pytest.fixture(scope="module")
def teacher():
    return tiny_generator().requires_grad_(False)


def test_both_have_the_same_w(teacher):
    z = teacher.sample_z(16, seed=3)
    theirs, ours = teacher.mapping(z), sibling_of(teacher).mapping(z)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert torch.equal(sibling_of(teacher).w_mean, teacher.w_mean)


def test_the_student_learns_to_draw_what_the_teacher_draws(teacher, tmp_path):
    run = Distillation(teacher, Eye(), None, tmp_path, batch=8, dtype=None)
    mapping = [p.clone() for p in run.student.mapping.parameters()]
    seen = [run.step()["reconstruction"] for _ in range(150)]
    assert sum(seen[-30:]) / 30 < 0.6 * sum(seen[:2]) / 2
    assert all(torch.equal(a, b) for a, b in zip(mapping, run.student.mapping.parameters()))


def test_closeness_is_the_error_of_the_images(teacher):
    far = sibling_of(teacher)
    measured = closeness(teacher, far, count=8)
    with torch.no_grad():
        w_plus = teacher.mapping(teacher.sample_z(8, seed=7))
        error = (far.synthesis(w_plus, "none").clamp(-1, 1) - teacher.synthesis(w_plus, "none").clamp(-1, 1)) / 2
    by_hand = (-10 * error.double().square().mean(dim=(1, 2, 3)).log10()).median()
    assert measured["low"] <= measured["median"] <= measured["high"]
    assert measured["low"] - 0.1 <= by_hand <= measured["high"] + 0.1


def test_codes_are_mixed_and_plain(teacher, tmp_path):
    codes = Distillation(teacher, Eye(), None, tmp_path, batch=64, dtype=None).codes()
    mixed = (codes != codes[:, :1]).flatten(1).any(dim=1).float().mean()
    assert 0.2 < float(mixed) < 0.8


def test_a_run_goes_on_and_follows_a_teacher_that_has_learned(teacher, tmp_path):
    run = Distillation(teacher, Eye(), None, tmp_path, batch=8, dtype=None)
    run.train(0.2, report=quiet)
    other = tiny_generator()
    with torch.no_grad():
        other.mapping.layers[0].bias.add_(1.0)
    again = Distillation(other, Eye(), None, tmp_path, batch=8, dtype=None)
    assert again.images == run.images > 0 and (tmp_path / "latest.png").is_file()
    for ours, theirs in zip(again.average.synthesis.parameters(), run.average.synthesis.parameters()):
        assert torch.equal(ours, theirs)
    z = other.sample_z(4, seed=0)
    assert torch.allclose(again.average.mapping(z), other.mapping(z), rtol=1e-4, atol=1e-5)


def test_what_ships_is_a_stylegan1_that_loads(teacher, tmp_path):
    run = Distillation(teacher, Eye(), None, tmp_path, batch=8, dtype=None)
    run.train(0.1, report=quiet)
    file = save_generator(finish(run.average, samples=1000), tmp_path / "sibling.safetensors")
    loaded = load_generator(str(file))
    assert loaded.kind == "stylegan1" and loaded.num_ws == 2 * len(loaded.config.channels)


def test_a_judge_may_join_a_run_that_began_without_one(teacher, tmp_path, monkeypatch):
    run = Distillation(teacher, Eye(), None, tmp_path, batch=8, dtype=None)
    run.train(0.1, report=quiet)
    monkeypatch.setattr(sibling, "ProjectedDiscriminator", lambda vgg, resolution: Judge())
    joined = Distillation(teacher, Eye(), "a VGG", tmp_path, batch=8, dtype=None)
    assert joined.images == run.images
    with torch.no_grad():
        joined.judge.weight.fill_(7.0)
    joined.save()
    again = Distillation(teacher, Eye(), "a VGG", tmp_path, batch=8, dtype=None)
    assert again.judge.weight.tolist() == [7.0]


class Judge(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def trained(self):
        return [self.weight]


def test_a_teacher_of_another_kind_is_refused(teacher):
    with pytest.raises(SettingsError, match="The teacher is a stylegan1: give a StyleGAN2"):
        sibling_of(sibling_of(teacher))


def test_a_run_of_other_networks_is_refused(teacher, tmp_path):
    save_checkpoint(tmp_path, {"g.weight": torch.zeros(1)}, {"images": 32})
    with pytest.raises(WeightFileError, match="holds other networks than the StyleGAN1 of this run"):
        Distillation(teacher, Eye(), None, tmp_path, batch=8, dtype=None)


@pytest.mark.parametrize("rate", [0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused(teacher, tmp_path, rate):
    with pytest.raises(SettingsError, match="The learning rate is .*, but must be above 0"):
        Distillation(teacher, Eye(), None, tmp_path, batch=8, rate=rate, dtype=None)


def test_a_folder_that_cannot_be_made_is_one_sentence(teacher, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"old")
    file = save_generator(teacher, tmp_path / "teacher.safetensors")
    arguments = ["--teacher", str(file), "--features", "none", "--run", str(tmp_path / "file")]
    assert sibling.main(arguments) == 7
    error = capsys.readouterr().err.strip()
    assert "cannot be the folder of results" in error and "\n" not in error
