"""Files that the trade has beside the official ones, as real pickles and archives: read, or named as what they are."""

import pickle
from collections import OrderedDict
from dataclasses import replace

import makers
import numpy as np
import pytest
import torch
import trees
from helpers import CONFIGS, small_generator
from PIL import Image
from torch import nn

from i2s.cli import main
from i2s.errors import SettingsError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import read_metadata, save_generator

TREES = {
    "ada": (trees.CONFIG2, lambda g: trees.ada(g, 64, 10)),
    "ada-flat": (trees.CONFIG2, lambda g: trees.ada(g, 64, 10, flat=True)),
    "stylegan3": (trees.CONFIG3, trees.stylegan3),
    "tf-stylegan1": (trees.CONFIG1, lambda g: trees.tensorflow(g, 32, 10)),
    "tf-stylegan2": (trees.PLAIN2, lambda g: trees.tensorflow(g, 32, 10)),
    "rosinality": (replace(trees.PLAIN2, scaled_epsilon=True), trees.rosinality),
}
TORCH = ("ada", "ada-flat", "stylegan3")
FORMS = {  # one generator saved alone
    "torch.save": makers.torch_file,
    "torch.save before 1.6": lambda network: makers.torch_file(network, legacy=True),
    "torch.save in a dictionary": lambda network: makers.torch_file({"G_ema": network}),
    "pickle 2": lambda network: makers.dump(network, 2),
    "pickle 4": lambda network: makers.dump(network, 4),
}


def written(tmp_path, tree):
    """A file with the objects that an object graph describes."""
    path = tmp_path / "network.pt"
    tensors = isinstance(tree, dict) and not any(type(value).__name__ == "PersistentObject" for value in tree.values())
    path.write_bytes(makers.torch_file(tree) if tensors else makers.dump(makers.official(tree)))
    return path


def assert_same(result, source):
    assert result.config == source.config
    for name, tensor in source.state_dict().items():
        torch.testing.assert_close(result.state_dict()[name], tensor, rtol=0, atol=1e-6)


# Width of the mapping network


@pytest.mark.parametrize("width", [5, 11, 512])
@pytest.mark.parametrize("case", TREES)
def test_hidden_width_of_the_mapping_network_is_read(case, width, tmp_path):
    config, build = TREES[case]
    source = small_generator(replace(config, mapping_layers=3, mapping_width=width))
    result = load_generator(written(tmp_path, build(source)))
    assert [len(layer.bias) for layer in result.mapping.layers] == [width, width, 8]
    assert_same(result, source)
    z = source.sample_z(2, seed=0)
    torch.testing.assert_close(result(z), source(z), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ["ada", "stylegan3", "tf-stylegan2"])
def test_hidden_width_that_is_that_of_w_is_no_setting(case, tmp_path):
    config, build = TREES[case]
    tree = build(small_generator(replace(config, mapping_width=8)))
    assert load_generator(written(tmp_path, tree)).config.mapping_width is None


@pytest.mark.parametrize("case", ["ada", "tf-stylegan2"])
def test_hidden_width_of_a_single_layer_says_nothing(case, tmp_path):
    config, build = TREES[case]
    source = small_generator(replace(config, mapping_layers=1))
    tree = build(source)
    if case == "ada":
        trees.modules(tree)[""].state["_init_kwargs"]["mapping_kwargs"]["layer_features"] = 99
    else:
        for network in (tree[2], *tree[2].state["components"].values()):
            network.state["static_kwargs"]["mapping_fmaps"] = 99
    assert_same(load_generator(written(tmp_path, tree)), source)


# Grey networks


