"""Latency of the explorers, from a slider's event to the new image: `python benchmarks/explorers.py`."""

import time
from collections.abc import Iterable

import torch
from ipywidgets import Widget

from i2s import load_generator
from i2s.course import CrossoverExplorer, MorphExplorer


def latencies(control: Widget, values: Iterable[float]) -> list[float]:
    """Milliseconds that each change of a control takes."""
    found = []
    for value in values:
        start = time.perf_counter()
        control.value = value
        found.append(1000 * (time.perf_counter() - start))
    return found


def main() -> None:
    """Run the benchmark."""
    generator = load_generator()
    codes = list(generator.mapping(generator.sample_z(3, seed=1), truncation_psi=0.7))
    morph = MorphExplorer(generator, codes)
    crossing = CrossoverExplorer(generator, codes)
    positions = [0.02 * k for k in range(1, 100)]
    splits = [k % (generator.num_ws + 1) for k in range(1, 100)]
    runs = {
        "MorphExplorer": latencies(morph.slider, positions),
        "CrossoverExplorer": latencies(crossing.split, splits),
    }
    for name, values in runs.items():
        times = torch.tensor(values)
        p95 = times.quantile(0.95)
        print(f"{name}: median {times.median():.0f} ms, p95 {p95:.0f} ms, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
