"""The two perceptual networks: the paper's taps, the shipped file, and which of the two is in use."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from helpers import FakeFeatureNet
from safetensors.torch import save_file

from i2s.errors import DeviceError, DownloadError, SettingsError, WeightFileError
from i2s.files import data_dir
from i2s.losses import ImageLoss, Perceptual
from i2s.losses.base import TAP_NAMES
from i2s.losses.perceptual import load_perceptual
from i2s.losses.slim import FILE, SlimConfig, SlimNet, load_slim, save_slim, training_metadata
from i2s.losses.vgg16 import FILE as VGG_FILE
from i2s.losses.vgg16 import LAYERS, VGG16, VGG16Settings, rename

ROOT = Path(__file__).parents[2]


def pictures(count=2, height=32, width=40, seed=0, dtype=torch.float32):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=rng, dtype=dtype) * 2 - 1


@pytest.fixture(scope="module")
def slim():
    return load_slim()


@pytest.fixture(scope="module")
def vgg_state():
    """Random weights under torchvision's names."""
    rng = torch.Generator().manual_seed(0)
    state = {}
    for place, wide, out in LAYERS.values():
        state[f"features.{place}.weight"] = torch.randn(out, wide, 3, 3, generator=rng) * (2 / (9 * wide)) ** 0.5
        state[f"features.{place}.bias"] = torch.randn(out, generator=rng) * 0.1
    return state


# ---- VGG-16 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relu, places", [("before", (0, 2, 12, 19)), ("after", (1, 3, 13, 20))])
@pytest.mark.parametrize("normalize", [False, True])
def test_vgg16_taps_are_those_of_torchvision(vgg_state, relu, places, normalize):
    vgg = pytest.importorskip("torchvision").models.vgg
    plain = vgg.make_layers(vgg.cfgs["D"], batch_norm=False)
    plain.load_state_dict({k.removeprefix("features."): v for k, v in vgg_state.items()}, strict=False)
    for layer in plain:
        layer.inplace = False
    images = pictures()
    x = (images + 1) / 2
    if normalize:
        mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
        x = (x - mean) / deviation
    expected = []
    for place, layer in enumerate(plain):
        x = layer(x)
        if place in places:
            expected.append(x)

    net = VGG16(VGG16Settings(relu=relu, normalize=normalize))
    net.load_state_dict(rename(vgg_state))
    found = net.features(images)
    assert len(found) == 4
    for ours, theirs in zip(found, expected):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_vgg16_ends_at_the_last_tap():
    assert list(LAYERS)[-1] == "conv4_2"
    shapes = [tuple(t.shape) for t in VGG16().features(pictures(1, 32, 48))]
    assert shapes == [(1, 64, 32, 48), (1, 64, 32, 48), (1, 256, 8, 12), (1, 512, 4, 6)]


def test_vgg16_reduces_large_images_and_never_enlarges_small_ones():
    net = VGG16(VGG16Settings(size=32))
    assert net.features(pictures(1, 64, 96))[0].shape[2:] == (32, 48)
    assert net.features(pictures(1, 24, 24))[0].shape[2:] == (24, 24)
    images = pictures(1, 64, 96)
    by_hand = F.interpolate(images, (32, 48), mode="bicubic", antialias=True)
    torch.testing.assert_close(net.features(images), net.features(by_hand))
    assert VGG16(VGG16Settings(size=None)).features(images)[0].shape[2:] == (64, 96)


@pytest.mark.parametrize("settings", [{"relu": "both"}, {"size": 8}])
def test_vgg16_settings_out_of_range(settings):
    with pytest.raises(SettingsError, match=next(iter(settings))):
        VGG16Settings(**settings)


def test_vgg16_says_what_goes_in():
    assert "after the ReLU; input [0, 1], not normalised, reduced to 256 px" in VGG16().describe()
    text = VGG16(VGG16Settings(relu="before", normalize=True, size=None)).describe()
    assert "before the ReLU; input ImageNet normalisation, at full size" in text


def test_vgg16_file_is_the_one_torchvision_fetches():
    models = pytest.importorskip("torchvision").models
    assert models.VGG16_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1] == VGG_FILE


