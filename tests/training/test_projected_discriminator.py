"""The projected discriminator: heads on frozen VGG-19 features."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import save_file
from tiny_run import PLAIN, TINY, FakeFeatureNet, quiet, random_faces

from i2s.errors import SettingsError
from training.discriminators import Discriminator, ProjectedDiscriminator
from training.features import VGG19
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


def test_projected_discriminator_scores_a_grid_of_places_per_scale(discriminator):
    assert discriminator(images()).shape == (4, 3 * 25)


def test_projected_discriminator_trains_only_its_heads(discriminator):
    discriminator.zero_grad()
    discriminator(images()).mean().backward()
    learned = {name for name, p in discriminator.named_parameters() if p.grad is not None}
    assert learned and all(name.startswith("heads.") for name in learned)
    assert {id(p) for p in discriminator.trainable_parameters()} == {
        id(p) for name, p in discriminator.named_parameters() if name in learned
    }


def test_projected_discriminator_has_a_gradient_from_every_head(discriminator):
    for scale in range(3):
        image = images().requires_grad_()
        discriminator(image)[:, 25 * scale : 25 * scale + 25].sum().backward()
        assert float(image.grad.abs().mean()) > 0


def test_projected_discriminator_state_excludes_vgg(discriminator):
    assert not [name for name in discriminator.state_dict() if "vgg" in name]


def make(folder, vgg_file, **changes):
    channels = dict.fromkeys(("channels", "discriminator_channels", "encoder_channels"), (8,) * 4)
    config = dataclasses.replace(TINY, resolution=32, discriminator="projected", batch=4, **channels, **changes)
    return Trainer(config, random_faces(16, 32), FakeFeatureNet(), folder, vgg=VGG19(vgg_file) if vgg_file else None)


def test_projected_run_trains_heads_and_generator_but_not_the_projections(tmp_path, vgg_file):
    run = make(tmp_path, vgg_file, **PLAIN, adversarial=0.012)
    before = {name: value.clone() for name, value in run.discriminator.state_dict().items()}
    first = [p.detach().clone() for p in run.generator.parameters()]
    run.train(report=quiet)
    after = run.discriminator.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("heads" in name for name in moved) and not any(name.startswith("mix") for name in moved)
    assert any(not torch.equal(a, b) for a, b in zip(first, run.generator.parameters()))


def test_config_without_vgg_says_what_to_give(tmp_path):
    with pytest.raises(SettingsError, match="--vgg"):
        make(tmp_path, None)


@pytest.mark.parametrize("kind", ["projected", "stylegan2"])
def test_head_of_the_features_is_the_discriminator(kind, discriminator):
    one = discriminator if kind == "projected" else Discriminator((8, 8, 8, 8))
    one.eval()
    with torch.no_grad():
        assert torch.equal(one.head(one.features(images())), one(images()))


def test_step_computes_the_features_of_each_image_once(tmp_path, vgg_file, monkeypatch):
    """Both losses need those of generated images, and VGG-19 is most of a step's work."""
    calls = []
    features = ProjectedDiscriminator.features
    monkeypatch.setattr(ProjectedDiscriminator, "features", lambda self, *a: calls.append(self) or features(self, *a))
    run = make(tmp_path, vgg_file)
    run.state["phase"] = "adversarial"
    run._adversarial()
    assert len(calls) == 2  # the generated ones, and the real ones