@pytest.mark.parametrize("case", TREES)
def test_grey_networks_draw_three_equal_channels(case, tmp_path):
    config, build = TREES[case]
    source = small_generator(config)
    tree = build(source)
    if case in TORCH:
        trees.make_grey(tree)
    elif case == "rosinality":
        for name, value in tree["g_ema"].items():
            if name.startswith("to_rgb") and name.endswith(("conv.weight", "bias")) and "modulation" not in name:
                tree["g_ema"][name] = value[:, :1]
    else:
        trees.make_grey_tensorflow(tree)
    w_plus = torch.randn(2, source.num_ws, 8)
    image = load_generator(written(tmp_path, tree)).synthesis(w_plus)
    expected = source.synthesis(w_plus)[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(image, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ["ada", "stylegan3", "tf-stylegan1", "tf-stylegan2"])
@pytest.mark.parametrize(
    ("count", "reason"), [(4, "transparency"), (2, "with 2 channels"), (1.5, "1.5"), (True, "True")]
)
def test_other_channels_are_named(case, count, reason, tmp_path):
    config, build = TREES[case]
    tree = build(small_generator(config))
    if case in TORCH:
        trees.modules(tree)[""].state["_init_kwargs"]["img_channels"] = count
    else:
        for network in (tree[2], *tree[2].state["components"].values()):
            network.state["static_kwargs"]["num_channels"] = count
    with pytest.raises(WeightFileError, match=reason):
        load_generator(written(tmp_path, tree))


# Classes


def official_mapping(tree, z, class_idx):
    """The mapping network of a conditional file, written out."""
    found = trees.modules(tree)

    def linear(path, x):
        state = found[path].state
        parameters = state["_parameters"]
        return x @ parameters["weight"].T * state["weight_gain"] + parameters["bias"] * state["bias_gain"]

    def normalized(x):
        return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()

    label = torch.eye(found[""].state["c_dim"])[class_idx].expand(len(z), -1)
    x = torch.cat([normalized(z), normalized(linear("mapping.embed", label))], dim=1)
    for k in range(2):
        x = nn.functional.leaky_relu(linear(f"mapping.fc{k}", x), 0.2) * 2**0.5
    return x


@pytest.mark.parametrize("embedding", [None, 5])
@pytest.mark.parametrize("case", TORCH)
def test_class_of_a_conditional_network_is_drawn(case, embedding, tmp_path):
    config, build = TREES[case]
    tree = build(small_generator(config))
    trees.make_conditional(tree, 10, embedding)
    path = written(tmp_path, tree)
    z = torch.randn(4, 6)
    for class_idx in (0, 9, np.int64(3)):
        generator = load_generator(path, class_idx=class_idx)
        torch.testing.assert_close(
            generator.mapping.to_w(z), official_mapping(tree, z, class_idx), rtol=1e-4, atol=1e-4
        )
    again = load_generator(save_generator(generator, tmp_path / "class.safetensors", half=False))
    assert torch.equal(again(z), generator(z))


def test_class_is_asked_for_and_checked(tmp_path):
    plain = small_generator("skip")
    tree = trees.ada(small_generator(trees.CONFIG2), 64, 10)
    trees.make_conditional(tree, 10)
    path = written(tmp_path, tree)
    with pytest.raises(WeightFileError, match="conditional.* 10 classes .*class_idx=K.* from 0 to 9"):
        load_generator(path)
    for wrong in (10, -1, 1.5, "3", True):
        with pytest.raises(SettingsError, match="class_idx"):
            load_generator(path, class_idx=wrong)
    unconditional = [save_generator(plain, tmp_path / "g.safetensors")]
    for name, build in (("a.pkl", trees.PLAIN2), ("b.pkl", trees.CONFIG3)):
        tree = trees.tensorflow(small_generator(build), 32, 10) if name == "a.pkl" else trees.stylegan3(
            small_generator(build)
        )  # fmt: skip
        unconditional.append(tmp_path / name)
        unconditional[-1].write_bytes(makers.dump(makers.official(tree)))
    for path in unconditional:
        with pytest.raises(SettingsError, match="no classes"):
            load_generator(path, class_idx=0)


def test_class_is_given_to_the_command(tmp_path, capsys):
    tree = trees.ada(small_generator(trees.CONFIG2), 64, 10)
    trees.make_conditional(tree, 10)
    path = written(tmp_path, tree)
    Image.new("RGB", (32, 32)).save(tmp_path / "p.png")
    photo, out = str(tmp_path / "p.png"), tmp_path / "three.safetensors"
    given = ["--generator", str(path)]
    convert = ["convert", str(path), str(out)]
    for run in (
        ["info", *given],
        ["embed", photo, *given, "-o", str(tmp_path)],
        ["morph", photo, photo, *given],
        convert,
    ):
        assert main(run) == WeightFileError.exit_code
        assert "--class K, K from 0 to 9" in capsys.readouterr().err
    assert main(["info", *given, "--class", "3"]) == 0
    assert f"{path.stem}, class 3 (stylegan2" in capsys.readouterr().out
    assert main([*convert, "--class", "10"]) == SettingsError.exit_code and not out.exists()
    assert main([*convert, "--class", "3"]) == 0 and read_metadata(out)["class"] == "3"
    three = load_generator(out)
    z = three.sample_z(2, 0)
    assert torch.equal(three(z), load_generator(path, class_idx=3)(z))
    assert not torch.equal(three(z), load_generator(path, class_idx=4)(z))
    assert main(["info", "--generator", str(out), "--class", "3"]) == SettingsError.exit_code


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found["mapping"].state["_modules"].pop("embed"),
        lambda found: found["mapping.embed"].state["_parameters"].pop("bias"),
        lambda found: found["mapping.embed"].state["_parameters"].update(weight=torch.ones(3, 3)),
        lambda found: found["mapping.embed"].state["_parameters"].update(weight=torch.full((8, 10), torch.nan)),
        lambda found: found["mapping.embed"].state.update(activation="lrelu"),
        lambda found: found["mapping.embed"].state.update(weight_gain=1.0),
        lambda found: found["mapping.fc0"].state["_parameters"].update(weight=torch.ones(8, 6)),
        lambda found: found[""].state["_init_kwargs"].update(c_dim=-1),
        lambda found: found[""].state["_init_kwargs"].update(c_dim=2**60),
        lambda found: found[""].state["_init_kwargs"]["mapping_kwargs"].update(embed_features=0),
    ],
)
def test_broken_conditional_networks(spoil, tmp_path):
    tree = trees.ada(small_generator(trees.CONFIG2), 64, 10)
    trees.make_conditional(tree, 10)
    spoil(trees.modules(tree))
    with pytest.raises(WeightFileError):
        load_generator(written(tmp_path, tree), class_idx=0)


