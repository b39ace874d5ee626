"""How long from a slider's event to the new frame: `python benchmarks/explorers.py`. Milliseconds, median and p95."""

import time

import torch

from i2s import load_generator
from i2s.course import CrossoverExplorer, MorphExplorer


def milliseconds(move, values) -> list[float]:
    """Of each of `move(value)`."""
    found = []
    for value in values:
        start = time.perf_counter()
        move(value)
        found.append(1000 * (time.perf_counter() - start))
    return found


def main() -> None:
    generator = load_generator()
    codes = list(generator.mapping(generator.sample_z(3, seed=1), truncation_psi=0.7))
    morph, crossing = MorphExplorer(generator, codes), CrossoverExplorer(generator, codes)
    places = [0.02 * k for k in range(1, 100)]
    splits = [k % (generator.num_ws + 1) for k in range(1, 100)]
    runs = {
        "MorphExplorer": milliseconds(lambda v: setattr(morph.slider, "value", v), places),
        "CrossoverExplorer": milliseconds(lambda v: setattr(crossing.split, "value", v), splits),
    }
    for name, values in runs.items():
        times = torch.tensor(values)
        middle, slow = times.median(), times.quantile(0.95)
        print(f"{name}: median {middle:.0f} ms, p95 {slow:.0f} ms, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
