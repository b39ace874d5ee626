"""The encoder's file: one forward pass from a photo to the code w where its embedding may start.

    encoder = load_encoder()
    w = encoder(i2s.load_photos(files, 64))  # [N, w_dim]
    result = i2s.embed(files, generator, start=w[:, None].repeat(1, generator.num_ws, 1))

It belongs to the generator that it was trained with, and knows no other's W.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from i2s.errors import I2SError, WeightFileError
from i2s.files import data_dir, write_atomically
from i2s.generators.base import check_channels, check_resolution, check_size
from training.discriminators import Encoder

FORMAT, VERSION = "i2s-encoder", 1
LARGE, SCALE = "dense.weight", ".scale"  # the one matrix that is stored in 8 bits, and its scales
FILE = "encoder-64.safetensors"


def save_encoder(encoder: Encoder, path: str | Path, half: bool = True, notes: dict[str, str] | None = None) -> Path:
    """Write an encoder as safetensors, complete or not at all. OutputError.

    half: half precision, and the large dense matrix, half of all numbers, as whole numbers of 8 bits with a scale for
    each row, which adds a noise of about 1 % to what it puts out.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in encoder.state_dict().items()}
    if half:
        exact = encoder.state_dict()[LARGE].detach().cpu().float()
        scale = (exact.abs().amax(dim=1, keepdim=True).clamp_min(1e-8) / 127).half()  # [rows, 1]
        tensors[LARGE] = (exact / scale.float()).round().clamp(-127, 127).to(torch.int8)
        tensors[LARGE + SCALE] = scale
    config = {"channels": encoder.channels, "w_dim": encoder.w_dim, "resolution": encoder.resolution}
    metadata = {**(notes or {}), "format": FORMAT, "version": str(VERSION), "config": json.dumps(config)}
    return write_atomically(path, save(tensors, metadata))


def load_encoder(path: str | Path | None = None, device: str | torch.device = "cpu") -> Encoder:
    """The shipped encoder (or that of another file), frozen, float32. WeightFileError when the file is unusable.

    Its attribute `generator` is the name of the one that it was trained with, "" where the file does not say.
    """
    path = Path(path) if path is not None else data_dir() / FILE
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT or metadata.get("version") != str(VERSION):
                raise WeightFileError(f"{path} is not an encoder of this version of i2s: choose another file.")
            config = json.loads(metadata["config"])
            blocks = check_resolution(config["resolution"])
            channels = check_channels(config["channels"], blocks)
            check_size("w_dim", config["w_dim"])
            with torch.device("meta"):
                encoder = Encoder(channels, config["w_dim"])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}
            if LARGE + SCALE in tensors:
                tensors[LARGE] = tensors[LARGE] * tensors.pop(LARGE + SCALE)
            encoder.load_state_dict(tensors, assign=True)
    except FileNotFoundError:
        raise WeightFileError(f"There is no file {path}: install i2s again, or name the encoder's file.") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError, I2SError) as error:
        if isinstance(error, WeightFileError):
            raise
        raise WeightFileError(f"{path} is broken and cannot be read: fetch it again.") from error
    if not all(tensor.isfinite().all() for tensor in encoder.state_dict().values()):
        raise WeightFileError(f"{path} holds NaN or infinity: fetch it again.")
    encoder.generator = metadata.get("generator", "")
    return encoder.eval().requires_grad_(False).to(device)
