"""What kind of file is this? Told from its first bytes, before anything is read from it."""

import mmap
from pathlib import Path

from i2s.errors import WeightFileError

# torch.save before version 1.6 begins with these two pickles: a magic number and the protocol version 1001.
TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."

_OTHERS = [
    (
        b"version https://git-lfs",
        "is a git-lfs pointer, not the weights: fetch the file itself (`git lfs pull`)",
    ),
    (b"\x89PNG\r\n\x1a\n", "is a PNG picture, not weights"),
    (b"\xff\xd8\xff", "is a JPEG picture, not weights"),
    (b"\x1f\x8b", "is compressed with gzip: decompress it first"),
    (b"BZh", "is compressed with bzip2: decompress it first"),
    (b"\xfd7zXZ", "is compressed with xz: decompress it first"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, which i2s does not read: use the official file"),
]


def sniff(start: bytes) -> str:
    """The container that begins with `start` (its first 1024 bytes): "pickle", "torch-zip", "torch-legacy" or
    "safetensors". WeightFileError, as the end of a sentence, for what is plainly something else."""
    if not start:
        raise WeightFileError("is empty: fetch it again from its official source")
    if start.startswith(b"PK\x03\x04"):
        return "torch-zip"
    if start.startswith(TORCH_LEGACY):
        return "torch-legacy"
    if len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100 << 20:
        return "safetensors"
    for magic, what in _OTHERS:
        if start.startswith(magic):
            raise WeightFileError(what if ":" in what else f"{what}: choose a weight file")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        raise WeightFileError(
            "is a web page, not weights (a download quota or a login is in the way): try again later, use a "
            "mirror, or save the file by hand in a browser"
        )
    return "pickle"


def open_bytes(path: str | Path) -> memoryview:
    """The bytes of a file, mapped rather than read. WeightFileError when it is missing, no file, or empty."""
    path = Path(path)
    try:
        if not path.is_file():
            raise WeightFileError(
                "is not a file: name one" if path.exists() else "does not exist: check the name"
            )
        with path.open("rb") as file:
            if not file.seek(0, 2):
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise WeightFileError(f"cannot be opened ({error.strerror}): check its permissions") from error


def container_of(path: str | Path) -> str:
    """`sniff` for a file."""
    try:
        return sniff(bytes(open_bytes(path)[:1024]))
    except WeightFileError as error:
        raise WeightFileError(f"{path} {error}") from error
