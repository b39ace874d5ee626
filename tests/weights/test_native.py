"""Our own weight files: exact, complete or not there at all, and checked like anyone else's."""

import json
import os
import time
from pathlib import Path

import pytest
import torch
import trees
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from i2s.errors import OutputError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import load, read_metadata, save_generator
from i2s.generators.stylegan1 import StyleGAN1
from i2s.generators.stylegan2 import StyleGAN2
from i2s.generators.stylegan3 import StyleGAN3
from i2s.weights.convert import convert

NETWORKS = {
    "stylegan1": (StyleGAN1, trees.CONFIG1),
    "stylegan2": (StyleGAN2, trees.CONFIG2),
    "stylegan3": (StyleGAN3, trees.CONFIG3),
}


@pytest.fixture(params=NETWORKS)
def generator(request):
    return trees.fresh(*NETWORKS[request.param])


@pytest.fixture
def saved(tmp_path):
    """(path, tensors, metadata) of a small saved StyleGAN2, to be spoilt."""
    path = save_generator(trees.fresh(StyleGAN2, trees.CONFIG2), tmp_path / "g.safetensors", half=False)
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
    path = save_generator(trees.fresh(StyleGAN2, trees.CONFIG2), tmp_path / "g.safetensors", extra_metadata=card)
    metadata = read_metadata(path)
    assert metadata["name"] == "faces" and metadata["licence"] == "CC BY 4.0"
    assert metadata["format"] == "i2s-generator" and metadata["version"] == "1" and metadata["kind"] == "stylegan2"
    assert metadata["precision"] == "float16" and json.loads(metadata["config"])["channels"] == [10, 8, 4]


def test_the_file_is_not_kept_open(tmp_path):
    """The tensors do not live in the file: it can be overwritten or deleted while the generator is in use."""
    generator = trees.fresh(StyleGAN2, trees.CONFIG2)
    path = save_generator(generator, tmp_path / "g.safetensors", half=False)
    again = load(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    path.unlink()
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), generator.parameters(), strict=True))


def test_numbers_that_cannot_be_saved(tmp_path):
    path = tmp_path / "g.safetensors"
    path.write_bytes(b"earlier")
    generator = trees.fresh(StyleGAN2, trees.CONFIG2)
    generator.mapping.layers[0].weight[0, 0] = 1e6
    with pytest.raises(WeightFileError, match="half=False"):
        save_generator(generator, path)
    generator.mapping.layers[0].weight[0, 0] = torch.nan
    with pytest.raises(WeightFileError, match="not finite"):
        save_generator(generator, path, half=False)
    assert path.read_bytes() == b"earlier" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "g.safetensors"
    path.write_bytes(b"earlier")
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr("tempfile.mkstemp", lambda **_: (full, str(tmp_path / "temporary")))
    with pytest.raises(OutputError, match="No space left"):
        save_generator(trees.fresh(StyleGAN2, trees.CONFIG2), path)
    assert path.read_bytes() == b"earlier"


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
    "other shape": (change_config(channels=[10, 9, 4]), r"shape \[8\], but .* \[9\]|has shape"),
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


def test_convert(tmp_path):
    """From our own format as well: the model card stays, the precision is the one asked for."""
    generator = trees.fresh(StyleGAN2, trees.CONFIG2)
    source = save_generator(generator, tmp_path / "a.safetensors", half=False, extra_metadata={"licence": "CC BY 4.0"})
    out = convert(source, tmp_path / "b.safetensors", half=True)
    with safe_open(out, framework="pt") as file:
        assert file.metadata()["licence"] == "CC BY 4.0" and file.metadata()["precision"] == "float16"
    assert load_generator(out).config == generator.config


def test_convert_refuses(tmp_path, shared):
    source = save_generator(trees.fresh(StyleGAN2, trees.CONFIG2), tmp_path / "a.safetensors")
    before = source.read_bytes()
    with pytest.raises(OutputError, match="does not end in .safetensors"):
        convert(source, tmp_path / "b.pkl")
    with pytest.raises(OutputError, match="is the source itself"):
        convert(source, tmp_path / "a.safetensors")
    with pytest.raises(WeightFileError, match="does not exist"):
        convert(tmp_path / "none.pkl", tmp_path / "b.safetensors")
    with pytest.raises(WeightFileError, match="holds NaN"):
        convert(shared / "fixtures" / "evil" / "bad-nan.pkl", tmp_path / "b.safetensors")
    with pytest.raises(WeightFileError, match="does not exist"):  # whatever is at the other end
        convert(tmp_path / "none.pkl", source)
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(OutputError, match="choose another"):
            convert(source, tmp_path / f"{name}.safetensors")
    assert source.read_bytes() == before and list(tmp_path.iterdir()) == [source]


def test_converted_file_of_the_catalog_keeps_its_licence(tmp_path, monkeypatch):
    from i2s.weights import catalog
    from i2s.weights import convert as module

    source = tmp_path / "ffhq.pt"
    torch.save(trees.rosinality(trees.fresh(StyleGAN2, trees.replaced(trees.CONFIG2, conv_clamp=None))), source)
    monkeypatch.setattr(module, "resolve", lambda name: source)
    metadata = read_metadata(convert("ffhq-1024", tmp_path / "out.safetensors"))
    licence = catalog.entry("ffhq-1024").licence
    assert metadata["name"] == "ffhq-1024" and metadata["source"] == "ffhq.pt"
    assert licence.name in metadata["licence"] and licence.url in metadata["licence"]


def test_converted_file_names_its_source(tmp_path, shared):
    source = shared / "fixtures" / "evil" / "good-micro.pkl"
    metadata = read_metadata(convert(source, tmp_path / "out.safetensors"))
    assert metadata["source"] == "good-micro.pkl" and metadata["name"] == "good-micro"
    assert metadata["source_sha256"] == "d3300ef876572e4eefe16e9971288b91a3817f31eaaf1176920829f29eeddb1d"
    assert metadata["precision"] == "float32"
