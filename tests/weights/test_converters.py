"""From inert trees to networks: good ones become what they say, and official files that are none are refused.

The trees are built from small generators (`trees.py`), so no file is needed; that the formats are the official ones is
tested in tests/generators/test_parity.py. What is refused, and why: test_broken_torch.py, test_broken_tensorflow.py.
"""

import numpy as np
import pytest
import torch
import trees

from i2s.errors import WeightFileError
from i2s.generators import load_generator
from i2s.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from i2s.generators.stylegan2 import StyleGAN2
from i2s.generators.stylegan3 import StyleGAN3
from i2s.weights import nvidia_tf as tensorflow
from i2s.weights import nvidia_torch as torch_pickles
from i2s.weights import rosinality

GOOD = {
    "ada": (torch_pickles, StyleGAN2, trees.CONFIG2, lambda g: trees.ada(g, 64, 10)),
    "ada-flat": (torch_pickles, StyleGAN2, trees.CONFIG2, lambda g: trees.ada(g, 64, 10, flat=True)),
    "ada-resnet": (
        torch_pickles,
        StyleGAN2,
        trees.replaced(trees.CONFIG2, architecture="resnet"),
        lambda g: trees.ada(g, 64, 10),
    ),
    "ada-orig": (
        torch_pickles,
        StyleGAN2,
        trees.replaced(trees.CONFIG2, architecture="orig"),
        lambda g: trees.ada(g, 64, 10),
    ),
    "stylegan3-t": (torch_pickles, StyleGAN3, trees.CONFIG3, trees.stylegan3),
    "stylegan3-r": (
        torch_pickles,
        StyleGAN3,
        trees.replaced(trees.CONFIG3, conv_kernel=1, radial_filters=True),
        trees.stylegan3,
    ),
    "tf-stylegan1": (tensorflow, StyleGAN1, trees.CONFIG1, lambda g: trees.tensorflow(g, 32, 10)),
    "tf-stylegan1-128": (
        tensorflow,
        StyleGAN1,
        StyleGAN1Config(128, **trees.SIZES, mapping_width=7, channels=(6, 6, 6, 6, 4, 2)),
        lambda g: trees.tensorflow(g, 128, 6),
    ),
    "tf-stylegan2": (
        tensorflow,
        StyleGAN2,
        trees.replaced(trees.CONFIG2, conv_clamp=None),
        lambda g: trees.tensorflow(g, 32, 10),
    ),
    "rosinality": (
        rosinality,
        StyleGAN2,
        trees.replaced(trees.CONFIG2, conv_clamp=None, scaled_epsilon=True),
        trees.rosinality,
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_trees(case):
    """Every number arrives where it belongs, in memory of its own; configuration and picture are the same."""
    converter, network, config, build = GOOD[case]
    source = trees.fresh(network, config)
    tree = build(source)
    result = converter.convert(tree)
    assert result.config == config and not result.training
    ours, theirs = source.state_dict(), result.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=1e-7)  # mod_bias + 1 - 1 rounds
        assert theirs[name].dtype == torch.float32 and theirs[name].is_contiguous()
        assert theirs[name].data_ptr() != tensor.data_ptr()
    w_plus = torch.randn(1, source.num_ws, 8)
    torch.testing.assert_close(result.synthesis(w_plus), source.synthesis(w_plus), rtol=1e-4, atol=1e-5)


REASONS = {
    "bad-dtype-int64.pkl": "mapping.fc0.weight holds int64",
    "bad-extra-tensor.pkl": "synthesis.b8.surprise is unknown",
    "bad-gema-is-discriminator.pkl": "'Discriminator', not a generator",
    "bad-gema-none.pkl": "G_ema is None",
    "bad-inf.pkl": "mapping.w_avg holds NaN or infinity",
    "bad-kwargs-bomb.pkl": "channel_base is 1099511627776",
    "bad-kwargs-conditional.pkl": "conditional",
    "bad-kwargs-resolution.pkl": "resolution is 12",
    "bad-kwargs-type.pkl": "resolution is '8'",
    "bad-missing-tensor.pkl": "synthesis.b8.conv1.weight is missing",
    "bad-missing-wavg.pkl": "mapping.w_avg is missing",
    "bad-nan.pkl": "synthesis.b8.conv1.weight holds NaN",
    "bad-no-gema.pkl": "G_ema is missing",
    "bad-none-tensor.pkl": "synthesis.b8.conv1.weight is None",
    "bad-not-a-tensor.pkl": "noise_const is of type str",
    "bad-tf-missing-var.pkl": "synthesis/8x8/Conv1/weight is missing",
    "bad-tf-not-3tuple.pkl": "three networks",
    "bad-tf-version.pkl": "version 99",
    "bad-unknown-class.pkl": "'GeneratorXL'",
    "bad-wrong-shape-noise.pkl": r"noise_const has shape \[4, 4\], .* \[8, 8\]",
    "bad-wrong-shape.pkl": r"b8.conv0.weight has shape \[6, 5, 3, 3\], .* \[6, 6, 3, 3\]",
    "good-handmade-zip.pt": "no latent_avg",
    "odd-ros-train-namespace.pt": "no latent_avg",
    "odd-tf-sg1-lod-half.pkl": "still growing",
}


@pytest.mark.parametrize("name", REASONS)
def test_reference_files_are_refused_with_the_reason(name, shared):
    path = shared / "fixtures" / "evil" / name
    with pytest.raises(WeightFileError, match=REASONS[name]) as error:
        load_generator(path)
    message = str(error.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("name", ["good-micro.pkl", "evil-module-src.pkl", "bad-billion-laughs.pkl"])
def test_reference_files_that_hold_the_good_weights(name, shared):
    folder = shared / "fixtures" / "evil"
    generator = load_generator(folder / name)
    with np.load(folder / "good-micro.npz") as arrays:
        image = generator.synthesis(torch.from_numpy(arrays["ws_plus"]))
        assert np.abs(image.numpy() - arrays["img_plus_const"]).max() < 1e-5
