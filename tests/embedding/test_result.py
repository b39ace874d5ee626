"""Saving and loading a result: nothing is lost, and what is no result is refused."""

import json

import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from safetensors import safe_open
from safetensors.torch import save_file

from i2s.embedding import TuningSettings, embed
from i2s.embedding.result import EmbedResult
from i2s.errors import LatentError, OutputError


@pytest.fixture(scope="module")
def result(generator):
    return embed(targets(generator), generator, steps=6, perceptual=FakeFeatureNet(), progress=False)


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
    other = small_generator()
    for layer in (layer for block in other.synthesis.blocks for layer in block.layers()):
        layer.noise.normal_()
    assert not torch.equal(other.synthesis(result.w_plus), result.image)
    assert torch.equal(result.render(other), result.image)


def test_a_file_of_the_first_version_is_read(tmp_path, generator, result):
    """It has no frames, and says nothing of photos that end on their own, losses, tasks and tuned weights."""
    path = result.save(tmp_path / "old.safetensors")
    with safe_open(str(path), "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != "frames"}
    notes = json.loads(metadata["result"])
    for name in ("photo_steps", "endings", "tuned", "loss_terms", "task", "notices"):
        del notes[name]
    old = (
        "space",
        "init",
        "steps",
        "learning_rate",
        "betas",
        "epsilon",
        "mse_weight",
        "tap_weights",
        "seed",
        "snapshots",
    )
    notes["settings"] = {name: notes["settings"][name] for name in old}
    save_file(tensors, path, metadata | {"version": "1", "result": json.dumps(notes)})
    loaded = EmbedResult.load(path)
    assert loaded.settings == result.settings and torch.equal(loaded.render(generator), result.image)
    assert loaded.select(1).steps == 6 and loaded.frames is None and loaded.tuned == []


def test_frames_are_the_images_of_the_snapshots(generator, result):
    assert result.frames.shape == (len(result.snapshots), 2, 3, 16, 16) and result.frames.dtype == torch.uint8
    for w_plus, frame in zip(result.snapshots, result.frames):
        image = ((generator.synthesis(w_plus).clamp(-1, 1) + 1) * 127.5).round()
        assert (image - frame).abs().max() <= 1


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


def test_photos_are_counted_as_in_a_list(result):
    assert torch.equal(result.select(-1).w_plus, result.w_plus[-1:])
    with pytest.raises(IndexError):
        result.select(len(result))


def test_tuned_weights_of_more_photos_than_there_are(tmp_path, generator):
    tuned = embed(
        targets(generator, 1), generator, steps=1, tuning=TuningSettings(1), perceptual=FakeFeatureNet(), progress=False
    )
    path = tuned.save(tmp_path / "a.safetensors")
    with safe_open(str(path), "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    notes = json.loads(metadata["result"]) | {"tuned": 0}
    save_file(tensors, path, metadata | {"result": json.dumps(notes)})
    with pytest.raises(LatentError, match="broken"):
        EmbedResult.load(path)
