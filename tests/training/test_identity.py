"""The identity judge, with a stand-in for dlib, which is not a dependency; and the groups of the bias table."""

import csv
import sys
import types

import numpy as np
import pytest
import torch

from benchmarks.bias import LABELS, groups
from i2s.errors import WeightFileError
from training.identity import LANDMARKS, NETWORK, Identity


class Detector:
    """Finds a face where the image is bright."""

    def run(self, array, upsample, threshold):
        return ([types.SimpleNamespace(left=lambda: 64)], [0.5], [0]) if array.mean() > 100 else ([], [], [])


class Network:
    """The mean colour, 128 times."""

    def __init__(self, path):
        self.path = path

    def compute_face_descriptor(self, chip):
        return np.full(128, chip.mean() / 255)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (NETWORK, LANDMARKS):
        (tmp_path / name).write_bytes(b"x")
    stand_in = types.SimpleNamespace(
        get_frontal_face_detector=Detector,
        shape_predictor=lambda path: lambda array, box: box,
        face_recognition_model_v1=Network,
        rectangle=lambda *sides: sides,
        get_face_chip=lambda array, shape, size, padding: array[:size, :size],
    )
    monkeypatch.setitem(sys.modules, "dlib", stand_in)
    return tmp_path


def test_descriptors_and_whether_a_face_is_found(folder):
    identity = Identity(folder)
    faces = torch.stack([torch.ones(3, 128, 128), -torch.ones(3, 128, 128)])
    descriptors, found = identity.describe(faces)
    assert descriptors.shape == (2, 128) and descriptors[:, 0].tolist() == [1, 0] and found.tolist() == [True, False]
    assert torch.equal(identity.embedding(faces), 100 * descriptors) and identity.to("cpu") is identity


def test_missing_files_are_named(folder):
    (folder / NETWORK).unlink()
    with pytest.raises(WeightFileError, match=NETWORK):
        Identity(folder)


def test_missing_dlib_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(WeightFileError, match="pip install dlib-bin"):
        Identity(folder)


def test_everyone_is_in_groups():
    people = list(csv.DictReader(LABELS.open(encoding="utf-8")))
    assert len(people) == 24 and all(groups(person)[0] == "all" for person in people)
    assert groups({"person": "136", "age": "54", "gender": "female", "ethnicity": "west_asian"}) == [
        "all",
        "female",
        "west asian",
        "36 years and over",
    ]
    assert groups({"person": "1", "age": "", "gender": "male", "ethnicity": "white"}) == ["all", "male", "white"]
