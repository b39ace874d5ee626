"""The set-up: what `make` installs and when, exact versions for every Python, nothing of Colab's replaced."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
COLAB = {"ipywidgets": "7.7.1", "ipykernel": "6.17.1", "torch": "2.6.0", "torchvision": "0.21.0"}
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}

HAS_MAKE = shutil.which("make") and os.path.exists("/bin/bash")
needs_make = pytest.mark.skipif(not HAS_MAKE, reason="no make or no bash here")


def requirements(*extras) -> list[Requirement]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return [Requirement(line) for lines in lists for line in lines if not line.startswith("i2s[")]


def locked(python: str) -> dict[str, str]:
    """Name and exact version of everything that the lock installs on Linux under this Python."""
    this = {"python_version": python, "python_full_version": f"{python}.9", "extra": ""}
    here = {**default_environment(), **LINUX, **this}
    versions = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(here):
                assert requirement.name not in versions, f"{requirement.name}: locked twice for {python}"
                (specifier,) = requirement.specifier
                assert specifier.operator == "==", line
                versions[requirement.name] = specifier.version
    return versions


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_the_project(python):
    versions = locked(python)
    for requirement in requirements(*PROJECT["optional-dependencies"]):
        version = versions.get(requirement.name)
        assert version, f"{requirement.name} is not in requirements.lock: make lock"
        assert requirement.specifier.contains(version), f"{requirement}, but locked at {version}: make lock"


def test_lock_names_no_place():
    assert not re.search(r"://|--index|--find-links|@ ", (ROOT / "requirements.lock").read_text())


def test_requirements_have_lower_bounds_only():
    for requirement in requirements(*PROJECT["optional-dependencies"]):
        assert [specifier.operator for specifier in requirement.specifier] == [">="], str(requirement)


def test_colab_keeps_its_own():
    wanted = {requirement.name: requirement.specifier for requirement in requirements("course")}
    for name, version in COLAB.items():
        assert wanted[name].contains(version), f"{name}{wanted[name]} would replace Colab's {version}"


def test_conda_environment_has_every_requirement():
    conda = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    text = (ROOT / "environment.yml").read_text()
    for requirement in requirements("course"):
        name = conda.get(requirement.name, requirement.name)
        assert re.search(rf"^  - {re.escape(name)}( |$)", text, re.M), f"{name} is missing in environment.yml"
    assert re.search(r"^  - imageio-ffmpeg$", text, re.M)


FAKE_PYTHON = """#!/bin/bash
# stands for a Python of version {version}: notes what it is asked to do
case "$1 $2" in
  "-c "*) exec {python} -c "import sys; sys.version_info = {version} + (0, 'final', 0)
$2" ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") [ "$3" = --version ] && exit; [ -e broken ] && exit 1 ;;
esac
echo "${{@:1:3}}" >> asked
"""


class Checkout:
    """A folder with the project's Makefile, in which every Python only notes what it was asked."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, folder)

    def python(self, version) -> str:
        name = f"fake{version[0]}.{version[1]}"
        (self.folder / name).write_text(FAKE_PYTHON.format(version=version, python=sys.executable))
        (self.folder / name).chmod(0o755)
        return f"./{name}"

    def make(self, *arguments) -> subprocess.CompletedProcess:
        # those of the make that runs these tests
        ours = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS", "PYTHON", "VENV")
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        command = ["make", "VENV=venv", *arguments]
        return subprocess.run(command, cwd=self.folder, env=kept, capture_output=True, text=True, timeout=60)

    def asked(self) -> str:
        """What the Pythons were asked since the last call."""
        notes = self.folder / "asked"
        text = notes.read_text() if notes.exists() else ""
        notes.unlink(missing_ok=True)
        return text


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


@needs_make
@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_make_installs_once_and_again_after_a_change(checkout, changed):
    good = f"PYTHON={checkout.python((3, 12))}"
    assert checkout.make("install", good).returncode == 0
    assert checkout.asked().splitlines()[0] == "-m venv venv"
    moments = {"requirements.lock": 1000, "pyproject.toml": 1000, "venv/installed": 2000}
    for name, moment in moments.items():
        os.utime(checkout.folder / name, (moment, moment))
    assert checkout.make("install", good).returncode == 0
    assert checkout.asked() == ""
    os.utime(checkout.folder / changed, (3000, 3000))
    assert checkout.make("install", good).returncode == 0
    asked = checkout.asked()
    assert "-m pip install" in asked and "-m venv" not in asked


@needs_make
def test_make_starts_again_after_a_failed_installation(checkout):
    good = f"PYTHON={checkout.python((3, 10))}"
    (checkout.folder / "broken").touch()
    assert checkout.make("install", good).returncode != 0
    (checkout.folder / "broken").unlink()
    checkout.asked()
    assert checkout.make("install", good).returncode == 0
    assert "-m pip install" in checkout.asked()


@needs_make
@pytest.mark.parametrize("version", [(2, 7), (3, 9), (3, 14)])
def test_make_refuses_another_python_in_one_sentence(checkout, version):
    done = checkout.make("install", f"PYTHON={checkout.python(version)}")
    assert done.returncode != 0
    assert "i2s needs Python 3.10, 3.11, 3.12 or 3.13" in done.stderr
    assert done.stderr.count("\n") == 2  # the sentence, and make's own line
    assert checkout.asked() == "" and not (checkout.folder / "venv").exists()


@needs_make
def test_make_takes_the_first_good_python(checkout):
    named = [checkout.python(version) for version in ((3, 9), (3, 11), (3, 12))]
    assert checkout.make("install", f"PYTHON=nowhere {' '.join(named)}").returncode == 0
    chosen = checkout.folder / "venv" / "bin" / "python"
    assert chosen.read_text() == (checkout.folder / "fake3.11").read_text()


@needs_make
def test_make_test_lab_and_lint_course_run_their_commands(checkout):
    good = f"PYTHON={checkout.python((3, 13))}"
    assert checkout.make("test", good, "ARGS=-x").returncode == 0
    assert checkout.asked().splitlines()[-1] == "-m pytest -x"
    told = checkout.make("--dry-run", "lab", good, "ARGS=--no-browser").stdout
    assert told.splitlines()[-1] == "venv/bin/jupyter lab notebooks/00_start_here.ipynb --no-browser"
    assert checkout.make("lint-course", good).returncode == 0
    assert checkout.asked().splitlines()[-1] == "-m pytest notebooks/lint"
