"""Saving and loading a result: nothing is lost, and what is no result is refused."""

import pytest
import torch
from helpers import TinyEye, targets, tiny_generator
from safetensors.torch import save_file

from i2s.embedding import embed
from i2s.errors import LatentError, OutputError
from i2s.results import EmbedResult


@pytest.fixture(scope="module")
def generator():
    return tiny_generator()


@pytest.fixture(scope="module")
def result(generator):
    return embed(targets(generator), generator, steps=6, perceptual=TinyEye(), progress=False)


def test_round_trip_is_exact_and_draws_the_same_image(tmp_path, generator, result):
    loaded = EmbedResult.load(result.save(tmp_path / "a.safetensors"))
    for name in ("w_plus", "image", "target", "snapshots"):
        assert torch.equal(getattr(loaded, name), getattr(result, name)), name
    assert loaded.settings == result.settings and loaded.snapshot_steps == result.snapshot_steps
    assert list(loaded.history) == list(result.history)
    assert torch.equal(loaded.loss, result.loss) and loaded.generator == result.generator
    assert torch.equal(loaded.render(generator), result.image)


def test_select_is_a_result_of_its_own(tmp_path, generator, result):
    one = result.select(1)
    assert len(one) == 1 and torch.equal(one.w_plus, result.w_plus[1:]) and one.loss.shape == (7, 1)
    loaded = EmbedResult.load(one.save(tmp_path / "one.safetensors"))
    torch.testing.assert_close(loaded.render(generator), one.image)


def test_another_generators_noise_does_not_matter(tmp_path, generator, result):
    """The noise is stored with the code: a generator whose maps differ draws the same image."""
    other = tiny_generator()
    for layer in (layer for block in other.synthesis.blocks for layer in block.layers()):
        layer.noise.normal_()
    assert not torch.equal(other.synthesis(result.w_plus), result.image)
    assert torch.equal(result.render(other), result.image)


@pytest.mark.parametrize("content", [b"", b"not a result", b"\x00" * 100])
def test_broken_files_are_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(LatentError, match="x.safetensors"):
        EmbedResult.load(path)


def test_truncated_file_is_refused(tmp_path, result):
    path = result.save(tmp_path / "x.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LatentError, match="broken"):
        EmbedResult.load(path)


def test_missing_file_and_other_safetensors_are_refused(tmp_path):
    with pytest.raises(LatentError, match="no file"):
        EmbedResult.load(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(LatentError, match="not an embedding"):
        EmbedResult.load(tmp_path / "other.safetensors")


def test_a_full_disk_leaves_the_earlier_result(tmp_path, result, monkeypatch):
    path = result.save(tmp_path / "x.safetensors")
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("i2s.files.os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        result.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
