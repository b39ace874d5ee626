"""What the benchmarks share: which machine, which commit, medians, tables and files."""

import json
import platform
import statistics
import subprocess
import time
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def clock(device: str = "cpu") -> float:
    """Seconds: of the processor where there is one thread, which other programs disturb less; else of the wall."""
    if device == "cuda":
        torch.cuda.synchronize()
    one = device == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if one else time.perf_counter()


def machine(device: str = "cpu") -> str:
    """Processor or graphics card, threads, version of torch."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{_processor()}, {torch.get_num_threads()} thread(s)"
    return f"{name}, torch {torch.__version__}"


def commit() -> str:
    """The commit that was measured, with a + when a file of the library was changed since; "" outside a clone."""
    here = Path(__file__).parents[1]
    try:
        head = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=here, text=True).strip()
        changed = subprocess.check_output(["git", "status", "--porcelain", "-uno", "i2s", "data"], cwd=here, text=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed else "")


def photos(folder: Path, limit: int | None = None) -> list[Path]:
    """The pictures of a folder in the order of their names, at most `limit`."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".png"))[:limit]


def quartiles(values) -> tuple[float, float, float]:
    """(a quarter of the values is below, the median, a quarter is above); the values may be infinite."""
    ordered = sorted(values)
    # the values themselves, as no mean of two can be taken where one is infinite
    low, high = ordered[(len(ordered) - 1) // 4], ordered[-1 - (len(ordered) - 1) // 4]
    return low, statistics.median(ordered), high


def markdown(rows: list[dict]) -> str:
    """A table of rows with the same keys."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join(lines + ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows])


def write(folder: Path, name: str, table: dict, text: str) -> None:
    """`table` as FOLDER/NAME.json, `text` as FOLDER/NAME.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n")
    (folder / f"{name}.md").write_text(text.rstrip() + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
