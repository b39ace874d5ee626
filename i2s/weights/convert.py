"""From any weight file that i2s reads to its own format, after which nothing needs a pickle again."""

import hashlib
from pathlib import Path

from i2s.errors import OutputError, one_line
from i2s.generators import load_generator, resolve
from i2s.generators.file import read_metadata, save_generator
from i2s.weights.catalog import entries
from i2s.weights.file_type import container_of


def convert(src: str | Path, out: str | Path, half: bool = False) -> Path:
    """Read the generator `src` (a file or a name of the catalog) and write it to `out`, a .safetensors file.

    half=False keeps every number as it is; half=True halves the file (see `save_generator`). The new file names its
    source and that file's checksum; the source's licence goes on holding for it.
    Errors: WeightFileError, DownloadError (a name that must be fetched), OutputError.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise OutputError(f"{out} does not end in .safetensors: choose a name that does, so that its format shows.")
    source = resolve(src)
    generator = load_generator(source)  # first, so that a source that is not there is told as what it is
    try:
        same = out.exists() and out.samefile(source)
    except (OSError, ValueError) as error:
        raise OutputError(f"{out} cannot be written ({one_line(error)}): choose another name.") from error
    if same:
        raise OutputError(f"{out} is the source itself: choose another name.")
    notes = read_metadata(source) if container_of(source) == "safetensors" else {}
    if not notes:
        notes = {"name": source.stem, "source": source.name, "source_sha256": _sha256(source)}
        notes |= _origin(str(src), notes["source_sha256"])
    return save_generator(generator, out, half, notes)


def _origin(name: str, sha256: str) -> dict[str, str]:
    """Licence and address, where the source is a file of the catalog; in any case they are those of the source."""
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
