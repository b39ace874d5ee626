"""Explorers without a kernel: what each control does to the image, with whichever ipywidgets is installed."""

import io

import numpy as np
import pytest
import torch
from helpers import FakeFeatureNet, small_generator, targets
from PIL import Image

from i2s.course import CrossoverExplorer, EmbedWatcher, MorphExplorer, plot_history
from i2s.embedding import embed
from i2s.errors import LatentError, SettingsError
from i2s.images import to_pil
from i2s.losses import PixelMSE


@pytest.fixture
def generator():
    return small_generator()


@pytest.fixture
def codes(generator):
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(generator.num_ws, generator.w_dim, generator=rng) for _ in range(3)]


def image_of(widget) -> Image.Image:
    return Image.open(io.BytesIO(widget.value))


def test_morph_slider_changes_the_image(generator, codes):
    explorer = MorphExplorer(generator, codes[:2], size=64)
    before = explorer.image.value
    explorer.slider.value = 0.5
    assert explorer.image.value != before and image_of(explorer.image).size == (64, 64)
    explorer.slider.value = 0.0
    assert explorer.image.value == before


def test_morph_plays_on_from_where_the_slider_is(generator, codes):
    explorer = MorphExplorer(generator, codes)
    explorer.slider.value = 1.4
    assert explorer.play.value == 70 and explorer.slider.value == 1.4
    explorer.play.value += 1  # what the browser does at the next tick
    assert explorer.slider.value == pytest.approx(1.42) and explorer.play.value == 71


def test_morph_positions_are_codes(generator, codes):
    explorer = MorphExplorer(generator, codes)
    assert explorer.slider.max == 2
    for place, code in enumerate(codes):
        torch.testing.assert_close(explorer.code_at(float(place)), code)
    torch.testing.assert_close(explorer.code_at(1.25), 0.75 * codes[1] + 0.25 * codes[2])


def test_morph_errors_stand_in_the_status_line(generator, codes):
    explorer = MorphExplorer(generator, codes[:2])
    before = explorer.image.value
    explorer.codes[1] = torch.zeros(2, 3)
    explorer.slider.value = 0.7
    assert "shape" in explorer.status.value and explorer.image.value == before
    explorer.codes[1] = codes[1]
    explorer.slider.value = 0.6
    assert explorer.status.value.startswith("lambda 0.40")


def test_morph_status_says_how_much_of_which_code(generator, codes):
    explorer = MorphExplorer(generator, codes, names=["Ann", "Bob", "Cat"])
    assert explorer.status.value == "lambda 1.00: 1.00 x Ann + 0.00 x Bob"
    explorer.slider.value = 1.76
    assert explorer.status.value == "lambda 0.24: 0.24 x Bob + 0.76 x Cat"
    torch.testing.assert_close(explorer.code_at(1.76), 0.24 * codes[1] + 0.76 * codes[2])
    explorer.slider.value = 2.0
    assert explorer.status.value == "lambda 0.00: 0.00 x Bob + 1.00 x Cat"


def test_explorers_refuse_one_code_or_too_few_names(generator, codes):
    for explorer in (MorphExplorer, CrossoverExplorer):
        with pytest.raises(LatentError, match="two"):
            explorer(generator, codes[:1])
        with pytest.raises(SettingsError, match="1 names for 3 codes"):
            explorer(generator, codes, names=["one"])


def test_morph_snapshot_is_a_contact_sheet(generator, codes):
    sheet = MorphExplorer(generator, codes[:2]).snapshot(count=5)
    assert sheet.image.width > 5 * 128 and sheet.image.height > 128
    assert sheet.alt == "Morph from code 1 to code 2, in 5 images"


def test_watcher_follows_an_embedding(generator):
    photo = targets(generator, 1)
    watcher = EmbedWatcher(photo, every=5)
    frames = []
    watcher.image.observe(lambda change: frames.append(change["new"]), names="value")
    embed(photo, generator, steps=12, perceptual=FakeFeatureNet(), callback=watcher, progress=False)
    assert len(frames) == 4  # steps 0, 5, 10 and the last
    assert image_of(watcher.image).size == (4 * watcher.size, watcher.size)
    assert "step 12 of 12" in watcher.label.value and len(watcher.losses) == 13


