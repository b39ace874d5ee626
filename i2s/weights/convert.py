"""Convert any weight file that i2s reads to its own safetensors format."""

import hashlib
from pathlib import Path

from i2s.errors import OutputError, one_line
from i2s.files import local_path
from i2s.generators import load_generator, resolve
from i2s.generators.file import is_safetensors, read_metadata, save_generator
from i2s.weights.catalog import entries


def convert(src: str | Path, out: str | Path, half: bool = False, class_idx: int | None = None) -> Path:
    """Write a generator to a safetensors file, with its source, that file's checksum and licence.

    Args:
        src: A weight file, or a name of the catalog.
        out: The new file; its name ends in .safetensors.
        half: Store trained weights in float16, which halves the file (see `save_generator`); False is exact.
        class_idx: The class that a conditional network draws; the new file holds that one alone.

    Returns:
        `out`.

    Raises:
        WeightFileError: The source cannot be read, or is conditional and no class is given.
        SettingsError: There is no such class.
        DownloadError: The source must be downloaded and cannot be.
        OutputError: `out` cannot be written, has another suffix, or is the source.
    """
    out = local_path(out)
    if out.suffix != ".safetensors":
        raise OutputError(f"{out} does not end in .safetensors: choose a name that does, so that its format shows.")
    source = resolve(src)
    generator = load_generator(
        source, class_idx=class_idx
    )  # first: a missing source is reported before `out` is checked
    try:
        same = out.exists() and out.samefile(source)
    except (OSError, ValueError) as error:
        raise OutputError(f"{out} cannot be written ({one_line(error)}): choose another name.") from error
    if same:
        raise OutputError(f"{out} is the source itself: choose another name.")
    metadata = read_metadata(source) if is_safetensors(source) else {}
    if not metadata:
        metadata = {"name": source.stem, "source": source.name, "source_sha256": _sha256(source)}
        metadata |= _origin(str(src), metadata["source_sha256"])
        if class_idx is not None:
            metadata["class"] = str(class_idx)
    return save_generator(generator, out, half, metadata)


def _origin(name: str, sha256: str) -> dict[str, str]:
    """Return the licence of the source and, if it is a file of the catalog, name and address."""
    for entry in entries():
        if entry.name == name or entry.sha256 == sha256:
            return {"name": entry.name, "licence": f"{entry.licence.name}, {entry.licence.url}", "url": entry.url}
    return {"licence": "that of the source file"}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
