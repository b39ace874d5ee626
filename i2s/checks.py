"""Old place of the exercise checks, for one release: they are in `i2s.course.lesson01` to `lesson05`."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType

from i2s import course


def _lessons() -> Iterator[ModuleType]:
    """Load the lessons one after the other."""
    for module in pkgutil.iter_modules(course.__path__, "i2s.course."):
        if module.name.startswith("i2s.course.lesson"):
            yield importlib.import_module(module.name)


def __getattr__(name: str) -> Callable[..., None]:
    """Find `check_...` in the lessons, which are loaded when first asked for (PEP 562)."""
    for lesson in _lessons() if name.startswith("check_") else ():
        if hasattr(lesson, name):
            return getattr(lesson, name)
    raise AttributeError(f"i2s.checks has no {name}.")


def __dir__() -> list[str]:
    """List the checks of all exercises, as `checks.<Tab>` offers them."""
    found = (item for lesson in _lessons() for item in vars(lesson).items())
    return sorted(name for name, check in found if name.startswith("check_") and hasattr(check, "__wrapped__"))
