"""Input files of a command line: patterns, folders, `~` and standard input; web addresses are refused.

Unix shells expand patterns and `~` themselves, but not those of Windows, nor any after a quote or a `--option=`.
"""

import glob
import os
import re
import sys
from pathlib import Path

from i2s.errors import I2SError, ImageError, SettingsError
from i2s.files import local_path

STANDARD_INPUT = "-"
PHOTO_ENDINGS = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ppm", ".pgm"),
    *(".avif", ".heic", ".heif"),
)


def find_photos(arguments: list[str]) -> list[Path | bytes]:
    """Return the photos of a command line, in its order; those of a pattern or folder in the order of their names.

    Args:
        arguments: Paths, patterns, folders (those files in them that are images by their endings), or "-" for the bytes
            of standard input.

    Raises:
        ImageError: A pattern fits nothing, a folder has no photos, or an address is one of the web.
        SettingsError: "-" is there twice.
    """
    check_standard_input(arguments)
    photos: list[Path | bytes] = []
    for argument in arguments:
        if argument == STANDARD_INPUT:
            photos.append(read_standard_input())
            continue
        for path in find_files(argument, ImageError, "download the picture and give the path of its file"):
            photos += _photos_in(path) if path.is_dir() else [path]
    return photos


def check_standard_input(arguments: list[str]) -> None:
    """SettingsError if "-" is there twice."""
    if arguments.count(STANDARD_INPUT) > 1:
        raise SettingsError("Standard input (-) can be read only once: give - once.")


def read_standard_input() -> bytes:
    """Return the bytes of standard input; ImageError if it is closed."""
    if sys.stdin is None:
        raise ImageError("Standard input (-) is closed: give the path of a photo.")
    return sys.stdin.buffer.read()


def find_files(argument: str, error: type[I2SError], advice: str) -> list[Path]:
    """Return the files that match a pattern, sorted; the path itself if it is no pattern or names a file.

    Args:
        argument: As it was given.
        error: The class that is raised.
        advice: What the user should do with a web address, without the full stop.

    Raises:
        error: No file fits the pattern; or it is a web address.
    """
    path = local_path(argument, error, advice)
    if os.path.exists(path) or not re.search(r"[*?[]", str(path)):
        return [path]
    found = sorted(filter(os.path.isfile, glob.glob(str(path), recursive=True)))
    if not found:
        raise error(f"No file fits the pattern {argument}: check the name and the folder.")
    return [Path(file) for file in found]


def _photos_in(folder: Path) -> list[Path]:
    photos = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTO_ENDINGS and not path.name.startswith(".") and path.is_file()
    )
    if not photos:
        raise ImageError(f"{folder} is a folder without photos: give one that has some, or the photos themselves.")
    return photos
