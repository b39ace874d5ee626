"""The workflow of the tests covers what the package promises, with commands that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / ".github" / "workflows" / "tests.yml"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the workflow is in a clone alone")


def test_three_systems_and_the_oldest_and_newest_python():
    text = FILE.read_text("utf-8")
    systems, versions = (re.search(rf"^ +{name}: \[(.*)\]$", text, re.M)[1] for name in ("os", "python"))
    assert systems == "ubuntu-latest, macos-latest, windows-latest"
    readme = (ROOT / "README.md").read_text("utf-8")
    supported = re.findall(r"3\.\d+", re.search(r"You need Python (.*?),", readme)[1])
    assert re.findall(r"[\d.]+", versions) == supported


def test_its_commands_are_those_of_the_readme():
    text = FILE.read_text("utf-8")
    commands = re.findall(r"(?:run: |^ +)((?:make|python -m|ruff) .*)$", text, re.M)
    assert commands[-3:] == ["make test PYTHON=python", 'python -m pip install -e ".[test]"', "python -m pytest"]
    rules = (ROOT / "Makefile").read_text("utf-8")
    for command in commands[:3]:
        if command.startswith("ruff"):
            assert f"$(RUN)/{command}\n" in rules  # as `make lint`
    assert re.search(r"^make test ", (ROOT / "README.md").read_text("utf-8"), re.M)
