"""The package as others get it: its public names, and a wheel that works from an empty directory."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import i2s

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = sorted((ROOT / "data").glob("*.safetensors"))


def run(*command, **options):
    """The finished process; its output is in the message if it fails."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*arguments):
    """pip, which asks no registry."""
    run(sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--no-index")


def build_wheel(project, out) -> Path:
    pip("wheel", "--no-build-isolation", "-w", out, project)
    (wheel,) = out.glob("*.whl")
    return wheel


def copy_project(to) -> Path:
    """What the build reads, without data/; a copy, so that a build leaves nothing in the project."""
    shutil.copytree(ROOT / "i2s", to / "i2s", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-PROSE", "CITATION.cff"):
        shutil.copy(ROOT / name, to)
    return to


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    project = copy_project(tmp_path_factory.mktemp("project"))
    shutil.copytree(ROOT / "data", project / "data", ignore=shutil.ignore_patterns(".*"))
    return build_wheel(project, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """`bin/` of an environment that holds the wheel, and borrows nothing but dependencies from this one."""
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", home)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    pip("--python", scripts / "python", "install", wheel)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    theirs, ours = (Path(run(python, "-c", where).strip()) for python in (scripts / "python", sys.executable))
    # a path in a .pth file is searched, but its own .pth files, and so an editable i2s, are not read
    (theirs / "dependencies.pth").write_text(str(ours))
    return scripts


def outside(folder) -> dict:
    """Options of `run`: in an empty folder, with nothing of this project on the path."""
    folder.mkdir()
    unset = ("PYTHONPATH", "I2S_CACHE")
    return {"cwd": folder, "env": {name: value for name, value in os.environ.items() if name not in unset}}


def test_import_is_quick():
    heavy = "torch numpy PIL skimage matplotlib imageio tqdm"
    run(sys.executable, "-c", f"import sys, i2s; assert not set('{heavy}'.split()) & set(sys.modules)")


@pytest.mark.parametrize("name", i2s.__all__)
def test_public_names_are_there(name):
    assert getattr(i2s, name) is not None
    assert name in dir(i2s)


def test_the_promised_names_are_public():
    promised = "load_generator load_perceptual embed EmbedResult read_image write_image"
    edits = "morph transfer_expression crossover"
    assert {*promised.split(), *edits.split()} <= set(i2s.__all__)


def test_a_public_name_is_the_thing_itself():
    from i2s.edits import morph

    assert i2s.morph is morph


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'morhp'"):
        _ = i2s.morhp
    assert not hasattr(i2s, "morhp")


def test_one_version_everywhere(wheel):
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M).group(1)
    assert cited == i2s.__version__
    assert wheel.name.startswith(f"i2s-{i2s.__version__}-")


def test_wheel_holds_every_module(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "i2s").rglob("*.py")}
    assert "i2s/__init__.py" in modules
    assert modules == {name for name in names if name.endswith(".py")}


def test_wheel_holds_the_weights_byte_for_byte(wheel):
    archive = zipfile.ZipFile(wheel)
    assert WEIGHTS, "no weights in data/"
    for path in WEIGHTS:
        assert archive.read(f"i2s/data/{path.name}") == path.read_bytes(), path.name


def test_wheel_holds_licences_and_cards_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "LICENSE-PROSE"}
    cards = {f"i2s/data/{path.name}" for path in (ROOT / "data").glob("*.md")}
    assert cards <= names
    others = {name for name in names if not name.endswith(".py") and ".dist-info/" not in name}
    guides = {"training/README.md"}  # beside the code that it explains
    assert others == cards | guides | {f"i2s/data/{path.name}" for path in WEIGHTS}


def test_wheel_builds_before_there_are_weights(tmp_path):
    wheel = build_wheel(copy_project(tmp_path), tmp_path / "out")
    assert "i2s/cli.py" in zipfile.ZipFile(wheel).namelist()


def test_wheel_from_the_source_archive_is_the_same(wheel, tmp_path):
    project = copy_project(tmp_path)
    shutil.copytree(ROOT / "data", project / "data", ignore=shutil.ignore_patterns(".*"))
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path / "sdist", cwd=project)
    (archive,) = (tmp_path / "sdist").glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build_wheel(unpacked, tmp_path / "out")
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_installed_package_is_the_wheels(installed, tmp_path):
    where = run(installed / "python", "-c", "import i2s; print(i2s.__file__)", **outside(tmp_path / "empty"))
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_installed_command_helps(installed, tmp_path):
    assert "embed" in run(installed / "i2s", "--help", **outside(tmp_path / "empty"))
    told = run(installed / "i2s", "--version", **outside(tmp_path / "other"))
    assert told.split() == ["i2s", i2s.__version__]


def test_installed_command_embeds_with_the_weights_of_the_wheel(installed, tmp_path):
    from PIL import Image

    options = outside(tmp_path / "empty")
    Image.radial_gradient("L").convert("RGB").save(options["cwd"] / "photo.png")
    run(installed / "i2s", "embed", "photo.png", "--steps", "2", "--perceptual", "slim", **options)
    assert (options["cwd"] / "i2s-out" / "photo.safetensors").stat().st_size > 0
