"""GPU memory of an embedding at 1024 px: `python benchmarks/memory_1024.py --out benchmarks/results`.

Counts every tensor that one step must hold at once: weights, Adam's moments, the photo's features, and what autograd
saves for the backward pass (each storage once). The networks have their real sizes and random weights; the count
depends neither on values nor on the device. With CUDA the peak is measured as well.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.losses import ImageLoss
from i2s.losses.vgg16 import VGG16

DTYPES = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}
T4 = 15.0  # GB of a Tesla T4


class SavedTensors:
    """Context that counts the bytes of all storages that autograd saves, each once, without those of `counted`."""

    def __init__(self, counted: Iterable[Tensor]) -> None:
        self.seen = {t.untyped_storage().data_ptr() for t in counted}
        self.bytes = 0
        self.alive: list[Tensor] = []

    def __enter__(self) -> "SavedTensors":
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda t: t)
        self.hooks.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        self.hooks.__exit__(*args)

    def pack(self, tensor: Tensor) -> Tensor:
        """Count a tensor that autograd saves."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.seen:
            self.seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        self.alive.append(tensor)  # so that no address is reused
        return tensor


def gigabytes(tensors: Iterable[Tensor]) -> float:
    """Size of tensors in GB (1e9 bytes)."""
    return sum(t.numel() * t.element_size() for t in tensors) / 1e9


def count(generator: StyleGAN2, loss: ImageLoss, dtype: torch.dtype | None, batch: int) -> dict[str, float]:
    """Count the GB of one step with a batch of photos, by purpose."""
    weights = [*generator.parameters(), *generator.buffers(), *loss.terms[1].net.parameters()]
    code = generator.w_mean.expand(batch, generator.num_ws, -1).clone().requires_grad_()
    with torch.no_grad():
        prepared = loss.prepare(torch.zeros(1, 3, generator.resolution, generator.resolution))
    target = sum(t.numel() for t in [prepared[1][0], *prepared[1][1]]) * 4 * batch / 1e9
    with SavedTensors(weights) as saved:
        image = generator.synthesis(code, dtype=dtype)
        sum(loss(image, repeat_features(prepared, batch)).values()).sum()
    found = {"weights": gigabytes(weights), "photo's features": target, "kept for the way back": saved.bytes / 1e9}
    found["code and Adam"] = 4 * gigabytes([code])
    return found | {"together": sum(found.values())}


def repeat_features(prepared: tuple, batch: int) -> tuple:
    """Expand the prepared features of one photo to a batch, without copies."""
    shape, (pixels, maps) = prepared
    sizes = (batch, -1, -1, -1)
    return (batch, *shape[1:]), [pixels.expand(sizes), [m.expand(sizes) for m in maps]]


def measure(generator: StyleGAN2, loss: ImageLoss, dtype: torch.dtype | None, batch: int) -> float:
    """Measure the peak GB that CUDA allocates in three steps."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    code = generator.w_mean.expand(batch, generator.num_ws, -1).clone().requires_grad_()
    adam = torch.optim.Adam([code], lr=0.01)
    prepared = loss.prepare(torch.zeros(batch, 3, generator.resolution, generator.resolution, device="cuda"))
    for _ in range(3):
        total = sum(loss(generator.synthesis(code, dtype=dtype), prepared).values()).sum()
        adam.zero_grad()
        total.backward()
        adam.step()
    return torch.cuda.max_memory_allocated() / 1e9


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=["float32", "float16"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    channels = StyleGAN2Config().channels[: options.resolution.bit_length() - 2]
    generator = StyleGAN2(StyleGAN2Config(options.resolution, channels=channels)).eval().requires_grad_(False)
    loss = ImageLoss(VGG16().eval().requires_grad_(False))
    rows = []
    for dtype in options.dtype:
        for batch in options.batch:
            row = {"dtype": dtype, "photos": batch}
            row |= {name: round(value, 2) for name, value in count(generator, loss, DTYPES[dtype], batch).items()}
            rows.append(row)
            print(json.dumps(row), flush=True)
    if torch.cuda.is_available():
        generator, loss = generator.cuda(), ImageLoss(loss.terms[1].net.cuda())
        for row in rows:
            row["measured"] = round(measure(generator, loss, DTYPES[row["dtype"]], row["photos"]), 2)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        table = {"resolution": options.resolution, "unit": "GB", "a T4 has": T4, "rows": rows}
        (options.out / "memory_1024.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
