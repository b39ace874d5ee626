"""FFHQ's crop: where it lies, what is beyond the photo's borders, and the way back."""

import io
import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from i2s.alignment import align as module
from i2s.alignment.align import align, cut, paste_back
from i2s.alignment.geometry import Face, face_square
from i2s.errors import ImageError, SettingsError
from i2s.images import load_photos
from i2s.metrics import psnr

# An upright face, eyes 60 px apart, mouth 66 px below them
FACE = np.array([[120.0, 130.0], [180.0, 130.0], [150.0, 165.0], [128.0, 196.0], [172.0, 196.0]])


def photo(size: tuple[int, int] = (320, 300)) -> Image.Image:
    """A smooth colour image, which resampling hardly changes."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    waves = [np.sin(x / 23) + np.cos(y / 31), np.cos(x / 41), np.sin((x + y) / 37)]
    return Image.fromarray((127 + 60 * np.stack(waves, -1)).clip(0, 255).astype(np.uint8))


def moved(points: np.ndarray, scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    """Points turned by an angle in degrees, scaled and shifted."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return scale * points @ np.array([[cos, sin], [-sin, cos]]) + shift


def test_square_of_an_upright_face_is_that_of_the_formula():
    square = face_square(FACE)
    eyes, down = np.array([150.0, 130.0]), np.array([0.0, 66.0])
    half = max(2.0 * 60, 1.8 * 66)
    assert np.allclose(square.mean(0), eyes + 0.1 * down)
    assert np.allclose(square[0], square.mean(0) - half) and np.allclose(square[2], square.mean(0) + half)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.2, 5), st.floats(-180, 180), st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_square_moves_with_the_face(scale, angle, shift):
    assert np.allclose(face_square(moved(FACE, scale, angle, shift)), moved(face_square(FACE), scale, angle, shift))


def test_crop_shows_the_square():
    aligned = align(photo(), 64, landmarks=FACE)
    left, top = aligned.square[0] + 0.5
    whole = photo().resize((64, 64), Image.Resampling.LANCZOS, box=(max(left, 0), top, left + 240, top + 240))
    close = np.abs(np.asarray(aligned.image).astype(int) - np.asarray(whole)).mean()
    assert aligned.image.size == (64, 64) and close < 3


@pytest.mark.parametrize("angle", [-30, 17, 180])
def test_turned_photo_gives_the_same_crop(angle):
    canvas = photo((900, 900))
    middle = np.array([449.5, 449.5])
    landmarks = FACE - FACE.mean(0) + middle
    upright = align(canvas, 96, landmarks=landmarks).image
    turned = canvas.rotate(-angle, Image.Resampling.BICUBIC)
    again = align(turned, 96, landmarks=moved(landmarks - middle, 1, angle, middle)).image
    assert np.abs(np.asarray(upright).astype(int) - np.asarray(again)).mean() < 2


def test_beyond_the_borders_is_a_blurred_reflection():
    image = photo((200, 220))
    found = np.asarray(cut(image, face_square(FACE - [60, 40]), 240)).astype(int)
    assert found.min() >= 0 and found[0].std() > 0  # no flat colour
    inside = np.asarray(cut(photo((400, 400)), face_square(FACE + [60, 60]), 240))
    assert inside.shape == (240, 240, 3)


def test_landmarks_outside_of_the_photo_are_refused():
    with pytest.raises(ImageError, match="outside of the photo"):
        align(photo(), landmarks=FACE + 5000)


@pytest.mark.parametrize(
    "landmarks",
    [[[1, 2]] * 4, "eyes", [[0, 0]] * 5, np.full((5, 2), np.nan), np.zeros((2, 5)), [1, 2, 3]],
)
def test_landmarks_of_another_kind_are_refused(landmarks):
    with pytest.raises(SettingsError, match="landmarks|eyes"):
        align(photo(), landmarks=landmarks)


def test_landmarks_may_be_a_list_or_a_tensor():
    first = align(photo(), 64, landmarks=FACE.tolist())
    second = align(photo(), 64, landmarks=torch.from_numpy(FACE).float())
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image))


# --- choosing a face ------------------------------------------------------------------------------------------------


@pytest.fixture
def two_faces(monkeypatch):
    """A detector that finds two faces, the small one surer."""

    monkeypatch.setattr(module.yunet, "detect", lambda photo: [Face(FACE * 0.3, 0.99), Face(FACE, 0.8)])


def test_largest_face_is_taken_and_said(two_faces):
    aligned = align(photo(), 64)
    assert np.array_equal(aligned.landmarks, FACE) and "2 faces were found, number 0" in aligned.said
    assert np.array_equal(align(photo(), 64, face=1).landmarks, FACE * 0.3)


@pytest.mark.parametrize("face", [2, -1])
def test_face_that_is_not_there_is_refused(two_faces, face):
    with pytest.raises(ImageError, match="2 faces were found"):
        align(photo(), face=face)


def test_photo_without_a_face_says_what_to_do(monkeypatch):
    monkeypatch.setattr(module.yunet, "detect", lambda photo: [])
    with pytest.raises(ImageError, match="No face was found in the photo: give a photo.*landmarks="):
        align(photo())


