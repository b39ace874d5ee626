"""Old place of the exercise checks, for one release: they are in `i2s.course.lesson01` to `lesson05`."""

import importlib
import pkgutil
from collections.abc import Callable

from i2s import course


def __getattr__(name: str) -> Callable[..., None]:
    """Find `check_...` in the lessons, which are loaded when first asked for (PEP 562)."""
    if name.startswith("check_"):
        for module in pkgutil.iter_modules(course.__path__, "i2s.course."):
            if module.name.startswith("i2s.course.lesson"):
                check = getattr(importlib.import_module(module.name), name, None)
                if check is not None:
                    return check
    raise AttributeError(f"i2s.checks has no {name}.")
