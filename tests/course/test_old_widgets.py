"""The explorers on ipywidgets 7.7.1, which Colab brings: their tests once more, in a process that imports it instead.

`make test` fetches it into build/; no second torch is needed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = "7.7.1"
FOLDER = ROOT / "build" / f"ipywidgets-{VERSION}"
RUN = """
import sys, ipywidgets, pytest
assert ipywidgets.__version__ == sys.argv[1], ipywidgets.__file__
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[2]]))
"""


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no ipywidgets {VERSION} here: make build/ipywidgets-{VERSION}")
def test_the_explorers_on_the_ipywidgets_of_colab():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(FOLDER), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    tests = str(ROOT / "tests" / "course" / "test_explorers.py")
    command = [sys.executable, "-c", RUN, VERSION, tests]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