def test_missing_opencv_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SettingsError, match="pip install opencv-python-headless"):
        align(photo())


@pytest.mark.parametrize("jitter", [0.0, 3.0])
def test_aligned_photo_stays_as_it_is(jitter):
    image = photo((240, 240))
    landmarks = FACE - face_square(FACE)[0] - 0.5 + jitter
    aligned = align(image, landmarks=landmarks)
    assert aligned.untouched is False or aligned.image is aligned.photo
    assert np.array_equal(np.asarray(aligned.image), np.asarray(image)) and "aligned already" in aligned.said
    off = align(image, landmarks=landmarks + 25)
    assert off.image.size == (240, 240) and "aligned already" not in off.said


# --- and back -------------------------------------------------------------------------------------------------------


def test_pasting_the_crop_itself_changes_nothing_but_rounding():
    aligned = align(photo(), landmarks=moved(FACE, 0.8, 12, (30, 10)))
    back = np.asarray(paste_back(aligned.image, aligned)).astype(int)
    assert np.abs(back - np.asarray(aligned.photo)).max() <= 3
    assert np.array_equal(
        np.asarray(paste_back(aligned.image, aligned, reference=aligned.image)), np.asarray(aligned.photo)
    )


def test_edit_appears_where_it_was_made_and_only_there():
    aligned = align(photo(), 128, landmarks=moved(FACE, 0.7, -20, (60, 90)))
    edited = aligned.image.copy()
    ImageDraw.Draw(edited).ellipse((54, 54, 74, 74), fill="white")
    back = np.asarray(paste_back(edited, aligned)).astype(int)
    changed = np.abs(back - np.asarray(aligned.photo)).max(-1) > 20
    rows, columns = np.nonzero(changed)
    assert np.allclose([columns.mean(), rows.mean()], aligned.square.mean(0), atol=2)
    across = np.linalg.norm(aligned.square[1] - aligned.square[0])
    assert np.hypot(columns - columns.mean(), rows - rows.mean()).max() < 0.12 * across


def test_only_the_difference_is_pasted_beside_a_reference():
    aligned = align(photo(), 128, landmarks=FACE)
    soft = torch.zeros(1, 3, 64, 64)  # what a generator drew: nothing of the photo
    brighter = soft + 0.2
    back = np.asarray(paste_back(brighter, aligned, reference=soft)).astype(int)
    middle = tuple(aligned.square.mean(0).round().astype(int)[::-1])
    assert (back[middle] - np.asarray(aligned.photo)[middle]).tolist() == pytest.approx([25.5] * 3, abs=2)
    assert np.array_equal(back[-1], np.asarray(aligned.photo)[-1])


def test_seam_is_soft():
    aligned = align(Image.new("RGB", (400, 400), "black"), 64, landmarks=FACE)
    back = np.asarray(paste_back(torch.ones(3, 64, 64), aligned))[:, :, 0].astype(int)
    assert back.max() == 255 and np.abs(np.diff(back, axis=1)).max() < 30


@pytest.mark.parametrize(
    ("edited", "options", "error"),
    [
        (torch.zeros(1, 3, 64, 32), {}, ImageError),
        (torch.zeros(2, 3, 64, 64), {}, ImageError),
        (torch.zeros(1, 3, 64, 64), {"reference": torch.zeros(1, 3, 32, 32)}, ImageError),
        (torch.zeros(1, 3, 64, 64), {"feather": 0.7}, SettingsError),
        (torch.zeros(1, 3, 64, 64), {"feather": -0.1}, SettingsError),
    ],
)
def test_what_cannot_be_pasted_is_refused(edited, options, error):
    with pytest.raises(error):
        paste_back(edited, align(photo(), 64, landmarks=FACE), **options)


def test_exif_is_kept_without_the_orientation(tmp_path):
    image = photo()
    exif = Image.Exif()
    exif[0x0110] = "Camera"  # model
    exif[0x0112] = 6  # orientation: to be turned
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    aligned = align(tmp_path / "a.jpg", landmarks=FACE)
    assert aligned.photo.size == image.size[::-1]
    buffer = io.BytesIO()
    paste_back(aligned.image, aligned).save(buffer, format="JPEG", exif=aligned.exif)
    found = Image.open(buffer).getexif()
    assert found[0x0110] == "Camera" and 0x0112 not in found
    assert align(photo(), landmarks=FACE).exif == b""


def test_four_photos_are_cut_as_their_aligned_copies_are(shared):
    pytest.importorskip("cv2")
    from i2s.alignment import yunet

    network = shared / "yunet" / "face_detection_yunet_2023mar.onnx"
    for name in ("010-neutral", "021-smiling"):
        faces = yunet.detect(Image.open(shared / "photos" / f"{name}.jpg").convert("RGB"), network)
        aligned = align(shared / "photos" / f"{name}.jpg", 256, landmarks=faces[0].landmarks)
        target = Image.open(shared / "targets" / f"{name}.jpg").convert("RGB")
        pair = load_photos([aligned.image, target], 256)
        assert len(faces) == 1 and psnr(pair[:1], pair[1:]) > 18  # the data set's own landmarks are others
