"""All that needs a GPU, in one call of at most five minutes.

    python benchmarks/gpu.py --out benchmarks/results

tests: those that use CUDA when it is there. steps: `step_time.py` at 512 and 1024 px, and batches at 1024 px, in
float32, half precision, and half precision with a CUDA graph, with the peak memory of each. lessons: all at once, as
programs. Each part has its share of the time; one that takes longer is stopped, and said to have been. Without a GPU,
`--trial` goes the same ways with small networks, for which no number is kept.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report

ROOT = Path(__file__).resolve().parents[1]

SECONDS = {"tests": 70, "steps": 130, "lessons": 90}
TESTS = ("tests/embedding/test_cuda_graphs.py", "tests/generators", "tests/test_device.py")
STEPS = "--networks slim --implementations straightforward half graphed --repeat 5 --limit 3"
SIZES = "--resolution 512 1024 --batch 1 2 4 8 16 --batch-resolution 1024"
TRIAL = "--device cpu --resolution 16 32 --batch 1 2 --batch-resolution 32 --width 64"


def run(command: list[str], seconds: float, **options: object) -> tuple[str, str]:
    """Run a program of at most so many seconds; return how it ended, "" if well, and what it printed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **{"cwd": ROOT, **options})
    except subprocess.TimeoutExpired as error:
        return f"stopped after {seconds:.0f} s", str(error.stdout or "")
    return "" if done.returncode == 0 else f"ended with {done.returncode}", done.stdout + done.stderr


def tests(seconds: float, trial: bool) -> str:
    """Run the tests; return their last line, and those that failed."""
    names = TESTS[-1:] if trial else TESTS
    ended, said = run([sys.executable, "-W", "default", "-m", "pytest", "-q", "-x", *names], seconds)
    lines = [line for line in said.splitlines() if re.search(r"^FAILED|^ERROR| passed| failed|Warning:", line)]
    return "\n".join(filter(None, [ended, *dict.fromkeys(lines)])) or said[-2000:]


def steps(seconds: float, trial: bool, out: Path) -> list[dict]:
    """Measure steps; return the rows of a table, as many as there was time for."""
    options = [*STEPS.split(), *(TRIAL if trial else SIZES).split(), "--out", str(out)]
    ended, said = run([sys.executable, "benchmarks/step_time.py", *options], seconds)
    if ended:
        print(f"steps: {ended}\n{said[-2000:]}")
    file = out / "step_time.json"
    rows = []
    for row in json.loads(file.read_text())["rows"] if file.exists() else []:
        for name, taken in row["seconds"].items():
            cells = {"px": row["resolution"], "batch": row["batch"], "way": name}
            cells |= {"ms a step": f"{1000 * taken:.1f}", "ms a photo": f"{1000 * taken / row['batch']:.1f}"}
            rows.append(cells | {"peak, GB": f"{row['peak GB'].get(name, float('nan')):.2f}"})
    return rows


def lessons(seconds: float, trial: bool) -> list[dict]:
    """Run the lessons at once, each as a program; return how each went, with the device that it names."""
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    files = sorted((ROOT / "notebooks" / "source").glob("*.py"))[: 1 if trial else None]

    def lesson(file: Path) -> dict:
        began = time.perf_counter()
        command = [sys.executable, "-W", "default", str(file)]
        ended, said = run(command, seconds, env=environment, cwd=ROOT / "notebooks")
        if ended:
            print(f"{file.stem}: {ended}\n{said[-2000:]}")
        device = re.search(r"^device +(.*)$", said, re.M)
        row = {"lesson": file.stem, "ran": ended or "whole", "device": device[1] if device else ""}
        return row | {"seconds": f"{time.perf_counter() - began:.0f}", "warnings": said.count("Warning:")}

    with ThreadPoolExecutor(len(files)) as pool:
        return list(pool.map(lesson, files))


def main(arguments: list[str] | None = None) -> str:
    """Run all of it; return the page that is written."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    parser.add_argument("--parts", nargs="+", choices=SECONDS, default=list(SECONDS))
    parser.add_argument("--trial", action="store_true", help="small networks, on the CPU")
    options = parser.parse_args(arguments)
    if not options.trial and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here: --trial tries the program without one.")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    page = f"# On a GPU\n\n{report.machine('cpu' if options.trial else 'cuda')}; commit {report.commit()}.\n"
    for part in options.parts:
        began = time.perf_counter()
        if part == "steps":
            found = steps(SECONDS[part], options.trial, out)
        else:
            found = {"tests": tests, "lessons": lessons}[part](SECONDS[part], options.trial)
        body = f"```\n{found}\n```" if isinstance(found, str) else report.markdown(found) if found else "nothing"
        page += f"\n## {part.capitalize()}, {time.perf_counter() - began:.0f} s\n\n{body}\n"
        (out / "gpu.md").write_text(page)  # after each part, since the next may not end
    print(page)
    return page


if __name__ == "__main__":
    main()
