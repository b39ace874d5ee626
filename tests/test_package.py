"""The package as it is installed: public names, wheel and source archive, the command outside of the clone."""

import ast
import importlib
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
SOURCES = (".py", ".pyi")
WEIGHTS = sorted((ROOT / "data").glob("*.safetensors"))


def run(*command, **options):
    """Run a command; its output, which is also in the message if it fails."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*arguments):
    """Run pip without any package index."""
    run(sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", "--no-index")


def build_wheel(project, out) -> Path:
    pip("wheel", "--no-build-isolation", "-w", out, project)
    (wheel,) = out.glob("*.whl")
    return wheel


def copy_project(to) -> Path:
    """Copy what the build reads, without data/, so that a build leaves no files in the project."""
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
    """`bin/` of an environment with the wheel, and the dependencies of this environment."""
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", home)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    pip("--python", scripts / "python", "install", wheel)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    theirs, ours = (Path(run(python, "-c", where).strip()) for python in (scripts / "python", sys.executable))
    # A path in a .pth file is searched, but its own .pth files, and so an editable i2s, are not read
    (theirs / "dependencies.pth").write_text(str(ours))
    return scripts


def outside(folder) -> dict:
    """Options of `run`: an empty folder, without this project on the path."""
    folder.mkdir()
    unset = ("PYTHONPATH", "I2S_CACHE")
    return {"cwd": folder, "env": {name: value for name, value in os.environ.items() if name not in unset}}


def test_code_under_test_is_of_this_clone(tmp_path):
    where = run(sys.executable, "-c", "import i2s; print(i2s.__file__)", cwd=tmp_path)
    assert Path(i2s.__file__).parents[1] == Path(where.strip()).parents[1] == ROOT


def test_import_is_quick():
    heavy = "torch numpy PIL skimage matplotlib imageio tqdm"
    run(sys.executable, "-c", f"import sys, i2s; assert not set('{heavy}'.split()) & set(sys.modules)")


@pytest.mark.parametrize("name", i2s.__all__)
def test_public_name_exists(name):
    assert getattr(i2s, name) is not None
    assert name in dir(i2s)


def test_public_names_are_those_that_editors_read():
    """`__init__.pyi` says where each name is, for editors and type checkers."""
    stub = ast.parse((ROOT / "i2s" / "__init__.pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: f"i2s.{node.module}" for node in imports for alias in node.names}
    assert {*homes, "__version__"} == set(i2s.__all__)
    for name, home in homes.items():
        assert getattr(importlib.import_module(home), name) is getattr(i2s, name)


def test_public_names_include_the_documented_ones():
    documented = ["load_generator", "load_perceptual", "embed", "EmbedResult", "read_image", "write_image"]
    edits = ["morph", "transfer_expression", "crossover"]
    assert {*documented, *edits} <= set(i2s.__all__)


def test_public_name_is_the_object_of_its_module():
    from i2s.edits import morph

    assert i2s.morph is morph


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute .*morhp"):
        _ = i2s.morhp
    assert not hasattr(i2s, "morhp")


def test_version_is_the_same_everywhere(wheel):
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M).group(1)
    assert cited == i2s.__version__
    assert wheel.name.startswith(f"i2s-{i2s.__version__}-")


def test_wheel_holds_every_module(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "i2s").rglob("*.py*") if path.suffix in SOURCES}
    assert "i2s/__init__.py" in modules
    assert modules == {name for name in names if name.endswith(SOURCES)}  # and nothing of training/


def test_wheel_holds_the_weights_byte_for_byte(wheel):
    archive = zipfile.ZipFile(wheel)
    assert WEIGHTS, "no weights in data/"
    for path in WEIGHTS:
        assert archive.read(f"i2s/data/{path.name}") == path.read_bytes(), path.name


def test_wheel_holds_licences_cards_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "LICENSE-PROSE"}
    cards = {f"i2s/data/{path.name}" for path in (ROOT / "data").glob("*.md")}
    assert cards <= names
    others = {name for name in names if not name.endswith(SOURCES) and ".dist-info/" not in name}
    assert others == cards | {f"i2s/data/{path.name}" for path in WEIGHTS}


def test_wheel_builds_without_weights(tmp_path):
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
    version = run(installed / "i2s", "--version", **outside(tmp_path / "other"))
    assert version.split() == ["i2s", i2s.__version__]


def test_installed_command_embeds_with_the_weights_of_the_wheel(installed, tmp_path):
    from PIL import Image

    options = outside(tmp_path / "empty")
    Image.radial_gradient("L").convert("RGB").save(options["cwd"] / "photo.png")
    run(installed / "i2s", "embed", "photo.png", "--steps", "2", "--perceptual", "slim", **options)
    assert (options["cwd"] / "i2s-out" / "photo.safetensors").stat().st_size > 0
