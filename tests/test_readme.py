"""README.md and CONTRIBUTING.md: the commands, names and paths that they give exist."""

import ast
import re
import shlex
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest

import i2s
from i2s.cli import parser
from i2s.embedding.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
README, CONTRIBUTING = ((ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md"))
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
PYTHON = re.search(r"```python\n(import i2s\n.*?)```", README, re.DOTALL)[1]
COMMANDS = [shlex.split(line, comments=True)[1:] for line in SHELL if line.startswith("i2s ")]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command_is_accepted(arguments):
    options = parser().parse_args(arguments)
    assert options.run.__name__ == f"cmd_{arguments[0]}"
    assert getattr(options, "preset", "fast") in PRESETS


def test_every_command_is_shown():
    (commands,) = (action.choices for action in parser()._actions if action.choices)
    assert {name for name, *_ in COMMANDS} == set(commands)


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README + CONTRIBUTING, re.MULTILINE))
    assert {"lab", "test", "lint-course"} <= named <= targets


def test_public_names_exist():
    names = {node.attr for node in ast.walk(ast.parse(PYTHON)) if isinstance(node, ast.Attribute)}
    assert {"load_generator", "embed", "morph"} <= names
    assert set(re.findall(r"\bi2s\.(\w+)\(", README + CONTRIBUTING)) <= set(i2s.__all__)


def test_presets_are_listed():
    assert re.findall(r'^\| `"(.*?)"`', README, re.MULTILINE) == list(PRESETS)


def test_keywords_of_embed_exist():
    known = {*signature(i2s.embed).parameters, *(field.name for field in fields(i2s.EmbedSettings))}
    (sentence,) = re.findall(r"Other keywords:(.*?);", README, re.DOTALL)
    assert set(re.findall(r"`(\w+)=", sentence)) <= known


@pytest.mark.parametrize("page", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_paths_exist(page):
    paths = re.findall(r"`((?:i2s|data|notebooks|training|tests|benchmarks)/[\w./-]*)`", page)
    paths = [path for path in paths if not re.search("NN|NAME", path)]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
