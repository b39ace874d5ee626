"""Run a lesson as people do: `python again.py notebooks/source/NN_name.py`; exit 1 where a cell fails.

1. After `from numpy import *`, with a dark Matplotlib style and large letters, and with gradients switched off (in a
   lesson whose cells write their own backward(): for its first cell only), all cells run from top to bottom.
2. From the last cell to the first, each cell that is cheap runs twice: alone in the state that later cells left behind.

Embeddings are cut short; a notebook test runs them in full.
"""

import contextlib
import io
import sys
import time
from pathlib import Path

import jupytext
import matplotlib
from IPython.core.interactiveshell import InteractiveShell

import i2s

CHEAP = 3.0  # s, the first time
STEPS = 25  # of an embedding, at most

SESSION = """
from numpy import *
import matplotlib.pyplot, torch
matplotlib.pyplot.style.use("dark_background")
matplotlib.rcParams["font.size"] = 30
torch.set_grad_enabled(False);
"""


def cut_short(embed):
    """Wrap `i2s.embed` so that it takes a few steps only."""

    def short(*arguments, **keywords):
        if keywords.get("steps"):
            keywords["steps"] = min(keywords["steps"], STEPS)
        return embed(*arguments, **keywords)

    return short


def run(shell, cell, when):
    """Run a cell, and return its seconds, or None after a line that says what failed."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        result = shell.run_cell(cell)
    error = result.error_before_exec or result.error_in_exec
    if error is None:
        return time.perf_counter() - start
    lines = [line for line in cell.splitlines() if line.strip() and not line.startswith(("#", "import", "from"))]
    first = (lines or [cell])[0]
    print(f"FAILED {when}: {first}: {type(error).__name__}: {error}".replace("\n", " "), flush=True)
    return None


def main(path):
    """Run the lesson; return the exit code."""
    matplotlib.use("Agg")
    i2s.embed = cut_short(i2s.embed)
    cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    shell = InteractiveShell.instance()
    shell.run_cell(SESSION)
    seconds = []
    for number, cell in enumerate(cells):
        seconds.append(run(shell, cell, "the first time"))
        if number == 0 and any(".backward(" in other for other in cells):
            shell.run_cell("torch.set_grad_enabled(True);")
    failed = None in seconds
    for cell, took in reversed(list(zip(cells, seconds))):
        if took is not None and took < CHEAP:
            failed |= any(run(shell, cell, "the second time") is None for _ in range(2))
    print(f"{len(cells)} cells, {sum(took or 0 for took in seconds):.0f} s the first time")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