def test_vgg16_from_the_cache(torch_cache, vgg_state):
    pytest.importorskip("torchvision")
    torch.save(vgg_state, torch_cache / VGG_FILE)
    net = load_perceptual("vgg16", size=None)
    assert torch.equal(net.conv4_2.weight, vgg_state["features.19.weight"])
    assert net.settings.size is None and not any(p.requires_grad for p in net.parameters())


def test_vgg16_without_network_is_one_sentence(torch_cache):
    pytest.importorskip("torchvision")
    with pytest.raises(DownloadError) as caught:
        load_perceptual("vgg16")
    text = str(caught.value)
    assert "Name or service not known" in text and "perceptual='slim'" in text
    assert f"put {VGG_FILE} into {torch_cache}" in text and "\n" not in text


def test_vgg16_behind_a_dead_proxy(tmp_path):
    """The real way to the network, in a process of its own, through a proxy that is not there."""
    pytest.importorskip("torchvision")
    program = "from i2s.losses.perceptual import load_perceptual\nload_perceptual('vgg16')"
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **dead, "no_proxy": "", "TORCH_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1].startswith("i2s.errors.DownloadError: VGG-16's weights could not be fetched (")
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize("content", [b"", b"<html>sign in</html>", "cut", "other"])
def test_vgg16_broken_in_the_cache(torch_cache, vgg_state, content):
    pytest.importorskip("torchvision")
    file = torch_cache / VGG_FILE
    if content == "other":
        torch.save({"features.0.weight": torch.zeros(1)}, file)
    elif content == "cut":
        torch.save(vgg_state, file)
        file.write_bytes(file.read_bytes()[:10000])
    else:
        file.write_bytes(content)
    with pytest.raises(WeightFileError, match="remove it") as caught:
        load_perceptual("vgg16")
    assert str(file) in str(caught.value)


# ---- the slim network -----------------------------------------------------------------------------------------------


def test_slim_ships_in_3_mb():
    assert (data_dir() / FILE).stat().st_size <= 3e6
    assert (data_dir() / FILE).with_suffix(".md").is_file()


def test_slim_has_four_taps_at_the_papers_resolutions(slim):
    shapes = [tuple(t.shape[2:]) for t in slim.features(pictures(2, 64, 96))]
    assert shapes == [(64, 96), (64, 96), (16, 24), (8, 12)]
    assert [t.shape[2:] for t in slim.features(pictures(1, 17, 23))][-1] == (2, 2)  # odd sizes: rounded down


def test_slim_is_deterministic_and_frozen(slim):
    images = pictures()
    first, again, anew = slim.features(images), slim(images), load_perceptual("slim").features(images)
    for a, b, c in zip(first, again, anew):
        assert torch.equal(a, b) and torch.equal(a, c) and torch.isfinite(a).all() and a.abs().max() > 0.01
    assert not any(p.requires_grad for p in slim.parameters()) and not slim.training


def test_slim_leaves_the_photo_alone_and_passes_gradients_on(slim):
    images = pictures().requires_grad_()
    sum(t.square().sum() for t in slim.features(images)).backward()
    assert images.grad.abs().min(dim=1).values.gt(0).float().mean() > 0.99  # all pixels are seen


@hypothesis.given(seed=st.integers(0, 999), count=st.integers(1, 3), side=st.integers(16, 40))
@hypothesis.settings(max_examples=10, deadline=None)
def test_slim_sees_each_image_by_itself(slim, seed, count, side):
    images = pictures(count + 1, side, side, seed)
    for together, alone in zip(slim.features(images), slim.features(images[:1])):
        torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", [SlimNet(SlimConfig((2, 2, 2, 2), (1, 1, 1, 1))), VGG16()], ids=["slim", "vgg16"])
@pytest.mark.parametrize(
    "images",
    [torch.zeros(3, 32, 32), torch.zeros(1, 1, 32, 32), torch.zeros(1, 3, 8, 32), torch.zeros(1, 3, 32, 32).byte()],
    ids=["no batch", "grey", "small", "bytes"],
)
def test_images_of_another_shape(net, images):
    with pytest.raises(SettingsError, match=r"it takes float images \[N, 3, H, W\] of at least 16 px"):
        net.features(images)


