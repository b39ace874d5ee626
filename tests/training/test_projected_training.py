"""The discriminator that looks through VGG-19, and the file from which a run goes on elsewhere."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_run import TINY, Eye, pictures, quiet

from i2s.errors import SettingsError, WeightFileError
from training import train as command
from training.discriminators import Discriminator
from training.export import main as export
from training.features import VGG19
from training.projected import ProjectedDiscriminator, hinge_discriminator, hinge_generator
from training.snapshot import save_snapshot, start_from
from training.trainer import Trainer

SIZES = {
    "conv1_1": (64, 3), "conv1_2": (64, 64), "conv2_1": (128, 64), "conv2_2": (128, 128),
    "conv3_1": (256, 128), "conv3_2": (256, 256), "conv3_3": (256, 256), "conv3_4": (256, 256),
}  # fmt: skip


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    rng = torch.Generator().manual_seed(0)
    tensors = {}
    for name, (wide, narrow) in SIZES.items():
        tensors[f"{name}.weight"] = torch.randn(wide, narrow, 3, 3, generator=rng) * math.sqrt(2 / (9 * narrow))
        tensors[f"{name}.bias"] = torch.zeros(wide)
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def discriminator(vgg_file):
    torch.manual_seed(0)
    return ProjectedDiscriminator(VGG19(vgg_file), 32)


def images(count=4, size=32, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_every_scale_scores_a_grid_of_places(discriminator):
    assert discriminator(images()).shape == (4, 3 * 25)


def test_only_the_heads_learn(discriminator):
    discriminator.zero_grad()
    discriminator(images()).mean().backward()
    learned = {name for name, p in discriminator.named_parameters() if p.grad is not None}
    assert learned and all(name.startswith("heads.") for name in learned)
    assert {id(p) for p in discriminator.trained()} == {
        id(p) for name, p in discriminator.named_parameters() if name in learned
    }


def test_every_head_sends_a_gradient_to_the_picture(discriminator):
    for scale in range(3):
        picture = images().requires_grad_()
        discriminator(picture)[:, 25 * scale : 25 * scale + 25].sum().backward()
        assert float(picture.grad.abs().mean()) > 0


def test_the_vgg_is_not_part_of_the_state(discriminator):
    assert not [name for name in discriminator.state_dict() if "vgg" in name]


def test_hinge_losses_at_known_scores():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert float(hinge_discriminator(real, fake)) == pytest.approx(0.25 + 0.5)  # beyond the margin nothing is paid
    assert float(hinge_generator(fake)) == pytest.approx(1.5)


def make(folder, vgg_file, **changes):
    names = {"resolution": 32, "channels": (8,) * 4, "discriminator_channels": (8,) * 4, "discriminator": "projected"}
    preset = dataclasses.replace(TINY, **names, batch=4, **changes)
    return Trainer(preset, pictures(16, 32), Eye(), folder, vgg=VGG19(vgg_file) if vgg_file else None)


def test_a_projected_run_trains_heads_and_generator_but_not_the_projections(tmp_path, vgg_file):
    run = make(tmp_path, vgg_file, autoencode=0.0, mapping_steps=0, discriminator_lead=0.0, adversarial=0.012)
    before = {name: value.clone() for name, value in run.discriminator.state_dict().items()}
    first = [p.detach().clone() for p in run.generator.parameters()]
    run.train(60, report=quiet)
    after = run.discriminator.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("heads" in name for name in moved) and not any(name.startswith("mix") for name in moved)
    assert any(not torch.equal(a, b) for a, b in zip(first, run.generator.parameters()))


def test_without_vgg_the_preset_says_what_to_give(tmp_path):
    with pytest.raises(SettingsError, match="--vgg"):
        make(tmp_path, None)


def test_an_unknown_discriminator_is_refused(tmp_path, vgg_file):
    with pytest.raises(SettingsError, match="projected"):
        dataclasses.replace(TINY, discriminator="other")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory, vgg_file):
    """A short run and the three files that ship from it."""
    folder = tmp_path_factory.mktemp("shipped")
    run = make(folder / "run", vgg_file, autoencode=0.008, adversarial=0.012)
    run.train(60, report=quiet)
    files = [folder / "snapshot.safetensors", folder / "g.safetensors", folder / "e.safetensors"]
    code = export(
        ["--run", str(folder / "run"), "--snapshot", str(files[0]), "--out", str(files[1]), "--encoder", str(files[2])]
    )
    assert code == 0
    return run, folder, files


def test_a_run_goes_on_from_the_shipped_files(tmp_path, vgg_file, shipped):
    run, _, files = shipped
    other = make(tmp_path, vgg_file, adversarial=0.1)
    start_from(other, *files)
    assert other.state["phase"] == run.state["phase"] and other.state["total"] == run.state["total"]
    for name in ("generator", "discriminator", "average", "encoder"):
        for (key, ours), theirs in zip(
            getattr(other, name).state_dict().items(), getattr(run, name).state_dict().values()
        ):
            if "w_mean" not in key:  # the shipped one is of more samples
                loose = 0.05 if key == "dense.weight" and name == "encoder" else 1e-4  # that matrix has 8 bits
                assert torch.allclose(ours.float(), theirs.float(), rtol=2e-3, atol=loose), (name, key)
    other.state["phase"] = "adversarial"
    other.train(0.5, report=quiet)
    assert other.state["total"] > run.state["total"]


def test_a_snapshot_is_in_half_precision_and_holds_two_networks(shipped):
    stored = load_file(shipped[2][0])
    assert {name[:2] for name in stored} == {"g.", "d."}
    assert {t.dtype for t in stored.values() if t.is_floating_point()} == {torch.float16}


def test_another_preset_a_broken_and_a_foreign_file_are_refused(tmp_path, vgg_file, shipped):
    _, _, files = shipped
    other = make(tmp_path / "a", vgg_file)
    with pytest.raises(WeightFileError, match=r"^\S+ is not a snapshot of a training run: give one"):
        start_from(other, files[1], files[1], files[2])
    lacking = tmp_path / "lacking"
    save_file({"g.a": torch.zeros(1)}, lacking, {"format": "i2s-training-snapshot", "state": "[]"})
    with pytest.raises(WeightFileError, match="again"):
        start_from(other, lacking, files[1], files[2])
    broken = tmp_path / "broken"
    broken.write_bytes(files[0].read_bytes()[:1000])
    with pytest.raises(WeightFileError, match="again"):
        start_from(other, broken, files[1], files[2])
    wider = make(tmp_path / "b", vgg_file, z_dim=8, w_dim=8)
    with pytest.raises(SettingsError, match="preset"):
        start_from(wider, *files)


def test_no_checkpoint_no_snapshot(tmp_path):
    with pytest.raises(SettingsError, match="checkpoint"):
        save_snapshot(tmp_path, tmp_path / "out.safetensors")


def test_the_command_takes_the_weights_of_vgg(tmp_path, capsys):
    code = command.main(
        ["--preset", "cpu-64", "--faces", "f.zip", "--features", str(tmp_path / "none"), "--run", str(tmp_path / "run")]
    )
    assert code != 0 and "SqueezeNet" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["projected", "stylegan2"])
def test_what_was_looked_at_once_is_judged_as_the_image_is(kind, discriminator):
    one = discriminator if kind == "projected" else Discriminator((8, 8, 8, 8))
    one.eval()
    with torch.no_grad():
        assert torch.equal(one.judge(one.look(images())), one(images()))


def test_a_step_looks_at_each_image_once(tmp_path, vgg_file, monkeypatch):
    """Generated images are judged in both moves, and VGG-19, most of a step's work, sees them in the first only."""
    looks = []
    look = ProjectedDiscriminator.look
    monkeypatch.setattr(ProjectedDiscriminator, "look", lambda self, *a: looks.append(self) or look(self, *a))
    run = make(tmp_path, vgg_file)
    run.state["phase"] = "adversarial"
    run._adversarial()
    assert len(looks) == 2  # the generated ones, and the real ones
