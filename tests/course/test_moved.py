"""A photo moved about its face: where the face goes, and that nothing black comes in."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from i2s.course.moved import moved
from i2s.errors import ImageError

BOX = (40, 30, 60)  # centre at 70, 60


@pytest.fixture
def picture():
    """White, with a red dot at the centre of the box and a blue one 15 px right of it."""
    made = Image.new("RGB", (140, 120), "white")
    pen = ImageDraw.Draw(made)
    pen.ellipse((66, 56, 74, 64), fill="red")
    pen.ellipse((81, 56, 89, 64), fill="blue")
    return made


def middle(image, colour):
    """Where the dot of a colour is, (x, y), in px of the crop."""
    pixels = np.asarray(image).astype(int)
    mask = (np.abs(pixels - colour).sum(axis=2) < 150).nonzero()
    return mask[1].mean() + 0.5, mask[0].mean() + 0.5


RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_unmoved_it_is_the_crop(picture):
    crop = picture.crop((40, 30, 100, 90))
    assert np.array_equal(np.asarray(moved(picture, BOX)), np.asarray(crop))


@pytest.mark.parametrize(
    "change, red, blue",
    [
        ({}, (30, 30), (45, 30)),
        ({"right": 0.25}, (45, 30), None),
        ({"down": -0.25}, (30, 15), (45, 15)),
        ({"degrees": 90}, (30, 30), (30, 15)),
        ({"degrees": 180}, (30, 30), (15, 30)),
        ({"scale": 0.5}, (30, 30), (37.5, 30)),
        ({"scale": 1.5}, (30, 30), (52.5, 30)),
        ({"scale": 0.5, "right": 0.25}, (45, 30), (52.5, 30)),
    ],
)
def test_the_face_goes_where_it_is_told(picture, change, red, blue):
    image = moved(picture, BOX, **change)
    assert image.size == (60, 60)
    assert middle(image, RED) == pytest.approx(red, abs=1.1)
    if blue:
        assert middle(image, BLUE) == pytest.approx(blue, abs=1.1)


@pytest.mark.parametrize("change", [{"scale": 0.4}, {"degrees": 45}, {"right": 0.5, "down": 0.5}])
def test_no_black_border_comes_in(picture, change):
    assert np.asarray(moved(picture, BOX, **change)).max(axis=2).min() > 100


@pytest.mark.parametrize("scale", [0, -1, float("nan")])
def test_a_scale_that_is_none(picture, scale):
    with pytest.raises(ImageError, match="above 0"):
        moved(picture, BOX, scale=scale)
