"""Helpers of the benchmarks: clock, machine, commit, quartiles, tables."""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def clock(device: str = "cpu") -> float:
    """Seconds of processor time with one thread, which other programs disturb less; else of wall time."""
    if device == "cuda":
        torch.cuda.synchronize()
    one = device == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if one else time.perf_counter()


def machine(device: str = "cpu") -> str:
    """Describe the processor or GPU, the threads and the version of torch."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{processor()}, {torch.get_num_threads()} thread(s)"
    return f"{name}, torch {torch.__version__}"


def commit() -> str:
    """Short hash of the commit, with a + if files of the library have changed since; "" outside a clone."""
    here = Path(__file__).parents[1]
    try:
        head = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=here, text=True).strip()
        changed = subprocess.check_output(["git", "status", "--porcelain", "-uno", "i2s", "data"], cwd=here, text=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed else "")


def photos(folder: Path, limit: int | None = None) -> list[Path]:
    """List the images of a folder by name, at most `limit`."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png"))[:limit]


def quartiles(values: Iterable[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile; the values may be infinite."""
    ordered = sorted(values)
    quarter = (len(ordered) - 1) // 4  # no interpolation, which infinite values do not allow
    low, high = ordered[quarter], ordered[-1 - quarter]
    return low, statistics.median(ordered), high


def markdown(rows: list[dict]) -> str:
    """Format rows with the same keys as a Markdown table."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join(lines + ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows])


def write(folder: Path, name: str, table: dict, text: str) -> None:
    """Write `table` to FOLDER/NAME.json and `text` to FOLDER/NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n")
    (folder / f"{name}.md").write_text(text.rstrip() + "\n")


def processor() -> str:
    """Model of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
