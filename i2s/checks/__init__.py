"""Checks of the exercises, one file a lesson: `from i2s import checks`, then `checks.check_morph(answer)`.

Each says what is wrong with an answer and what the likely mistake is, and never shows the solution.
"""

import importlib
import pkgutil


def __getattr__(name: str):
    """Find `check_...` in the lessons' files, loaded when first asked for (PEP 562)."""
    if name.startswith("check_"):
        for module in pkgutil.iter_modules(__path__):
            if module.name.startswith("lesson"):
                found = getattr(importlib.import_module(f"{__name__}.{module.name}"), name, None)
                if found is not None:
                    return found
    raise AttributeError(f"i2s.checks has no {name}.")