@pytest.mark.parametrize("kind", ["batch", "list", "pictures", "first"])
def test_watcher_of_two_photos_shows_the_first(generator, kind):
    photos = targets(generator, 2)
    given = {
        "batch": photos,
        "list": [photos[:1], photos[1:]],
        "pictures": list(map(to_pil, photos)),
        "first": photos[0],
    }
    watcher = EmbedWatcher(given[kind], every=np.int64(2))
    alone = EmbedWatcher(photos[:1], every=2)
    for one in (watcher, alone):
        embed(photos, generator, steps=2, perceptual=FakeFeatureNet(), callback=one, progress=False)
    assert watcher.image.value == alone.image.value and len(watcher.losses) == 3
    assert watcher.label.value.startswith("photo 1 of 2 | image at step 2 of 2 | loss")


def test_watcher_that_cannot_draw_ends_no_embedding(generator, monkeypatch):
    watcher = EmbedWatcher(targets(generator, 1))
    watcher.target = torch.zeros(5)
    result = embed(
        targets(generator, 1), generator, steps=2, perceptual=FakeFeatureNet(), callback=watcher, progress=False
    )
    assert result.steps == 2 and "ImageError" in watcher.label.value


def test_watcher_begins_a_new_curve_at_step_0(generator, tmp_path):
    watcher, photo, changes = EmbedWatcher(torch.zeros(3, 16, 16)), targets(generator, 1), {"progress": False}
    changes |= {"loss": PixelMSE(), "callback": watcher}
    for _ in range(2):
        result = embed(photo, generator, steps=4, noise={"steps": 3}, **changes)
    np.testing.assert_allclose(watcher.losses, result.loss[:, 0], rtol=1e-5)
    saved = {"checkpoint": tmp_path / "c", "checkpoint_every": 4}
    embed(photo, generator, steps=5, **changes, **saved)
    changes["callback"] = watcher = EmbedWatcher(torch.zeros(3, 16, 16))
    result = embed(photo, generator, steps=5, resume=True, **changes, **saved)
    assert len(watcher.losses) == 6 and np.isnan(watcher.losses[:4]).all()  # in its place on the axis
    watcher.draw_curve(5)


def test_watcher_curve_spans_all_planned_steps(generator):
    """A falling loss leads from the upper left corner to where the steps so far end."""
    watcher = EmbedWatcher(torch.zeros(1, 3, 16, 16), size=192)
    watcher.losses = [4 * 0.9**k for k in range(51)]
    curve = torch.from_numpy(np.array(watcher.draw_curve(100))).int()  # [192, 384, 3]
    assert curve.shape == (192, 384, 3)
    blue = torch.tensor([0x00, 0x72, 0xB2])
    rows, columns = ((curve - blue).abs().sum(dim=2) < 40).nonzero(as_tuple=True)
    assert 384 * 0.5 < columns.max() < 384 * 0.65 and rows[columns.argmin()] < rows[columns.argmax()]


@pytest.fixture
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


class Published:
    """What cells show: {display id: newest data}."""

    def __init__(self, shell, monkeypatch):
        self.data = {}
        monkeypatch.setattr(shell.display_pub, "publish", self.publish)

    def publish(self, data, metadata=None, *, transient=None, update=False, **_):
        self.data[(transient or {}).get("display_id")] = data


@pytest.mark.parametrize("end", ["", "raise KeyboardInterrupt"])
def test_watcher_leaves_a_still_image_in_its_cell(generator, shell, monkeypatch, end):
    """Also of a run that was interrupted: a saved notebook shows the last frame, not a widget without a kernel."""
    shown = Published(shell, monkeypatch)
    watcher = EmbedWatcher(targets(generator, 1), every=2)

    def run():
        embed(targets(generator, 1), generator, steps=4, perceptual=FakeFeatureNet(), callback=watcher, progress=False)

    shell.user_ns |= {"watcher": watcher, "run": run}
    shell.run_cell("watcher")
    view = "application/vnd.jupyter.widget-view+json"
    assert [set(data) for data in shown.data.values()] == [{view, "text/plain"}]
    for _ in range(2):
        shell.run_cell(f"run(); {end}")
        (data,) = shown.data.values()
        assert view not in data and "image at step 4 of 4" in data["text/html"] and data["image/jpeg"]
    shown.data.clear()
    shell.run_cell("1")
    assert not shown.data  # settled once


def test_status_is_a_live_region(crossing, generator, codes):
    explorer = MorphExplorer(generator, codes, names=["a<b", "b", "c"])
    watcher = EmbedWatcher(torch.zeros(3, 16, 16))
    for line in (explorer.status, crossing.status, watcher.label):
        assert line.widget.value.startswith('<span role="status" aria-live="polite">')
    assert "a&lt;b" in explorer.status.widget.value and "a<b" in explorer.status.value
    assert explorer.status.widget in explorer.widget.children and crossing.status.widget in crossing.widget.children


