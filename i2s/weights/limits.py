"""Limits on what a weight file may cost: checked reads (`Cursor`), a budget, and the two errors that end a reading."""

import struct
from typing import Any

from i2s.errors import WeightFileError

UINT16, UINT32, UINT64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
INT32, INT64, DOUBLE = struct.Struct("<i"), struct.Struct("<q"), struct.Struct(">d")


def damaged(what: str) -> WeightFileError:
    """Return the error for a file that breaks the rules of its own format."""
    return WeightFileError(f"The file is damaged ({what}): fetch it again from its official source.")


def suspicious(what: str) -> WeightFileError:
    """Return the error for a file that does what no weight file needs; `what` begins with a verb ("asks for ...")."""
    return WeightFileError(
        f"The file {what}, which no weight file needs: do not open it with other programs, and fetch the weights "
        "from their official source."
    )


class Cursor:
    """Position in a buffer; every read is checked against the end, and slices are views, not copies."""

    def __init__(self, data):
        self.data = memoryview(data)
        self.position = 0

    @property
    def remaining(self) -> int:
        return len(self.data) - self.position

    def take(self, count: int) -> memoryview:
        start, stop = self.position, self.position + count
        if count < 0 or stop > len(self.data):
            raise damaged(f"it ends early: {count} bytes announced at byte {start}, {self.remaining} left")
        self.position = stop
        return self.data[start:stop]

    def byte(self) -> int:
        return self.take(1)[0]

    def unpack(self, layout: struct.Struct) -> Any:
        return layout.unpack(self.take(layout.size))[0]

    def finish(self) -> None:
        if self.remaining:
            raise damaged(f"{self.remaining} bytes follow its end")

    def line(self) -> str:
        """Read the text up to the next newline: half of the name of a global."""
        window = bytes(self.data[self.position : self.position + 256])
        end = window.find(b"\n")
        if end < 0:
            raise damaged(f"a name that starts at byte {self.position} has no end")
        self.position += end + 1
        return window[:end].decode("utf-8", errors="backslashreplace")


class Budget:
    """Limits on the cost of one file, nested pickles included; an honest file stays far below."""

    def __init__(self, file_size: int):
        self.left = {
            "instructions": 250_000,  # a 1024 px file has about 60,000
            "arrays": 20_000,  # tensors, arrays and numpy scalars; about 2,000
            "array bytes": file_size + 65_536,  # each byte of the file becomes tensor data at most once
            "nested bytes": file_size + 65_536,  # ... and is read as a nested file at most once
            "characters": file_size + (16 << 20),
        }

    def spend(self, what: str, amount: int = 1) -> None:
        self.left[what] -= amount
        if self.left[what] < 0:
            raise damaged(f"it claims more {what} than a weight file of its size has")
