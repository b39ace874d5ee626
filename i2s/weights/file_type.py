"""Container of a weight file, told by its first bytes (magic numbers)."""

import mmap
from pathlib import Path

from i2s.errors import WeightFileError, one_line
from i2s.files import local_path

# torch.save before version 1.6 begins with these two pickles: a magic number and the protocol version 1001.
TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."

NPY = b"\x93NUMPY"
_OTHERS = (  # first bytes -> what is wrong
    (b"version https://git-lfs", "is a git-lfs pointer, not the weights: fetch the file itself (`git lfs pull`)"),
    (b"\x89PNG\r\n\x1a\n", "is a PNG image, not weights: choose a weight file"),
    (b"\xff\xd8\xff", "is a JPEG image, not weights: choose a weight file"),
    (b"PK\x05\x06", "is an empty zip archive: choose another file"),
    (NPY, "is a NumPy array, such as a latent code, not weights: choose a weight file"),
    (b"\x1f\x8b", "is compressed with gzip: decompress it first"),
    (b"BZh", "is compressed with bzip2: decompress it first"),
    (b"\xfd7zXZ", "is compressed with xz: decompress it first"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, which i2s does not read: use the official file"),
)


def sniff(start: bytes) -> str:
    """Tell the container by the first 1024 bytes of a file.

    Returns:
        "pickle", "torch-zip", "torch-legacy" or "safetensors".

    Raises:
        WeightFileError: The file is plainly something else.
    """
    if not start:
        raise WeightFileError("The file is empty: fetch it again from its official source.")
    if start.startswith(b"PK\x03\x04"):
        return "torch-zip"
    if start.startswith(TORCH_LEGACY):
        return "torch-legacy"
    if len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100 << 20:
        return "safetensors"
    for magic, what in _OTHERS:
        if start.startswith(magic):
            raise WeightFileError(f"The file {what}.")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        raise WeightFileError(
            "The file is a web page, not weights (a download quota or a login is in the way): try again later, use a "
            "mirror, or save the file by hand in a browser."
        )
    return "pickle"


def open_bytes(path: str | Path) -> memoryview:
    """Map a file into memory.

    Raises:
        WeightFileError: It is missing, is no file, or cannot be opened.
    """
    path = local_path(path, WeightFileError, "download the file and give its path")
    try:
        if not path.is_file():
            raise WeightFileError(
                f"It {'is not a file: name one' if path.exists() else 'does not exist: check the name'}."
            )
        with path.open("rb") as file:
            if not file.seek(0, 2):
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise WeightFileError(f"It cannot be opened ({one_line(error)}): check its permissions.") from error