def test_plot_history_is_an_image(generator):
    result = embed(targets(generator, 1), generator, steps=3, perceptual=FakeFeatureNet(), progress=False)
    sheet = plot_history({"a": result})
    width, height = sheet.image.size
    assert width > height > 300


def test_morph_play_moves_the_slider(generator, codes):
    explorer = MorphExplorer(generator, codes)
    before = explorer.image.value
    explorer.play.value = 25
    assert explorer.slider.value == 0.5 and explorer.image.value != before
    assert explorer.play.max == 100


# ---- crossover --------------------------------------------------------------------------------------------------


@pytest.fixture
def crossing(generator, codes):
    return CrossoverExplorer(generator, codes, names=["Ann", "Bob", "Cat"], size=64)


def test_crossover_split_divides_the_rows(crossing, codes):
    rows = crossing.generator.num_ws
    assert crossing.style_rows() == list(range(rows // 2, rows))
    crossing.split.value = rows
    torch.testing.assert_close(crossing.code(), codes[0])
    crossing.split.value = 0
    torch.testing.assert_close(crossing.code(), codes[1])
    assert crossing.status.value.endswith(", ".join(map(str, range(rows))))


def test_controls_have_labels(crossing, generator, codes):
    """What a screen reader can read out: a description, or for the buttons of rows also a tooltip."""
    explorer = MorphExplorer(generator, codes)
    controls = (explorer.slider, explorer.play, crossing.content, crossing.style, crossing.split, *crossing.toggles)
    for control in controls:
        assert control.description
    assert [toggle.tooltip for toggle in crossing.toggles][:2] == [f"move row {k} to the other side" for k in (0, 1)]


def test_widgets_are_of_kinds_that_old_versions_have(crossing, generator, codes):
    def kinds(widget):
        kind = widget._model_name.removesuffix("Model")  # what the browser is asked for
        return {kind}.union(*(kinds(child) for child in getattr(widget, "children", ())))

    shown = kinds(crossing.widget) | kinds(MorphExplorer(generator, codes).widget)
    assert shown == {
        "VBox", "HBox", "Image", "FloatSlider", "IntSlider", "Play", "Label", "HTML", "Dropdown", "ToggleButton",
    }  # fmt: skip


def test_crossover_controls_change_the_image(crossing):
    for control, value in (
        (crossing.split, 1),
        (crossing.content, 2),
        (crossing.style, 0),
        (crossing.toggles[0], True),
        (crossing.toggles[-1], True),
    ):
        before = crossing.image.value
        control.value = value
        assert crossing.image.value != before, control


def test_crossover_toggle_moves_its_row_and_back(crossing, codes):
    rows = crossing.style_rows()
    crossing.toggles[0].value = True
    assert crossing.style_rows() == [0, *rows]
    torch.testing.assert_close(crossing.code()[0], codes[1][0])
    crossing.toggles[0].value = False
    assert crossing.style_rows() == rows
    crossing.toggles[rows[0]].value = True
    assert crossing.style_rows() == rows[1:]


def test_crossover_dropdowns_show_the_names(crossing):
    assert [name for name, _ in crossing.content.options] == ["Ann", "Bob", "Cat"]
    assert (crossing.content.label, crossing.style.label) == ("Ann", "Bob")


def test_crossover_errors_stand_in_the_status_line(crossing):
    crossing.codes[2] = torch.zeros(2, 3)
    crossing.style.value = 2
    assert "shape" in crossing.status.value or "row" in crossing.status.value
    crossing.style.value = 1
    assert crossing.status.value.startswith("rows")


def test_crossover_snapshot_shows_content_style_and_splits(crossing):
    sheet = crossing.snapshot(splits=[3, 1])
    assert sheet.alt == "Crossover of Ann and Bob: content, style, split 3, split 1"


def test_explorer_image_has_an_alternative_text(crossing, generator, codes):
    """As a tooltip, which ipywidgets has from version 8 on; the line under it says the same in any version."""
    explorer = MorphExplorer(generator, codes, names=["Ann", "Bob", "Cat"])
    explorer.slider.value = 0.5
    crossing.content.value = 2
    for widget, said in (
        (explorer.image, "Morph, lambda 0.50: 0.50 x Ann + 0.50 x Bob"),
        (crossing.image, f"Cat with the style of Bob, {crossing.status.value}"),
    ):
        assert not widget.has_trait("tooltip") or widget.tooltip == said
        assert widget.get_state()["description"] == ""  # JupyterLab measures it where there is a tooltip
    assert explorer.status.value in "Morph, lambda 0.50: 0.50 x Ann + 0.50 x Bob"
