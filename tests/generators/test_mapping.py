"""The mapping network of all three generators."""

import json
from dataclasses import replace

import pytest
import torch
from helpers import CONFIGS, small_generator

from i2s.errors import SettingsError
from i2s.generators.file import load, read_metadata, save_generator


@pytest.mark.parametrize("name", ["stylegan1", "skip", "stylegan3-t"])
def test_mapping_is_the_same_function_wherever_the_gain_stands(name):
    """sqrt(2) in the weights (StyleGAN1) or after the activation (StyleGAN2 and 3), written out."""
    mapping = small_generator(name).double().mapping
    for layer in mapping.layers:
        layer.bias.zero_()  # of the bias the two are different functions
    z = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for layer in mapping.layers:
        x = x @ layer.weight.T * (0.01 * 2**0.5 / layer.weight.shape[1] ** 0.5)
        x = torch.where(x < 0, 0.2 * x, x)
    torch.testing.assert_close(mapping.to_w(z), x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["stylegan1", "skip", "stylegan3-t"])
def test_mapping_width_is_that_of_the_hidden_layers(name, tmp_path):
    """Networks whose hidden layers are not as wide as w, such as those made with `layer_features`."""
    generator = small_generator(replace(CONFIGS[name], mapping_width=11, mapping_layers=3))
    shapes = [tuple(layer.weight.shape) for layer in generator.mapping.layers]
    assert shapes == [(11, 6), (11, 11), (8, 11)]
    again = load(save_generator(generator, tmp_path / "g.safetensors", half=False))
    z = generator.sample_z(2, seed=0)
    assert again.config.mapping_width == 11 and torch.equal(again(z), generator(z))


def test_mapping_width_is_written_only_where_it_is_set(tmp_path):
    """Files of other networks stay as every earlier version reads them."""
    path = save_generator(small_generator("skip"), tmp_path / "g.safetensors")
    assert "mapping_width" not in json.loads(read_metadata(path)["config"])


@pytest.mark.parametrize("width", [0, 2.5, "8", True])
def test_mapping_width_out_of_range(width):
    for name in ("skip", "stylegan3-t"):
        with pytest.raises(SettingsError, match="mapping_width"):
            replace(CONFIGS[name], mapping_width=width)
