"""Where shipped data lies, where downloads are kept, and whether there may be any."""

import os
from pathlib import Path

from platformdirs import user_cache_dir


def data_dir() -> Path:
    """Folder of the shipped weights: `i2s/data` in a wheel, the project's `data/` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "data"
    return installed if installed.is_dir() else package.parent / "data"


def cache_dir() -> Path:
    """Folder of downloaded files: `$I2S_CACHE`, or the user's cache folder of this system."""
    return Path(os.environ.get("I2S_CACHE") or user_cache_dir("i2s"))


def offline() -> bool:
    """Whether `$I2S_OFFLINE` forbids downloads."""
    return os.environ.get("I2S_OFFLINE", "").lower() in ("1", "true", "yes", "on")
