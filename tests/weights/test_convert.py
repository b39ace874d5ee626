"""`convert`: from any weight file to safetensors, with its origin and licence."""

import pytest
import torch
import trees
from helpers import small_generator
from safetensors import safe_open

from i2s.errors import OutputError, WeightFileError
from i2s.generators import load_generator
from i2s.generators.file import read_metadata, save_generator
from i2s.weights.convert import convert


def test_convert(tmp_path):
    """From our own format as well: the model card stays, the precision is the one asked for."""
    generator = small_generator(trees.CONFIG2)
    source = save_generator(generator, tmp_path / "a.safetensors", half=False, extra_metadata={"licence": "CC BY 4.0"})
    out = convert(source, tmp_path / "b.safetensors", half=True)
    with safe_open(out, framework="pt") as file:
        assert file.metadata()["licence"] == "CC BY 4.0" and file.metadata()["precision"] == "float16"
    assert load_generator(out).config == generator.config


def test_convert_refuses(tmp_path, shared):
    source = save_generator(small_generator(trees.CONFIG2), tmp_path / "a.safetensors")
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
    torch.save(trees.rosinality(small_generator(trees.PLAIN2)), source)
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