# Generators saved alone


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", TORCH)
def test_generators_saved_alone_are_read(case, form, tmp_path):
    """As PTI and DragGAN save what they tuned: torch.save(G), pickle.dump(G)."""
    config, build = TREES[case]
    source = small_generator(config)
    path = tmp_path / "model_multi_id.pt"
    path.write_bytes(FORMS[form](makers.official(build(source)["G_ema"])))
    assert_same(load_generator(path), source)


def test_tensors_of_an_official_network_alone_are_named(tmp_path):
    tensors = {"mapping.w_avg": torch.ones(8), "synthesis.b4.const": torch.ones(8, 4, 4)}
    path = tmp_path / "state.pt"
    path.write_bytes(makers.torch_file(tensors))
    with pytest.raises(WeightFileError, match="state_dict.*save the network whole"):
        load_generator(path)


class Generator(nn.Module):
    """A class of somebody's own, saved whole."""


@pytest.mark.parametrize("legacy", [False, True])
def test_whole_modules_of_other_classes_are_named(legacy, tmp_path):
    path = tmp_path / "whole.pt"
    path.write_bytes(makers.torch_file(Generator(), legacy))
    with pytest.raises(WeightFileError, match=r"whole Python object of the class .*Generator.*state_dict"):
        load_generator(path)
    path.write_bytes(pickle.dumps(Generator(), 4))
    with pytest.raises(WeightFileError, match="whole Python object"):
        load_generator(path)


def test_a_latent_code_is_named_where_a_generator_is_asked_for(tmp_path):
    paths = [tmp_path / name for name in ("w.pt", "w.npy", "w.npz")]
    torch.save(torch.ones(1, 18, 8), paths[0])
    np.save(paths[1], np.ones((1, 18, 8), np.float32))
    np.savez(paths[2], w=np.ones((1, 18, 8), np.float32))
    for path in paths:
        with pytest.raises(WeightFileError, match="latent code"):
            load_generator(path)


# rosinality and what builds on it

