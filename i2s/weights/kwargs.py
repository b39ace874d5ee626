"""Keyword arguments that the network in a weight file was built with.

They are taken one by one. A setting that i2s does not know could change what the network computes, so whatever is left
at the end is an error.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from i2s.errors import WeightFileError, printable
from i2s.generators.base import check_size, shown
from i2s.generators.file import config_errors

PLAIN = (bool, int, float, str, type(None))
_REQUIRED = object()


class Settings:
    """Settings of a network, each taken once; a missing, wrong or unknown one is a WeightFileError."""

    def __init__(self, values: object, owner: str):
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise WeightFileError(f"The settings of {owner} are not a dictionary: the file is damaged.")
        self._left = {name: _plain(name, value) for name, value in values.items()}
        self._owner = owner

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """Iterate over names and values that have not been taken."""
        return iter(self._left.items())

    def take(self, name: str, default: object = _REQUIRED) -> object:
        """Take a value as it is; the configuration class checks it."""
        value = self._left.pop(name, default)
        if value is _REQUIRED:
            raise WeightFileError(f"The settings of {self._owner} lack {name}: i2s does not read this variant.")
        return value

    def take_size(self, name: str, default: int, low: int = 1) -> int:
        """Take a whole number, at least `low`."""
        value = self.take(name, default)
        with config_errors():
            check_size(name, value, low, 2**24)
        return value

    def expect(self, name: str, *allowed: object) -> None:
        """Take a setting that must have one of the allowed values; the first one is its default."""
        value = self._left.pop(name, allowed[0])
        value = list(value) if isinstance(value, tuple) else value
        if not any(type(value) is type(one) and value == one for one in allowed):
            known = repr(allowed[-1])
            raise WeightFileError(
                f"Setting {name} of {self._owner} is {shown(value)}: i2s reads networks with {known} only."
            )

    def take_channels(self, name: str) -> int:
        """Take the number of channels of the images: 3, or 1 for a grey network."""
        value = self.take(name, 3)
        if type(value) is not int or value not in (1, 3):
            what = "with transparency (RGBA)" if type(value) is int and value == 4 else f"with {shown(value)} channels"
            raise WeightFileError(f"Setting {name} says that images are {what}: i2s reads grey and RGB networks only.")
        return value

    def take_hidden_width(self, name: str, default: int | None, config: Mapping[str, object]) -> int | None:
        """Take the width of the hidden layers of the mapping network; None stands for w_dim, or no such layers."""
        width = self.take(name, default)
        if width is not None:
            with config_errors():
                check_size(name, width)
        same = width == config["w_dim"] or config["mapping_layers"] == 1
        return None if same else width

    def ignore(self, *names: str) -> None:
        """Drop settings that do not change what is computed here."""
        for name in names:
            self._left.pop(name, None)

    def finish(self) -> None:
        """Check that no setting is left."""
        if self._left:
            names = ", ".join(sorted(printable(name, 40) for name in self._left)[:3])
            raise WeightFileError(
                f"The settings of {self._owner} have unknown names ({names}): i2s does not read this variant."
            )


def _plain(name: str, value: object) -> object:
    """Check a value: a number, a text, None, a short list of those, or a dictionary (settings of a part)."""
    value = value.item() if isinstance(value, np.generic) else value
    short = isinstance(value, (list, tuple)) and len(value) <= 64
    if isinstance(value, PLAIN + (Mapping,)) or (short and all(isinstance(one, PLAIN) for one in value)):
        return value
    raise WeightFileError(f"Setting {printable(name, 40)} is of type {type(value).__name__}, which no network has.")
