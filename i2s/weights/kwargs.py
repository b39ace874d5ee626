"""The settings (keyword arguments) that a weight file says its network was made with.

They are taken one by one. A setting that i2s does not know could change what the network computes, so what is left
over at the end is an error, not ignored.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from i2s.errors import SettingsError, WeightFileError
from i2s.generators.base import check_size, shown
from i2s.weights.limits import printable

PLAIN = (bool, int, float, str, type(None))
_REQUIRED = object()


@contextmanager
def settings_of_a_file() -> Iterator[None]:
    """Turn the SettingsError of a network's configuration into a WeightFileError."""
    try:
        yield
    except SettingsError as error:
        reason = str(error).rstrip(".")
        raise WeightFileError(f"the settings in the file describe no network that i2s can build ({reason})") from error


class Settings:
    """A network's settings, each to be taken once; WeightFileError for one that is missing, wrong or unknown."""

    def __init__(self, values: object, owner: str):
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise WeightFileError(f"the settings of {owner} are not a table of names and values")
        self._left, self._owner = {name: _plain(name, value) for name, value in values.items()}, owner

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """Names and values of what has not been taken."""
        return iter(self._left.items())

    def take(self, name: str, default: object = _REQUIRED) -> object:
        """The value as it is; the configuration class that gets it checks it."""
        value = self._left.pop(name, default)
        if value is _REQUIRED:
            raise WeightFileError(f"the settings of {self._owner} do not say {name}: the file is of an unknown variant")
        return value

    def take_size(self, name: str, default: int, low: int = 1) -> int:
        """The value, a whole number from `low`."""
        value = self.take(name, default)
        with settings_of_a_file():
            check_size(name, value, low, 2**24)
        return value

    def expect(self, name: str, *allowed: object) -> None:
        """The setting is absent (its default is the first one allowed) or has one of the allowed values."""
        value = self._left.pop(name, allowed[0])
        value = list(value) if isinstance(value, tuple) else value
        if not any(type(value) is type(one) and value == one for one in allowed):
            known = repr(allowed[-1])
            raise WeightFileError(f"{name} of {self._owner} is {shown(value)}: i2s reads networks with {known} only")

    def ignore(self, *names: str) -> None:
        """Settings that change nothing in what is computed here."""
        for name in names:
            self._left.pop(name, None)

    def finish(self) -> None:
        """All settings were known."""
        if self._left:
            names = ", ".join(sorted(printable(name, 40) for name in self._left)[:3])
            raise WeightFileError(f"{self._owner} has settings that i2s does not know ({names}): an unknown variant")


def _plain(name: str, value: object) -> object:
    """The value of a setting: a number, a text, None, a short list of those, or a table (settings of a part)."""
    value = value.item() if isinstance(value, np.generic) else value
    short = isinstance(value, (list, tuple)) and len(value) <= 64
    if isinstance(value, PLAIN + (Mapping,)) or (short and all(isinstance(one, PLAIN) for one in value)):
        return value
    raise WeightFileError(f"the setting {printable(name, 40)} is of type {type(value).__name__}, which no network has")
