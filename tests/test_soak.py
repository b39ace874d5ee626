"""A few runs of `soak.py`, each in its own way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_soak_loses_nothing():
    script = Path(__file__).with_name("soak.py")
    few = ["--kills", "5", "--cold", "0", "--full", "2", "--pipes", "2", "--crowds", "1", "--seed", "3"]
    environment = os.environ | {"PYTHONPATH": str(script.parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(script), *few], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    expected = {
        "killed": 5,
        "killed, other commands": 1,
        "full disk": 2,
        "closed pipe": 2,
        "processes": 1,
        "threads": 1,
    }
    for what, count in expected.items():
        assert f"{count:5}  {what}: all there\n" in done.stdout
