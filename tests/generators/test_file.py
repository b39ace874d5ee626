"""Our own weight files: exact, complete or not there at all, and checked like anyone else's."""

import errno
import json
import os
import time
from pathlib import Path

import pytest
import torch
from helpers import CONFIGS, small_generator
from safetensors.torch import load_file, save_file

from i2s.errors import OutputError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import load, read_metadata, save_generator

NETWORKS = {"stylegan1": CONFIGS["stylegan1"], "stylegan2": CONFIGS["skip"], "stylegan3": CONFIGS["stylegan3-t"]}


@pytest.fixture(params=NETWORKS)
def generator(request):
    return small_generator(NETWORKS[request.param])


@pytest.fixture
def saved(tmp_path):
    """(path, tensors, metadata) of a small saved StyleGAN2, to be spoilt."""
    path = save_generator(small_generator("skip"), tmp_path / "g.safetensors", half=False)
    return path, load_file(path), read_metadata(path)


def test_round_trip(generator, tmp_path):
    path = save_generator(generator, tmp_path / "new folder" / "g.safetensors", half=False)
    again = load(path)
    assert again.config == generator.config and again.kind == generator.kind and not again.training
    for name, tensor in generator.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor) and again.state_dict()[name].dtype == torch.float32
    w_plus = torch.randn(1, generator.num_ws, generator.w_dim)
    assert torch.equal(again.synthesis(w_plus), generator.synthesis(w_plus))


def test_half_precision_is_for_trained_weights_only(generator, tmp_path):
    path = save_generator(generator, tmp_path / "g.safetensors")
    trained = {name for name, _ in generator.named_parameters()}
    for name, tensor in load_file(path).items():
        assert tensor.dtype == (torch.float16 if name in trained else torch.float32)
        torch.testing.assert_close(tensor.float(), generator.state_dict()[name], rtol=1e-3, atol=1e-6)
    exact = save_generator(generator, tmp_path / "exact.safetensors", half=False)
    assert path.stat().st_size < exact.stat().st_size
    assert load(path).synthesis(torch.zeros(1, generator.num_ws, 8)).dtype == torch.float32


def test_metadata(tmp_path):
    card = {"name": "faces", "licence": "CC BY 4.0", "kind": "cannot be overwritten", "format": "nor this"}
    path = save_generator(small_generator("skip"), tmp_path / "g.safetensors", extra_metadata=card)
    metadata = read_metadata(path)
    assert metadata["name"] == "faces" and metadata["licence"] == "CC BY 4.0"
    assert metadata["format"] == "i2s-generator" and metadata["version"] == "1" and metadata["kind"] == "stylegan2"
    assert metadata["precision"] == "float16" and json.loads(metadata["config"])["channels"] == [10, 8, 6]


def test_the_file_is_not_kept_open(tmp_path):
    """The tensors do not live in the file: it can be overwritten or deleted while the generator is in use."""
    generator = small_generator("skip")
    path = save_generator(generator, tmp_path / "g.safetensors", half=False)
    again = load(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    path.unlink()
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), generator.parameters(), strict=True))


def test_numbers_that_cannot_be_saved(tmp_path):
    path = tmp_path / "g.safetensors"
    path.write_bytes(b"earlier")
    generator = small_generator("skip")
    generator.mapping.layers[0].weight[0, 0] = 1e6
    with pytest.raises(WeightFileError, match="half=False"):
        save_generator(generator, path)
    generator.mapping.layers[0].weight[0, 0] = torch.nan
    with pytest.raises(WeightFileError, match="not finite"):
        save_generator(generator, path, half=False)
    assert path.read_bytes() == b"earlier" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = save_generator(small_generator("skip"), tmp_path / "g.safetensors")
    earlier = path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_generator(small_generator("skip", seed=1), path)
    assert path.read_bytes() == earlier and list(tmp_path.iterdir()) == [path]


def change_config(**changes):
    def change(tensors, metadata):
        metadata["config"] = json.dumps(json.loads(metadata["config"]) | changes)

    return change


def change_text(name, text):
    return lambda tensors, metadata: metadata.update({name: text})


def change_tensor(name, value):
    return lambda tensors, metadata: tensors.update({name: value(tensors.get(name))})


WEIGHT = "synthesis.blocks.1.conv0.weight"
SPOILT = {
    "other format": (change_text("format", "pt"), "no generator"),
    "no metadata": (lambda tensors, metadata: metadata.clear(), "no generator"),
    "newer version": (change_text("version", "2"), "format version is '2', .* update i2s"),
    "kind": (change_text("kind", "stylegan9\x1b"), r"'stylegan9\\x1b'"),
    "config not JSON": (change_text("config", "{"), "not JSON"),
    "config nested": (change_text("config", "[" * 100_000), "not JSON"),
    "config a list": (change_text("config", "[]"), "does not know"),
    "config huge number": (change_text("config", '{"resolution": 1' + "0" * 5000 + "}"), "not JSON|resolution"),
    "unknown setting": (change_config(attention=True), "does not know"),
    "resolution": (change_config(resolution=12), "power of two"),
    "resolution a text": (change_config(resolution="16"), "resolution is '16'"),
    "channels": (change_config(channels=[10, 8]), "needs 3"),
    "NaN": (change_config(conv_clamp=float("nan")), "conv_clamp is nan"),
    "too large": (change_config(channels=[60000] * 3), "more than any"),
    "other shape": (change_config(channels=[10, 9, 6]), r"shape \[8\], but .* \[9\]|has shape"),
    "missing": (lambda tensors, metadata: tensors.pop(WEIGHT), f"{WEIGHT} is missing"),
    "extra": (change_tensor("surprise", lambda _: torch.ones(1)), "surprise is unknown"),
    "type": (change_tensor(WEIGHT, lambda w: w.to(torch.int32)), "holds int32"),
    "doubles": (change_tensor(WEIGHT, lambda w: w.double()), "holds float64"),
    "infinite": (change_tensor(WEIGHT, lambda w: w / 0), "NaN or infinity"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_files(case, saved):
    change, message = SPOILT[case]
    path, tensors, metadata = saved
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    with pytest.raises(WeightFileError, match=message) as error:
        load_generator(path)
    assert str(error.value).startswith(str(path)) and str(error.value).isprintable()


@pytest.mark.parametrize("keep", [0, 4, 9, 200, 5000, -1])
def test_truncated_files(saved, keep):
    path, data = saved[0], saved[0].read_bytes()
    path.write_bytes(data[:keep])
    with pytest.raises(WeightFileError):
        load_generator(path)


def test_headers_that_lie(saved):
    """A header length beyond the file, offsets beyond it, a tensor larger than its bytes: refused at once."""
    path, data = saved[0], saved[0].read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    start = time.perf_counter()
    for spoil in (
        lambda h: h[WEIGHT].update(shape=[2**40, 10, 3, 3]),
        lambda h: h[WEIGHT].update(data_offsets=[0, 2**60]),
        lambda h: h[WEIGHT].update(data_offsets=[-1, 100]),
        lambda h: h[WEIGHT].update(dtype="O"),
    ):
        spoilt = json.loads(json.dumps(header))
        spoil(spoilt)
        text = json.dumps(spoilt).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
        with pytest.raises(WeightFileError, match="damaged safetensors"):
            load_generator(path)
    path.write_bytes((50 << 20).to_bytes(8, "little") + data[8:])
    with pytest.raises(WeightFileError, match="damaged safetensors"):
        load_generator(path)
    assert time.perf_counter() - start < 5
