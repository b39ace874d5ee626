"""A photo shifted, turned and scaled about its face, to see how much an embedding minds."""

import numpy as np
from PIL import Image

from i2s.errors import ImageError
from i2s.images import read_image


def moved(
    picture,
    box: tuple[int, int, int],
    right: float = 0.0,
    down: float = 0.0,
    degrees: float = 0.0,
    scale: float = 1.0,
) -> Image.Image:
    """The square crop in which the face stands elsewhere: shifted, turned (anticlockwise) or drawn larger.

    picture: anything `i2s.read_image` reads. box: (left, top, side) of the well-placed crop, in px of the picture.
    right, down: fractions of the side. scale: above 0; 2 draws the face twice as large. What lies outside of the
    picture is filled with its mirror image, so that no black border adds to the loss. Returns side x side px.
    ImageError for a scale that is not above 0.
    """
    if not scale > 0:
        raise ImageError(f"scale is {scale}, but must be above 0: 2 draws the face twice as large.")
    left, top, side = box
    pixels = np.asarray(read_image(picture))
    margin = 2 * side
    wide = Image.fromarray(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect"))
    x, y = left + side / 2 + margin, top + side / 2 + margin  # the face's centre
    turned = wide.rotate(degrees, Image.Resampling.BICUBIC, center=(x, y)) if degrees else wide
    half = side / 2 / scale
    x, y = x - right * side / scale, y - down * side / scale  # the frame goes the other way
    return turned.resize((side, side), Image.Resampling.LANCZOS, box=(x - half, y - half, x + half, y + half))
