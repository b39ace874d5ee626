"""A StyleGAN1 distilled from a StyleGAN2: the same W, the same images."""

import pytest
import torch
from helpers import small_generator
from tiny_run import FakeFeatureNet, quiet

from i2s.errors import SettingsError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import save_generator
from training import distill_adain
from training.__main__ import main
from training.checkpoint import save_checkpoint
from training.distill_adain import AdainDistillation, psnr_quantiles, student_from_teacher
from training.export import finalize


@pytest.fixture(scope="module")
def teacher():
    return small_generator().requires_grad_(False)


def test_student_has_the_teachers_w(teacher):
    z = teacher.sample_z(16, seed=3)
    theirs, ours = teacher.mapping(z), student_from_teacher(teacher).mapping(z)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert torch.equal(student_from_teacher(teacher).w_mean, teacher.w_mean)


def test_student_learns_the_teachers_images(teacher, tmp_path):
    run = AdainDistillation(teacher, FakeFeatureNet(), None, tmp_path, batch=8, dtype=None)
    mapping = [p.clone() for p in run.student.mapping.parameters()]
    seen = [run.step()["reconstruction"] for _ in range(150)]
    assert sum(seen[-30:]) / 30 < 0.6 * sum(seen[:2]) / 2
    assert all(torch.equal(a, b) for a, b in zip(mapping, run.student.mapping.parameters()))


def test_psnr_quantiles_are_those_of_the_images(teacher):
    far = student_from_teacher(teacher)
    measured = psnr_quantiles(teacher, far, count=8)
    with torch.no_grad():
        w_plus = teacher.mapping(teacher.sample_z(8, seed=7))
        error = (far.synthesis(w_plus, "none").clamp(-1, 1) - teacher.synthesis(w_plus, "none").clamp(-1, 1)) / 2
    by_hand = (-10 * error.double().square().mean(dim=(1, 2, 3)).log10()).median()
    assert measured["low"] <= measured["median"] <= measured["high"]
    assert measured["low"] - 0.1 <= by_hand <= measured["high"] + 0.1


def test_codes_are_mixed_and_plain(teacher, tmp_path):
    codes = AdainDistillation(teacher, FakeFeatureNet(), None, tmp_path, batch=64, dtype=None).codes()
    mixed = (codes != codes[:, :1]).flatten(1).any(dim=1).float().mean()
    assert 0.2 < float(mixed) < 0.8


def test_run_goes_on_and_follows_a_teacher_that_was_trained_further(teacher, tmp_path):
    run = AdainDistillation(teacher, FakeFeatureNet(), None, tmp_path, batch=8, dtype=None)
    run.train(0.2, report=quiet)
    other = small_generator()
    with torch.no_grad():
        other.mapping.layers[0].bias.add_(1.0)
    again = AdainDistillation(other, FakeFeatureNet(), None, tmp_path, batch=8, dtype=None)
    assert again.images == run.images > 0 and (tmp_path / "latest.png").is_file()
    for ours, theirs in zip(again.g_ema.synthesis.parameters(), run.g_ema.synthesis.parameters()):
        assert torch.equal(ours, theirs)
    z = other.sample_z(4, seed=0)
    assert torch.allclose(again.g_ema.mapping(z), other.mapping(z), rtol=1e-4, atol=1e-5)


def test_exported_student_is_a_stylegan1_that_loads(teacher, tmp_path):
    run = AdainDistillation(teacher, FakeFeatureNet(), None, tmp_path, batch=8, dtype=None)
    run.train(0.1, report=quiet)
    file = save_generator(finalize(run.g_ema, samples=1000), tmp_path / "student.safetensors")
    loaded = load_generator(str(file))
    assert loaded.kind == "stylegan1" and loaded.num_ws == 2 * len(loaded.config.channels)


def test_discriminator_may_join_a_run_that_began_without_one(teacher, tmp_path, monkeypatch):
    run = AdainDistillation(teacher, FakeFeatureNet(), None, tmp_path, batch=8, dtype=None)
    run.train(0.1, report=quiet)
    monkeypatch.setattr(distill_adain, "ProjectedDiscriminator", lambda vgg, resolution: FakeDiscriminator())
    joined = AdainDistillation(teacher, FakeFeatureNet(), "a VGG", tmp_path, batch=8, dtype=None)
    assert joined.images == run.images
    with torch.no_grad():
        joined.discriminator.weight.fill_(7.0)
    joined.save()
    again = AdainDistillation(teacher, FakeFeatureNet(), "a VGG", tmp_path, batch=8, dtype=None)
    assert again.discriminator.weight.tolist() == [7.0]


class FakeDiscriminator(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def trainable_parameters(self):
        return [self.weight]


def test_teacher_of_another_kind_is_refused(teacher):
    with pytest.raises(SettingsError, match="The teacher is a stylegan1: give a StyleGAN2"):
        student_from_teacher(student_from_teacher(teacher))


def test_run_of_other_networks_is_refused(teacher, tmp_path):
    save_checkpoint(tmp_path, {"g.weight": torch.zeros(1)}, {"images": 32})
    with pytest.raises(WeightFileError, match="holds other networks than the StyleGAN1 of this run"):
        AdainDistillation(teacher, FakeFeatureNet(), None, tmp_path, batch=8, dtype=None)


@pytest.mark.parametrize("rate", [0, -0.1, float("nan")])
def test_rate_that_is_not_above_0_is_refused(teacher, tmp_path, rate):
    with pytest.raises(SettingsError, match="The learning rate is .*, but must be above 0"):
        AdainDistillation(teacher, FakeFeatureNet(), None, tmp_path, batch=8, rate=rate, dtype=None)


def test_impossible_folder_is_one_sentence(teacher, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"old")
    file = save_generator(teacher, tmp_path / "teacher.safetensors")
    arguments = ["--teacher", str(file), "--features", "none", "--run", str(tmp_path / "file"), "--minutes", "1"]
    assert main(["distill-adain", *arguments]) == 7
    error = capsys.readouterr().err.strip()
    assert "cannot be the folder of results" in error and "\n" not in error
