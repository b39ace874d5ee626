"""Set-up of a lesson: what it chooses and prints."""

import re
from importlib import import_module

import pytest
import torch

from i2s import course


@pytest.fixture
def slow(monkeypatch):
    """A machine that takes a tenth of a second for a step."""
    monkeypatch.setattr(import_module("i2s.course.setup"), "time_step", lambda *_: 0.1)


def test_setup_prints_its_choices_with_reasons(slow, capsys):
    lab = course.setup(perceptual="slim", device="cpu")
    said = capsys.readouterr().out
    assert re.search(r"^device      CPU, .*\(as you asked\)$", said, re.M)
    assert re.search(r"^generator   faces-128 .*\(it comes with the course\)$", said, re.M)
    assert re.search(r"^perceptual  slim: 1.1 million weights, .*\(it comes with the course; ", said, re.M)
    assert "10 embedding steps a second: 300 steps take 30 s" in said and "lesson" not in said
    assert lab.generator.name == "faces-128" and lab.minutes(600, 2) == 2


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


@pytest.fixture
def setup_module():
    return import_module("i2s.course.setup")


@pytest.mark.parametrize("name", ["mps", "xpu", "meta"])
def test_setup_names_the_device_that_was_asked_for(setup_module, name):
    assert setup_module.describe_device(torch.device(name), asked=True) == f"{name.upper()} (as you asked)"


def test_setup_gives_the_memory_of_the_container_if_it_is_less(setup_module, monkeypatch, tmp_path):
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**22}[name])
    limits = tmp_path / "memory.max", tmp_path / "v1"
    monkeypatch.setattr(setup_module, "MEMORY_LIMITS", limits)
    assert setup_module.memory_limit() == 2**34
    for text, wanted in (("max", 2**34), (str(2**32), 2**32), (str(2**62), 2**34), ("0", 2**34)):
        limits[0].write_text(text + "\n")
        assert setup_module.memory_limit() == wanted
    limits[1].write_text(str(2**31))
    assert setup_module.memory_limit() == 2**31
    assert "2 GiB memory" in setup_module.describe_device(torch.device("cpu"), asked=False)


def test_setup_gives_no_memory_where_it_is_unknown(setup_module, monkeypatch, tmp_path):
    """As on Windows, which has no os.sysconf."""
    monkeypatch.delattr("os.sysconf")
    monkeypatch.setattr(setup_module, "MEMORY_LIMITS", (tmp_path / "none",))
    said = setup_module.describe_device(torch.device("cpu"), asked=False)
    assert re.fullmatch(r"CPU, \d+ threads? \(no CUDA GPU was found; the course needs none\)", said)


BLANK_FUNCTION = "def mse(a, b):\n    # YOUR CODE HERE\n    raise NotImplementedError()"


@pytest.mark.parametrize(
    "cell, said",
    [
        ("mse(1, 2)", "Stopped here, no answer yet: write the body of `mse`; the cells below need it.\n"),
        (
            "raise NotImplementedError()",
            "Stopped here, no answer yet: fill in the cell above; the cells below need it.\n",
        ),
    ],
)
def test_a_blank_answer_stops_in_one_line(slow, capsys, cell, said):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        shell.run_cell("from i2s.course.setup import explain_blank_answers; explain_blank_answers()")
        shell.run_cell(BLANK_FUNCTION)
        capsys.readouterr()
        assert shell.run_cell(cell).error_in_exec is not None  # so that the cells after it are not run
        assert capsys.readouterr().out == said
        shell.run_cell("raise NotImplementedError('half precision')")
        assert "half precision" in capsys.readouterr().out
    finally:
        InteractiveShell.clear_instance()
