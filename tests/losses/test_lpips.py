"""LPIPS: the numbers of the package, the photos' features once, and one sentence where something is missing."""

import builtins
import warnings

import pytest
import torch
from safetensors.torch import load_file
from terms import SmallLPIPS, pictures

from i2s.errors import DownloadError, SettingsError, WeightFileError
from i2s.images import load_photos
from i2s.losses import LPIPS
from i2s.losses.lpips import load_lpips

lpips = pytest.importorskip("lpips")


def random_lpips(net):
    """The package's network with its learned weights on random features."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def squeeze(shared):
    """The package's network with trained features: SqueezeNet 1.1 as its authors published it.

    Not the published LPIPS: its weights were learned on torchvision's training of this network. But of trained
    features under weights of at least 0 the distance is as real.
    """
    path = shared / "perceptual" / "squeezenet1.1-features-fp16.safetensors"
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    model = random_lpips("squeeze")
    places = {"0": "conv1"} | {str(place): f"fire{k}" for k, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12))}
    own = {}
    for name in model.net.state_dict():  # slice2.3.expand1x1.weight: fire2.expand1x1.weight
        _, place, rest = name.split(".", 2)
        own[name] = state[f"{places[place]}.{rest.replace('squeeze.', 'squeeze1x1.')}"]
    # the first layer takes BGR in 0..255 less a mean; here come RGB with ImageNet's mean and deviation
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    weight, offset = state["conv1.weight"].flip(1), 255 * mean - torch.tensor([123.68, 116.779, 103.939])
    own["slice1.0.weight"] = weight * (255 * std)[:, None, None]
    own["slice1.0.bias"] = state["conv1.bias"] + (weight * offset[:, None, None]).sum(dim=(1, 2, 3))
    model.net.load_state_dict(own)
    return model


def test_the_trained_features_are_those_of_the_file(squeeze, shared):
    """The fixture itself, against another reader of this file."""
    from training.features import SqueezeNet

    images = pictures(1, 64, dtype=torch.float32)
    ours = squeeze.net(squeeze.scaling_layer(images))
    theirs = SqueezeNet(shared / "perceptual" / "squeezenet1.1-features-fp16.safetensors")(images)
    torch.testing.assert_close(ours[-1], theirs[-1], rtol=0.02, atol=0.02 * float(theirs[-1].max()))


def distance(term, images, targets):
    return term(images, term.prepare(targets))["lpips"]


@pytest.mark.parametrize("net", ["vgg", "alex", "squeeze"])
def test_the_numbers_of_the_package(net):
    model = random_lpips(net)
    a, b = (pictures(2, 48, seed, torch.float32) for seed in (1, 2))
    torch.testing.assert_close(distance(LPIPS(model, 2.0), a, b), 2 * model(a, b).flatten(), rtol=1e-4, atol=1e-6)


def test_with_trained_features_on_photos(squeeze, shared):
    """As the package has it; larger for a stronger blur, largest for another person."""
    names = ("010-neutral", "010-smiling", "011-neutral")
    photos = load_photos([shared / "targets" / f"{name}.jpg" for name in names], 64)
    photo, smiling, other = photos.split(1)
    term = LPIPS(squeeze)
    small = torch.nn.functional.interpolate
    blurred = [small(small(photo, size, mode="area"), 64, mode="bilinear") for size in (32, 16, 8)]
    found = torch.stack([distance(term, x, photo)[0] for x in (photo, *blurred)])
    assert found[0] == 0 and (found.diff() > 0).all()
    assert distance(term, smiling, photo) < distance(term, other, photo)
    both = torch.cat([smiling, other])
    twice = photo.expand(2, -1, -1, -1)
    torch.testing.assert_close(distance(term, both, twice), squeeze(both, twice).flatten(), rtol=1e-4, atol=1e-6)


def test_large_images_are_reduced_and_small_ones_never_enlarged():
    seen = []
    model = SmallLPIPS().float()
    model.net.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[2:])))
    for size, side in ((64, 96), (64, 40), (None, 96)):
        LPIPS(model, size=size).prepare(pictures(1, side, dtype=torch.float32))
    assert seen == [(64, 64), (40, 40), (96, 96)]


def test_features_of_the_photo_are_computed_once():
    """Defect 8; the package's own call computes them every time."""
    calls = []
    model = SmallLPIPS().float()
    model.net.register_forward_pre_hook(lambda *_: calls.append(1))
    term = LPIPS(model)
    prepared = term.prepare(pictures(dtype=torch.float32).requires_grad_())
    assert len(calls) == 1 and not any(x.requires_grad for x in prepared)
    for _ in range(3):
        term(pictures(dtype=torch.float32), prepared)
    assert len(calls) == 4


def test_a_place_without_any_feature_has_a_gradient():
    """Where all channels are 0, without a ReLU that would stop the gradient there anyway."""
    model = SmallLPIPS()
    model.net.forward = lambda x: (
        torch.cat([x * 0, x[:, :2]], dim=1) * (x[:, :1] > 0),
        model.net.second(model.net.first(x)),
    )
    images = pictures().requires_grad_()
    distance(LPIPS(model), images, pictures(seed=1)).sum().backward()
    assert images.grad.isfinite().all() and images.grad.abs().max() > 0


def test_no_network_is_one_sentence(torch_cache):
    for net in ("vgg", "alex", "squeeze"):
        with pytest.raises(DownloadError, match="could not be fetched .Name or service not known") as caught:
            LPIPS(net)
        assert "\n" not in str(caught.value) and "slim" in str(caught.value)


def test_a_broken_file_in_the_cache_is_one_sentence(torch_cache):
    (torch_cache / "squeezenet1_1-b8a52dc0.pth").write_bytes(b"cut off")
    with pytest.raises(WeightFileError, match="checkpoints is broken: remove it"):
        LPIPS("squeeze")


def test_from_the_cache(torch_cache):
    """And without a word on the screen about deprecated names."""
    import torchvision

    torch.manual_seed(0)
    net = torchvision.models.squeezenet1_1(weights=None)
    torch.save(net.state_dict(), torch_cache / "squeezenet1_1-b8a52dc0.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = load_lpips("squeeze")
    assert torch.equal(model.net.slice1[0].weight, net.features[0].weight)
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_without_the_package(monkeypatch):
    plain = builtins.__import__

    def refuse(name, *rest):
        if name.split(".")[0] == "lpips":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SettingsError, match='pip install "i2s.lpips."'):
        LPIPS("vgg")


def test_settings_out_of_range():
    for make in (lambda: LPIPS("vgg19"), lambda: LPIPS(SmallLPIPS(), -1), lambda: LPIPS(SmallLPIPS(), size=16)):
        with pytest.raises(SettingsError):
            make()
    with pytest.raises(SettingsError, match="32 px"):
        LPIPS(SmallLPIPS()).prepare(pictures(1, 24))


def test_photos_in_float64_are_compared_in_float64():
    """As in a search by a generator in float64."""
    photos = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    term = LPIPS(random_lpips("squeeze"))
    value = term(photos.flip(3), term.prepare(photos))["lpips"]
    assert value.dtype == torch.float64
