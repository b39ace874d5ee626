"""The diagrams follow from their scripts; how they look is checked in `notebooks/lint`."""

import subprocess
import sys

from lessons import NOTEBOOKS


def make(*arguments, folder=NOTEBOOKS):
    script = folder / "diagrams" / "make.py"
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)


def test_diagrams_follow_from_their_scripts():
    run = make("--check")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "6 diagrams are up to date" in run.stdout


def test_check_sees_a_changed_and_a_missing_diagram(tmp_path):
    for folder in ("diagrams", "images"):
        (tmp_path / folder).mkdir()
        for file in (NOTEBOOKS / folder).glob("*.*"):
            (tmp_path / folder / file.name).write_bytes(file.read_bytes())
    changed = tmp_path / "images" / "loop.svg"
    changed.write_text(changed.read_text().replace("repeat", "again"))
    (tmp_path / "images" / "loss.svg").unlink()
    run = make("--check", folder=tmp_path)
    assert run.returncode == 1
    wrong = [f"images/{name}.svg does not follow from diagrams/{name}.py." for name in ("loop", "loss")]
    assert run.stdout.splitlines() == wrong
