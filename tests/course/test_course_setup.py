"""Set-up of a lesson: what it chooses and prints."""

import re
from importlib import import_module

import pytest

from i2s import course


@pytest.fixture
def slow(monkeypatch):
    """A machine that takes a tenth of a second for a step."""
    monkeypatch.setattr(import_module("i2s.course.setup"), "time_step", lambda *_: 0.1)


def test_setup_prints_its_choices_with_reasons(slow, capsys):
    lab = course.setup(perceptual="slim", device="cpu")
    said = capsys.readouterr().out
    assert re.search(r"^device      CPU, .*\(as you asked\)$", said, re.M)
    assert re.search(r"^generator   faces-64 .*\(it ships with the course\)$", said, re.M)
    assert re.search(r"^perceptual  slim .*shipped with i2s", said, re.M)
    assert "10 embedding steps a second: 300 steps take 30 s" in said and "lesson" not in said
    assert lab.generator.name == "faces-64" and lab.minutes(600, 2) == 2


@pytest.mark.parametrize(
    ("steps", "time"),
    [(300, "less than a minute"), (600, "about 1 minute"), (1600, "about 3 minutes"), (36000, "about 60 minutes")],
)
def test_setup_prints_how_long_the_lesson_takes(slow, capsys, steps, time):
    course.setup(perceptual="slim", device="cpu", steps=steps)
    assert capsys.readouterr().out.splitlines()[-1] == f"lesson      all its cells together take {time}"


def test_setup_takes_another_generator(slow, capsys):
    course.setup("faces-64-adain", "slim", "cpu")
    assert re.search(r"^generator   faces-64-adain .*\(as you asked\)$", capsys.readouterr().out, re.M)
