"""Where `i2s embed` writes: no name is another's, no photo is written over, and nothing is lost with a full disk."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from i2s.errors import OutputError
from i2s.files import write_atomically

SHEET = "sheet.png"


def names_of(photos: list[Path], endings: list[str]) -> list[str]:
    """A name for each photo's results: its stem, numbered where NAME + ending is a file already taken.

    Upper and lower case are the same, as they are in the folders of a Mac.
    """
    names: list[str] = []
    taken = {SHEET}
    for photo in photos:
        stem = name = photo.stem or "photo"
        number = 2
        while not taken.isdisjoint(files := [(name + ending).casefold() for ending in endings]):
            name, number = f"{stem}-{number}", number + 1
        taken.update(files)
        names.append(name)
    return names


def check_outputs(folder: Path, files: list[str], inputs: list[Path | None], checkpoint: Path | None) -> None:
    """OutputError before the work, not after it: for a place that cannot be written to, and for a file that is read."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder for the results: choose another one with --out.")
    _try(folder)
    if checkpoint is not None:
        _try(checkpoint.parent)
    written = [folder / file for file in files] + ([] if checkpoint is None else [checkpoint])
    for given in inputs:
        if given is not None and any(_same(given, path) for path in written):
            raise OutputError(f"{given} would be overwritten by a result: choose another folder with --out.")


@contextmanager
def kept(result) -> Iterator[None]:
    """Around the writing of an `EmbedResult`: where it fails, the result is put among the temporary files instead.

    OutputError all the same: it says where.
    """
    try:
        yield
    except OutputError as error:
        place = Path(tempfile.gettempdir()) / f"i2s-embedding-{os.getpid()}.safetensors"
        try:
            result.save(place)
        except OutputError:
            raise error from None
        raise OutputError(f"{error} What was found is in {place}.") from error


def _same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _try(folder: Path) -> None:
    write_atomically(folder / ".i2s-probe", b"").unlink()
