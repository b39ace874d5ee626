"""The explorers without a kernel: what a slider does to the picture, on whichever ipywidgets is installed."""

import io

import pytest
import torch
from helpers import TinyEye, targets, tiny_generator
from PIL import Image

from i2s.course import CrossoverExplorer, EmbedWatcher, MorphExplorer, plot_history
from i2s.embedding import embed
from i2s.errors import LatentError, SettingsError


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
    assert explorer.status.value.startswith("lambda 0.40")


def test_the_status_line_says_how_much_of_whom(generator, codes):
    explorer = MorphExplorer(generator, codes, names=["Ann", "Bob", "Cat"])
    assert explorer.status.value == "lambda 1.00: 1.00 x Ann + 0.00 x Bob"
    explorer.slider.value = 1.76
    assert explorer.status.value == "lambda 0.24: 0.24 x Bob + 0.76 x Cat"
    torch.testing.assert_close(explorer.code_at(1.76), 0.24 * codes[1] + 0.76 * codes[2])
    explorer.slider.value = 2.0
    assert explorer.status.value == "lambda 0.00: 0.00 x Bob + 1.00 x Cat"


def test_one_code_or_too_few_names_are_refused(generator, codes):
    for explorer in (MorphExplorer, CrossoverExplorer):
        with pytest.raises(LatentError, match="two"):
            explorer(generator, codes[:1])
        with pytest.raises(SettingsError, match="1 names for 3 codes"):
            explorer(generator, codes, names=["one"])


def test_snapshot_shows_the_same_frames(generator, codes):
    sheet = MorphExplorer(generator, codes[:2]).snapshot(count=5)
    assert sheet.picture.width > 5 * 128 and sheet.picture.height > 128
    assert sheet.alt == "Morph from code 1 to code 2, in 5 pictures"


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
    sheet = plot_history({"a": result})
    width, height = sheet.picture.size
    assert width > height > 300


def test_play_moves_the_slider(generator, codes):
    explorer = MorphExplorer(generator, codes)
    before = explorer.image.value
    explorer.play.value = 25
    assert explorer.slider.value == 0.5 and explorer.image.value != before
    assert explorer.play.max == 100


# ---- crossover --------------------------------------------------------------------------------------------------


@pytest.fixture
def crossing(generator, codes):
    return CrossoverExplorer(generator, codes, names=["Ann", "Bob", "Cat"], size=64)


def test_the_split_says_which_rows_are_whose(crossing, codes):
    rows = crossing.generator.num_ws
    assert crossing.style_rows() == list(range(rows // 2, rows))
    crossing.split.value = rows
    torch.testing.assert_close(crossing.code(), codes[0])
    crossing.split.value = 0
    torch.testing.assert_close(crossing.code(), codes[1])
    assert crossing.status.value.endswith(", ".join(map(str, range(rows))))


def test_every_control_has_a_label(crossing, generator, codes):
    """What a screen reader can read out: a description, or for the buttons of rows also a tooltip."""
    explorer = MorphExplorer(generator, codes)
    controls = (explorer.slider, explorer.play, crossing.content, crossing.style, crossing.split, *crossing.toggles)
    for control in controls:
        assert control.description
    assert [toggle.tooltip for toggle in crossing.toggles][:2] == [f"move row {k} to the other side" for k in (0, 1)]


def test_no_widget_is_of_a_kind_that_old_versions_lack_or_that_prints(crossing, generator, codes):
    def kinds(widget):
        kind = widget._model_name.removesuffix("Model")  # what the browser is asked for
        return {kind}.union(*(kinds(child) for child in getattr(widget, "children", ())))

    shown = kinds(crossing.widget) | kinds(MorphExplorer(generator, codes).widget)
    assert shown == {
        "VBox", "HBox", "Image", "FloatSlider", "IntSlider", "Play", "Label", "Dropdown", "ToggleButton",
    }  # fmt: skip


def test_each_control_changes_the_image(crossing):
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


def test_a_toggle_moves_its_row_to_the_other_side_and_back(crossing, codes):
    rows = crossing.style_rows()
    crossing.toggles[0].value = True
    assert crossing.style_rows() == [0, *rows]
    torch.testing.assert_close(crossing.code()[0], codes[1][0])
    crossing.toggles[0].value = False
    assert crossing.style_rows() == rows
    crossing.toggles[rows[0]].value = True
    assert crossing.style_rows() == rows[1:]


def test_the_pickers_show_the_names(crossing):
    assert [name for name, _ in crossing.content.options] == ["Ann", "Bob", "Cat"]
    assert (crossing.content.label, crossing.style.label) == ("Ann", "Bob")


def test_errors_of_a_crossover_are_said_in_the_status_line(crossing):
    crossing.codes[2] = torch.zeros(2, 3)
    crossing.style.value = 2
    assert "shape" in crossing.status.value or "row" in crossing.status.value
    crossing.style.value = 1
    assert crossing.status.value.startswith("rows")


def test_the_snapshot_of_a_crossover_shows_content_style_and_splits(crossing):
    sheet = crossing.snapshot(splits=[3, 1])
    assert sheet.alt == "Crossover of Ann and Bob: content, style, split 3, split 1"


def test_the_picture_of_an_explorer_says_what_it_shows(crossing, generator, codes):
    """As its title, where ipywidgets has one (from version 8 on); the line under it says the same in any version."""
    explorer = MorphExplorer(generator, codes, names=["Ann", "Bob", "Cat"])
    explorer.slider.value = 0.5
    crossing.content.value = 2
    for widget, said in (
        (explorer.image, "Morph, lambda 0.50: 0.50 x Ann + 0.50 x Bob"),
        (crossing.image, f"Cat with the style of Bob, {crossing.status.value}"),
    ):
        assert not widget.has_trait("tooltip") or widget.tooltip == said
        assert widget.get_state()["description"] == ""  # JupyterLab measures it where there is a title
    assert explorer.status.value in "Morph, lambda 0.50: 0.50 x Ann + 0.50 x Bob"
