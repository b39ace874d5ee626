"""Time and memory of a step for each photo, by how many are embedded at once: `python benchmarks/batches.py`.

The step of `i2s.embed` with the paper's settings and the network that ships with it, on a shipped generator; batches
take turns, medians are reported. Memory is the peak of a process that makes two steps, above what it held before; on
CUDA, what is allocated.
"""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import report
from benchmarks.step_time import Ours, interleaved, network, peak_of_process, photos_of
from i2s.generators import load_generator


def step_of(name: str, batch: int, device: str) -> Ours:
    """Prepare the step of a batch of random photos."""
    generator = load_generator(name, device)
    return Ours(generator, network("slim", device), photos_of(batch, generator.resolution, device))


def memory(name: str, batch: int, device: str, threads: int) -> float:
    """Measure the peak GB of two steps; on the CPU, call it in a fresh process."""
    torch.set_num_threads(threads)
    load_generator(name, device)
    before = peak_of_process()
    run = step_of(name, batch, device)
    run.step(), run.step()
    return torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else peak_of_process() - before


def memory_elsewhere(*case: object) -> float:
    """Call `memory` in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(memory, *case).result()


def measure(name: str, options: argparse.Namespace) -> list[dict]:
    """Return a row for each batch of one generator."""
    threads = torch.get_num_threads()
    peaks = {batch: memory_elsewhere(name, batch, options.device, threads) for batch in options.batch}
    calls = {batch: step_of(name, batch, options.device).step for batch in options.batch}
    seconds = interleaved(calls, options.repeat, options.limit, options.device)
    one = seconds[options.batch[0]] / options.batch[0]
    return [
        {
            "generator": name,
            "photos at once": batch,
            "ms a photo": f"{1000 * seconds[batch] / batch:.1f}",
            "times as fast as the first": f"{one * batch / seconds[batch]:.2f}",
            "peak, MB": f"{1000 * peaks[batch]:.0f}",
        }
        for batch in options.batch
    ]


def main(arguments: list[str] | None = None) -> dict:
    """Run the benchmark and return its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    parser.add_argument("--generator", nargs="+", default=["faces-64", "faces-128"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeat", type=int, default=7, help="turns that count")
    parser.add_argument("--limit", type=float, default=60, help="seconds of a generator after which no turn begins")
    options = parser.parse_args(arguments)
    table = {"machine": report.machine(options.device), "commit": report.commit()}
    table["rows"] = [row for name in options.generator for row in measure(name, options)]
    text = f"# Photos at once\n\n{report.markdown(table['rows'])}\n\n{table['machine']}; commit {table['commit']}.\n"
    report.write(options.out, "batches", table, text)
    print(text)
    return table


if __name__ == "__main__":
    main()
