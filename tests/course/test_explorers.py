"""The explorers without a kernel: what a slider does to the picture, on whichever ipywidgets is installed."""

import io

import pytest
import torch
from helpers import TinyEye, targets, tiny_generator
from PIL import Image

from i2s.course import EmbedWatcher, MorphExplorer, plot_history
from i2s.embedding import embed


@pytest.fixture
def generator():
    return tiny_generator()


@pytest.fixture
def codes(generator):
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(generator.num_ws, generator.w_dim, generator=rng) for _ in range(3)]


def picture(widget) -> Image.Image:
    return Image.open(io.BytesIO(widget.value))


def test_the_slider_changes_the_image(generator, codes):
    explorer = MorphExplorer(generator, codes[:2], size=64)
    before = explorer.image.value
    explorer.slider.value = 0.5
    assert explorer.image.value != before and picture(explorer.image).size == (64, 64)
    explorer.slider.value = 0.0
    assert explorer.image.value == before


def test_places_of_the_slider_are_codes(generator, codes):
    explorer = MorphExplorer(generator, codes)
    assert explorer.slider.max == 2
    for place, code in enumerate(codes):
        torch.testing.assert_close(explorer.code_at(float(place)), code)
    torch.testing.assert_close(explorer.code_at(1.25), 0.75 * codes[1] + 0.25 * codes[2])


def test_errors_are_said_in_the_status_line(generator, codes):
    explorer = MorphExplorer(generator, codes[:2])
    before = explorer.image.value
    explorer.codes[1] = torch.zeros(2, 3)
    explorer.slider.value = 0.7
    assert "shape" in explorer.status.value and explorer.image.value == before
    explorer.codes[1] = codes[1]
    explorer.slider.value = 0.6
    assert explorer.status.value == ""


def test_a_morph_needs_two_codes(generator, codes):
    with pytest.raises(ValueError, match="two"):
        MorphExplorer(generator, codes[:1])


def test_snapshot_shows_the_same_frames(generator, codes):
    sheet = MorphExplorer(generator, codes[:2]).snapshot(count=5)
    assert sheet.picture.width > 5 * 128 and sheet.picture.height > 128
    assert sheet._repr_mimebundle_()["image/jpeg"][:2] == b"\xff\xd8"


def test_the_watcher_follows_an_embedding(generator):
    photo = targets(generator, 1)
    watcher = EmbedWatcher(photo, every=5)
    frames = []
    watcher.image.observe(lambda change: frames.append(change["new"]), names="value")
    embed(photo, generator, steps=12, perceptual=TinyEye(), callback=watcher, progress=False)
    assert len(frames) == 4  # steps 0, 5, 10 and the last
    assert picture(watcher.image).size == (4 * watcher.size, watcher.size)
    assert "step 12 of 12" in watcher.label.value and len(watcher.losses) == 13


def test_the_loss_curve_is_a_picture(generator):
    result = embed(targets(generator, 1), generator, steps=3, perceptual=TinyEye(), progress=False)
    bundle = plot_history({"a": result})._repr_mimebundle_()
    assert list(bundle) == ["image/png"]
    width, height = Image.open(io.BytesIO(bundle["image/png"])).size
    assert width > height > 300
