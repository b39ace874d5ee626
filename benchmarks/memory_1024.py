"""How much GPU memory does an embedding at 1024 px take? `python benchmarks/memory_1024.py --out benchmarks/results`.

Counts every tensor that one step must hold at once: weights, Adam's memory, the photo's features, and what autograd
keeps of the forward pass for the way back (each storage once). The networks have their real sizes and random weights;
the count does not depend on the values, nor on the device. With CUDA the peak is measured as well.
"""

import argparse
import json
from pathlib import Path

import torch

from i2s.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from i2s.losses import ImageLoss
from i2s.losses.vgg16 import VGG16

DTYPES = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}
T4 = 15.0  # GB that a Tesla T4 offers


class Kept:
    """Context: counts the bytes of all storages that autograd saves, each once; `counted` are not counted again."""

    def __init__(self, counted):
        self.seen = {t.untyped_storage().data_ptr() for t in counted}
        self.bytes, self.alive = 0, []

    def __enter__(self):
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda t: t)
        self.hooks.__enter__()
        return self

    def __exit__(self, *args):
        self.hooks.__exit__(*args)

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.seen:
            self.seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        self.alive.append(tensor)  # so that no address is used twice while we count
        return tensor


def count(generator, loss, dtype, batch: int) -> dict[str, float]:
    """Gigabytes (1e9) of one step with a batch of photos, by what they are for."""
    size = lambda tensors: sum(t.numel() * t.element_size() for t in tensors) / 1e9  # noqa: E731
    weights = [*generator.parameters(), *generator.buffers(), *loss.terms[1].net.parameters()]
    code = generator.w_mean.expand(batch, generator.num_ws, -1).clone().requires_grad_()
    with torch.no_grad():
        prepared = loss.prepare(torch.zeros(1, 3, generator.resolution, generator.resolution))
    target = sum(t.numel() for t in [prepared[1][0], *prepared[1][1]]) * 4 * batch / 1e9
    with Kept(weights) as kept:
        image = generator.synthesis(code, dtype=dtype)
        sum(loss(image, loss_prepared(prepared, batch)).values()).sum()
    found = {"weights": size(weights), "photo's features": target, "kept for the way back": kept.bytes / 1e9}
    found["code and Adam"] = 4 * size([code])
    return found | {"together": sum(found.values())}


def loss_prepared(prepared, batch: int):
    """The features of one photo, shown to the loss as those of `batch`."""
    shape, (pixels, maps) = prepared
    wide = lambda t: t.expand(batch, -1, -1, -1)  # noqa: E731
    return (batch, *shape[1:]), [wide(pixels), [wide(m) for m in maps]]


def measure(generator, loss, dtype, batch: int) -> float:
    """Peak gigabytes that CUDA allocated for three steps."""
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