ROSINALITY = {  # change of a released file; the mean of w is the same, or computed
    "module.": lambda t: {"g_ema": {f"module.{k}": v for k, v in t["g_ema"].items()}, "latent_avg": t["latent_avg"]},
    "mean [1, w_dim]": lambda t: t | {"latent_avg": t["latent_avg"][None]},
    "mean [num_ws, w_dim]": lambda t: t | {"latent_avg": t["latent_avg"].repeat(6, 1)},
    "mean [1, num_ws, w_dim]": lambda t: t | {"latent_avg": t["latent_avg"].repeat(1, 6, 1)},
    "training": lambda t: {"g": {}, "d": {}, "g_ema": t["g_ema"], "g_optim": {"state": {0: {"step": 3}}}},
    "mean None": lambda t: t | {"latent_avg": None},
    "mean differs by row": lambda t: t | {"latent_avg": torch.arange(48.0).reshape(6, 8)},
    "bare": lambda t: t["g_ema"],
    "bare, ordered": lambda t: OrderedDict(t["g_ema"]),
    "bare, module.": lambda t: {f"module.{k}": v for k, v in t["g_ema"].items()},
    "state_dict": lambda t: {"state_dict": t["g_ema"]},
    "pSp": lambda t: {
        "state_dict": {"encoder.input_layer.0.weight": torch.ones(2, 2), "encoder.n": torch.tensor(3)}
        | {f"decoder.{k}": v for k, v in t["g_ema"].items()},
        "latent_avg": t["latent_avg"].repeat(6, 1),
        "opts": {"device": "cuda:0", "output_size": 16, "start_from_latent_avg": True, "lambda": 0.8},
    },
    "pSp without mean": lambda t: {"state_dict": {f"decoder.{k}": v for k, v in t["g_ema"].items()}, "opts": {}},
    "e4e, module.": lambda t: {
        "state_dict": {"module.latent": torch.ones(2)} | {f"module.decoder.{k}": v for k, v in t["g_ema"].items()},
        "latent_avg": t["latent_avg"].repeat(6, 1),
    },
}  # fmt: skip
WITH_MEAN = {"module.", "mean [1, w_dim]", "mean [num_ws, w_dim]", "mean [1, num_ws, w_dim]", "pSp", "e4e, module."}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("case", ROSINALITY)
def test_forms_of_rosinality_files_are_read(case, legacy, tmp_path):
    source = small_generator(TREES["rosinality"][0])
    path = tmp_path / "550000.pt"
    path.write_bytes(makers.torch_file(ROSINALITY[case](trees.rosinality(source)), legacy))
    result = load_generator(path)
    if case not in WITH_MEAN:
        w = source.mapping.to_w(source.sample_z(100_000, seed=7))
        error = w.std(dim=0) / 100_000**0.5
        assert ((result.w_mean - w.mean(dim=0)).abs() < 8 * error).all()
        source.mapping.w_mean.copy_(result.w_mean)
    assert_same(result, source)


def test_computed_means_are_the_same_each_time():
    mapping = small_generator(CONFIGS["skip"]).mapping
    assert torch.equal(mapping.mean(), mapping.mean())
    z = torch.randn(12_345, 6, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(mapping.mean(12_345, seed=3), mapping.to_w(z).mean(dim=0), rtol=0, atol=1e-2)


def test_rosinality_files_without_noise_maps_get_the_same_ones_each_time(tmp_path):
    source = small_generator(TREES["rosinality"][0])
    tree = trees.rosinality(source)
    tree["g_ema"] = {name: value for name, value in tree["g_ema"].items() if not name.startswith("noises.")}
    path = written(tmp_path, tree)
    first, again = load_generator(path), load_generator(path)
    w_plus = torch.randn(1, 6, 8)
    torch.testing.assert_close(first.synthesis(w_plus, "none"), source.synthesis(w_plus, "none"), rtol=1e-4, atol=1e-4)
    for one, two in zip(first.noise_maps(), again.noise_maps()):
        assert torch.equal(one, two) and 0.3 < one.std() < 3
    maps = first.noise_maps()
    assert not torch.equal(maps[1], maps[2])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.ones(7), r"latent_avg has shape \[7\], but the mean of w is \[8\]"),
        (torch.ones(1, 1, 6, 8), "has shape"),
        (torch.full((6, 8), torch.nan), "latent_avg holds NaN"),
        (torch.ones(8).long(), "holds int64"),
        ("mean", "of type str"),
    ],
)
def test_broken_means_are_refused(value, reason, tmp_path):
    tree = trees.rosinality(small_generator(TREES["rosinality"][0])) | {"latent_avg": value}
    with pytest.raises(WeightFileError, match=reason):
        load_generator(written(tmp_path, tree))