def test_slim_file_there_and_back(tmp_path):
    net = SlimNet(SlimConfig((4, 4, 4, 4), (2, 3, 4, 5)))
    file = tmp_path / "net.safetensors"
    assert save_slim(net, file, {"steps": 1}) == file and training_metadata(file) == {"steps": 1}
    for a, b in zip(net.half().float().features(pictures()), load_slim(file).features(pictures())):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("content", ["missing", "empty", "text", "cut", "other", "newer", "fewer"])
def test_slim_file_that_is_unusable(tmp_path, content):
    file = tmp_path / "net.safetensors"
    whole = save_slim(SlimNet(SlimConfig((4,) * 4, (2,) * 4)), tmp_path / "whole.safetensors", {}).read_bytes()
    if content == "other":
        save_file({"w": torch.zeros(1)}, file)
    elif content == "fewer":
        header = {"format": "i2s-perceptual", "version": "1", "config": "{}"}
        save_file({"conv1_1.weight": torch.zeros(32, 3, 3, 3)}, file, header)
    elif content != "missing":
        newer = whole.replace(b'"version":"1"', b'"version":"9"')
        assert newer != whole
        file.write_bytes({"empty": b"", "text": b"hello" * 9, "cut": whole[:-100], "newer": newer}[content])
    with pytest.raises(WeightFileError, match="update i2s" if content == "newer" else "install i2s again") as caught:
        load_slim(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"channels": (1, 2, 3)}, {"taps": (1, 2, 3, 0)}])
def test_slim_config_out_of_range(changes):
    with pytest.raises(SettingsError, match=next(iter(changes))):
        SlimConfig(**changes)


# ---- which one ------------------------------------------------------------------------------------------------------


def test_auto_is_slim_without_the_file_and_says_so(torch_cache):
    net = load_perceptual()
    assert net.name == "slim" and "slim" in net.describe()
    assert "VGG-16 is not in torch's cache" in net.describe()


def test_auto_is_vgg16_with_the_file_and_says_so(torch_cache, vgg_state):
    pytest.importorskip("torchvision")
    torch.save(vgg_state, torch_cache / VGG_FILE)
    net = load_perceptual("auto", relu="before")
    assert net.name == "vgg16" and net.settings.relu == "before"
    assert "its weights are in torch's cache" in net.describe()


def test_what_was_asked_for_is_not_swapped(torch_cache, vgg_state):
    torch.save(vgg_state, torch_cache / VGG_FILE)
    net = load_perceptual("slim")
    assert net.name == "slim" and "chosen" not in net.describe()


def test_unknown_names_and_settings():
    with pytest.raises(SettingsError, match="'auto', 'vgg16', 'slim'"):
        load_perceptual("alexnet")
    with pytest.raises(SettingsError, match="takes no settings, but got relu"):
        load_perceptual("slim", relu="before")
    with pytest.raises(SettingsError, match="has no setting layers: it takes relu, normalize"):
        load_perceptual("vgg16", layers=3)


@pytest.mark.parametrize("name", ["slim", "auto"])
def test_a_device_that_is_not_there_is_one_sentence(torch_cache, name):
    for device in ("cuda:77", "gpu"):
        with pytest.raises(DeviceError, match=f"slim cannot be put on {device} .*: choose another device.") as caught:
            load_perceptual(name, device)
        assert "\n" not in str(caught.value)


def test_vgg16_is_not_fetched_where_downloads_are_forbidden(torch_cache, vgg_state, monkeypatch):
    monkeypatch.setenv("I2S_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("asked the network"))
    with pytest.raises(DownloadError, match="I2S_OFFLINE forbids downloads: unset it, choose perceptual='slim'"):
        load_perceptual("vgg16")
    torch.save(vgg_state, torch_cache / VGG_FILE)
    assert load_perceptual("vgg16").name == "vgg16"  # what is there may be used


def test_a_network_that_does_not_say_how_it_was_trained(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    header = {"format": "i2s-perceptual", "version": "1"}
    save_file({"a": torch.zeros(1)}, tmp_path / "silent.safetensors", header)
    says = {"none": "no file", "text": "broken", "other": "is not a", "silent": "does not say how it was trained"}
    for name, message in says.items():
        with pytest.raises(WeightFileError, match=message):
            training_metadata(tmp_path / f"{name}.safetensors")


def test_torchvision_is_imported_for_vgg16_only():
    program = "import sys, i2s.losses\nfrom i2s.losses.perceptual import load_perceptual\nload_perceptual('slim')\n"
    program += "import i2s.losses.vgg16\nassert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=120)


def test_large_images_are_seen_at_256_px():
    """At 1024 px a step would otherwise spend most of its time and memory on what no port looks at."""
    net = load_slim()
    images = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(3)) * 2 - 1
    small = F.interpolate(images, (256, 256), mode="bicubic", antialias=True)
    for ours, theirs in zip(net.features(images), net.features(small)):
        assert torch.equal(ours, theirs)


# ---- how far the network runs ---------------------------------------------------------------------------------------


def layers_run(net, call):
    """Names of the convolutions that a call runs."""
    seen = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, part in net.named_children()
        if name.startswith("conv")
    ]
    call()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("make", [SlimNet, VGG16], ids=["slim", "vgg16"])
