"""Catalog of generators: name, source, licence, checksum.

The vendor publishes no checksums: those here are of public copies. Where none is known it is recorded on first use.
Mirrors are given only with a checksum, because nothing else says that a copy is the original.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from i2s.errors import SettingsError, WeightFileError
from i2s.files import cache_dir, data_dir
from i2s.weights.fetch import Licence, fetch, megabytes, tell

FOLDER = "generators"

OWN = Licence("MIT", "trained for this project; use as you like.", "https://opensource.org/license/mit")
CC_BY_NC = Licence(
    "CC BY-NC 4.0 (non-commercial)",
    "NVIDIA's StyleGAN weights may be used and changed with attribution, for non-commercial purposes only.",
    "https://creativecommons.org/licenses/by-nc/4.0/",
)
STYLEGAN2 = Licence(
    "NVIDIA StyleGAN2 (non-commercial)",
    "NVIDIA's StyleGAN2 weights, also converted ones, are for research and evaluation only, not for commercial use; "
    "that holds for what is derived from them, too.",
    "https://nvlabs.github.io/stylegan2/license.html",
)
ADA = Licence(
    "NVIDIA StyleGAN2-ADA (non-commercial)",
    "NVIDIA's StyleGAN2-ADA weights are for research and evaluation only, not for commercial use; "
    "that holds for what is derived from them, too.",
    "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html",
)
STYLEGAN3 = Licence(
    "NVIDIA StyleGAN3 (non-commercial)",
    "The weights NVIDIA released with StyleGAN3 are for research and evaluation only, not for commercial use; "
    "that holds for what is derived from them, too.",
    "https://github.com/NVlabs/stylegan3/blob/main/LICENSE.txt",
)


@dataclass(frozen=True)
class Entry:
    """A generator of the catalog."""

    name: str
    kind: str  # architecture, for people
    resolution: int  # of its images, in pixels
    licence: Licence
    filename: str
    url: str = ""  # source; "" if the file is shipped with i2s
    size: int | None = None  # in bytes, rounded where only that is known
    sha256: str | None = None  # None: recorded on first use
    mirrors: tuple[str, ...] = ()  # further addresses, asked after `url`

    @property
    def path(self) -> Path:
        """Path of the file, whether it is there or not."""
        return cache_dir() / FOLDER / self.filename if self.url else data_dir() / self.filename

    @property
    def state(self) -> str:
        """ "shipped", "cached", "to fetch", or "missing" (a shipped file that is not there)."""
        if not self.url:
            return "shipped" if self.path.is_file() else "missing"
        return "cached" if self.path.is_file() else "to fetch"

    @property
    def bytes(self) -> int | None:
        """Size of the file that is there, else of the one to fetch."""
        return self.path.stat().st_size if self.path.is_file() else self.size


_ADA_FOLDER = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research"
_HUB = "https://huggingface.co"

_ENTRIES = (
    Entry("faces-128", "StyleGAN2", 128, OWN, "faces-128.safetensors"),
    Entry("faces-64", "StyleGAN2", 64, OWN, "faces-64.safetensors"),
    Entry("faces-64-adain", "StyleGAN1", 64, OWN, "faces-64-adain.safetensors"),
    Entry(
        "ffhq-1024",
        "StyleGAN2-ADA",
        1024,
        ADA,
        "ffhq.pkl",
        f"{_ADA_FOLDER}/ffhq.pkl",
        381_624_121,
        "a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c",
        (f"{_HUB}/DragGan/DragGan-Models/resolve/refs%2Fpr%2F3/stylegan2-ffhq1024x1024.pkl",),
    ),
    Entry(
        "ffhq-512",
        "StyleGAN2",
        512,
        STYLEGAN3,
        "stylegan2-ffhq-512x512.pkl",
        f"{_NGC}/stylegan2/versions/1/files/stylegan2-ffhq-512x512.pkl",
        364_000_000,
        "d2b1c92f41ce8a64c55f7a75ef06c4c0eef9e17b1eb29aae8c10fb37b3e60478",
        (f"{_HUB}/DragGan/DragGan-Models/resolve/refs%2Fpr%2F2/stylegan2-ffhq-512x512.pkl",),
    ),
    Entry(
        "ffhq-256",
        "StyleGAN2",
        256,
        STYLEGAN3,
        "stylegan2-ffhq-256x256.pkl",
        f"{_NGC}/stylegan2/versions/1/files/stylegan2-ffhq-256x256.pkl",
    ),
    Entry(
        "ffhq-1024-configf",
        "StyleGAN2 (TensorFlow)",
        1024,
        STYLEGAN2,
        "stylegan2-ffhq-config-f.pkl",
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks/stylegan2-ffhq-config-f.pkl",
        381_673_535,
        "adf127ea7bb8a7788c8bdeda3c9937f7310b669b09ecf799ca53a631ff46948d",
        (
            f"{_HUB}/aaronb/StyleGAN2-pkl/resolve/422f40439ddaa6d041cf698347f08e9bdf9f6036"
            "/stylegan2/stylegan2-ffhq-config-f.pkl",
        ),
    ),
    Entry(
        "ffhq-1024-rosinality",
        "StyleGAN2 (rosinality)",
        1024,
        STYLEGAN2,
        "stylegan2-ffhq-config-f.pt",
        f"{_HUB}/akhaliq/OneshotCLIP-stylegan2-ffhq/resolve/main/stylegan2-ffhq-config-f.pt",
        381_462_551,
        "bae494ef77e32a9cd1792a81a3c167692a0e64f6bcd8b06592ff42917e2ed46e",
        (f"{_HUB}/akhaliq/jojogan-stylegan2-ffhq-config-f/resolve/main/stylegan2-ffhq-config-f.pt",),
    ),
    Entry(
        "ffhq-1024-stylegan1",
        "StyleGAN (TensorFlow)",
        1024,
        CC_BY_NC,
        "karras2019stylegan-ffhq-1024x1024.pkl",
        "https://drive.google.com/uc?id=1MEGjdvVpUsu1jB4zrXZN7Y4kBBOzizDQ",
    ),
    Entry(
        "ffhq-1024-stylegan3",
        "StyleGAN3-T",
        1024,
        STYLEGAN3,
        "stylegan3-t-ffhq-1024x1024.pkl",
        f"{_NGC}/stylegan3/versions/1/files/stylegan3-t-ffhq-1024x1024.pkl",
        sha256="efd9fa1f967a11b5390399a8ed512dc32e341c245fa2d4dafa6d94e96222085b",
    ),
    Entry(
        "ffhq-1024-stylegan3-r",
        "StyleGAN3-R",
        1024,
        STYLEGAN3,
        "stylegan3-r-ffhq-1024x1024.pkl",
        f"{_NGC}/stylegan3/versions/1/files/stylegan3-r-ffhq-1024x1024.pkl",
    ),
    Entry(
        "metfaces",
        "StyleGAN2-ADA",
        1024,
        ADA,
        "metfaces.pkl",
        f"{_ADA_FOLDER}/metfaces.pkl",
        382_000_000,
        "880a460d011a3696c088f58f5844b44271b17903963f2671f96f72dfbce5f76f",
        (f"{_HUB}/aaronb/StyleGAN2-pkl/resolve/7d9a80d433e2a63592e73622d3606d600f1fd46e/ada/metfaces.pkl",),
    ),
    Entry("afhqcat", "StyleGAN2-ADA", 512, ADA, "afhqcat.pkl", f"{_ADA_FOLDER}/afhqcat.pkl", 364_000_000),
    Entry("afhqdog", "StyleGAN2-ADA", 512, ADA, "afhqdog.pkl", f"{_ADA_FOLDER}/afhqdog.pkl", 364_000_000),
    Entry("afhqwild", "StyleGAN2-ADA", 512, ADA, "afhqwild.pkl", f"{_ADA_FOLDER}/afhqwild.pkl", 364_000_000),
)


def entries() -> tuple[Entry, ...]:
    """Return all generators of the catalog."""
    return _ENTRIES


def entry(name: str) -> Entry:
    """Return the entry of that name.

    Raises:
        SettingsError: There is none; the message has the names that are like it.
    """
    by_name = {one.name: one for one in entries()}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name.strip().lower(), by_name, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}?" if near else f"the names are {', '.join(by_name)}."
    raise SettingsError(
        f"No generator is called {name!r}, and there is no such file: {meant} (`i2s generators` shows them all)"
    )


def find(name: str, *, progress: bool = True, say: Callable[[str], None] = tell) -> Path:
    """Return the weight file of a generator of the catalog; download it if the cache does not hold it.

    Args:
        name: Name in the catalog.
        progress: Show a progress bar.
        say: Called with each message for the user.

    Raises:
        SettingsError: There is no such name.
        DownloadError: The file cannot be downloaded.
        WeightFileError: A shipped file is missing.
    """
    one = entry(name)
    if one.url:
        return fetch(
            one.url,
            f"{FOLDER}/{one.filename}",
            one.sha256,
            licence=one.licence,
            mirrors=one.mirrors,
            size=one.size,
            progress=progress,
            say=say,
        )
    if not one.path.is_file():
        raise WeightFileError(f"{one.name} is shipped with i2s, but {one.path} is missing: install i2s again.")
    return one.path


def table() -> str:
    """Format the catalog: a line for each generator, with its licence and state."""
    head = ("name", "kind", "pixels", "size", "licence", "")
    rows = [
        (
            one.name,
            one.kind,
            str(one.resolution),
            megabytes(one.bytes) if one.bytes else "not known",
            one.licence.name,
            one.state,
        )
        for one in entries()
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return "\n".join("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip() for row in (head, *rows))
