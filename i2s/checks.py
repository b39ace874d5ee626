"""The checks of the exercises, found by name: `checks.check_morph(answer)`; they stand in `i2s.course.lessonNN`."""

import importlib
import pkgutil

from i2s import course


def __getattr__(name: str):
    """Find `check_...` in the lessons' files, loaded when first asked for (PEP 562)."""
    if name.startswith("check_"):
        for module in pkgutil.iter_modules(course.__path__):
            if module.name.startswith("lesson"):
                found = getattr(importlib.import_module(f"i2s.course.{module.name}"), name, None)
                if found is not None:
                    return found
    raise AttributeError(f"i2s.checks has no {name}.")