@pytest.mark.parametrize(
    "weights, last", [((1, 0, 0, 0), 1), ((0, 1, 0, 0), 2), ((1, 1, 0.5, 0), 6), ((0, 0, 0, 1), 8)]
)
def test_the_network_ends_at_the_last_tap_of_a_weight(make, weights, last):
    """The values are those of the whole network."""
    net = make().requires_grad_(False)
    last += make is VGG16 and last > 6  # VGG has a third layer in its third block
    a, b = pictures(1, 16, 16, 1), pictures(1, 16, 16, 2)
    term = Perceptual(net, weights)
    assert len(layers_run(net, lambda: term.prepare(b))) == last
    assert len(layers_run(net, lambda: term(a, term.prepare(b)))) == 2 * last
    whole = Perceptual(net)
    expected = whole(a, whole.prepare(b))
    for name, found in term(a, term.prepare(b)).items():
        torch.testing.assert_close(found, term.weights[name] * expected[name])


def test_a_network_of_a_users_own_need_not_know_where_to_stop():
    term = Perceptual(FakeFeatureNet(), (1, 0, 0, 0))
    images = pictures()
    assert set(term(images, term.prepare(images))) == {"conv1_1"}


def test_taps_of_image2stylegan_plus_plus():
    taps = ("conv1_1", "conv1_2", "conv2_2", "conv3_3")
    torch.manual_seed(0)
    net = VGG16(VGG16Settings(taps=taps)).requires_grad_(False)
    term = Perceptual(net)
    images = pictures(1, 32, 32)
    assert tuple(term(images, term.prepare(images))) == taps
    assert [tuple(x.shape[1:]) for x in net.features(images)] == [
        (64, 32, 32),
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
    ]
    assert layers_run(net, lambda: net.features(images))[-1] == "conv3_3"
    assert "conv2_2" in net.describe() and "conv4_2" not in VGG16().describe()


@pytest.mark.parametrize("taps", [(), ("conv5_1",), ("conv1_2", "conv1_1"), ("conv1_1", "conv1_1")])
def test_taps_that_vgg16_does_not_have(taps):
    with pytest.raises(SettingsError, match="taps is"):
        VGG16Settings(taps=taps)


def test_as_many_weights_as_taps():
    with pytest.raises(SettingsError, match="There are 2 taps, but 4"):
        Perceptual(VGG16(VGG16Settings(taps=("conv1_1", "conv4_2"))))


def test_half_precision_images_are_reduced_too():
    """torch has no antialiased filter for bfloat16 on the CPU."""
    net = load_slim().bfloat16()
    assert net.features(pictures(1, 300, 300).bfloat16(), 1)[0].shape[2:] == (256, 256)


@hypothesis.given(seed=st.integers(0, 10_000))
@hypothesis.settings(max_examples=15, deadline=None)
def test_perceptual_is_zero_exactly_where_the_features_are_equal(seed):
    """Pixels that no tap depends on change the pixel term alone."""
    net = FakeFeatureNet()
    net.kernels = [kernel * torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1) for kernel in net.kernels]  # blind to blue
    loss, a = ImageLoss(net), pictures(seed=seed)
    b = a.clone()
    b[:, 2] = pictures(seed=seed + 1)[:, 2]
    terms = loss(a, loss.prepare(b))
    assert all((terms[name] == 0).all() for name in TAP_NAMES) and (terms["mse"] > 0).all()
