"""Restricted pickle interpreter: no imports, and no calls outside a fixed table.

A pickle is a program for a small stack machine. Python's own unpickler lets it import any module and call anything in
it. This one runs the same program, but

- it knows only the opcodes that weight files use, and refuses all others by name;
- a global resolves, through an exact table of names, to a `StandIn`: a frozen record of functions of ours. Nothing is
  imported, nothing is looked up on an object, no attribute of anything in the file is set;
- BUILD completes an object that this unpickler began (`PendingObject`), and nothing else;
- every length is checked against the bytes that are there, and everything that costs memory or time is counted
  (`Budget`), so no file makes more than its own size explains;
- no opcode recurses; the finished graph is checked as a whole in `object_graph.py`.

The opcodes are documented in Python's `pickletools`.
"""

import pickle
import pickletools
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from i2s.errors import WeightFileError, printable
from i2s.weights.limits import (
    DOUBLE,
    INT32,
    UINT16,
    UINT32,
    UINT64,
    Budget,
    Cursor,
    damaged,
    suspicious,
)

MAX_MARKS = 200  # groups that are open at once; official networks need about 20
MAX_NAME = 200  # characters in the name of a global or a class
MAX_STACK = 10_000  # values waiting on the stack; Python writes containers in batches of 1000 pairs


@dataclass(frozen=True, slots=True)
class StandIn:
    """Inert stand-in for a global of the file."""

    name: str
    reduce: Callable | None = None  # called by REDUCE; None refuses it
    new: Callable | None = None  # called by NEWOBJ; None refuses it
    arguments: tuple[int, int] = (0, 0)  # fewest and most that `reduce` takes


class PendingObject:
    """Object between its creation and its BUILD; `finish(state)` gives the value, hidden until then."""

    __slots__ = ("finish", "name", "value", "done")

    def __init__(self, name: str, finish: Callable[[Any], Any]):
        self.name = name
        self.finish = finish
        self.value = None
        self.done = False


class RestrictedUnpickler:
    """Interpreter of one pickle; `run()` returns the object that it describes.

    Args:
        cursor: Start of the pickle; afterwards it is behind the pickle's STOP.
        resolve: Called with module and name of each global; returns its stand-in or raises WeightFileError.
        budget: Shared by all pickles of one file.
        persistent: Called by BINPERSID (torch archives name their storages so); None refuses it.
    """

    def __init__(
        self,
        cursor: Cursor,
        resolve: Callable[[str, str], StandIn],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
    ):
        self.cursor = cursor
        self.resolve = resolve
        self.budget = budget
        self.persistent = persistent
        self.start = cursor.position
        self.stack: list = []
        self.marks: list[list] = []  # the stacks below each open MARK
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        cursor, budget, stop = self.cursor, self.budget, pickle.STOP[0]
        while True:
            budget.spend("instructions")
            code = cursor.byte()
            if code == stop:
                break
            opcode = OPCODES.get(code)
            if opcode is None:
                raise self.unknown(code)
            opcode(self)
            if len(self.stack) > MAX_STACK or len(self.marks) > MAX_MARKS:
                raise damaged("it is nested deeper than any network")
        value = self.pop()
        if self.stack or self.marks:
            raise damaged("values are left over at its end")
        return value

    def unknown(self, code: int) -> WeightFileError:
        place = self.cursor.position - 1
        opcode = pickletools.code2op.get(chr(code))
        if opcode is None:
            return damaged(f"byte {place} is no pickle instruction")
        return suspicious(f"uses the pickle instruction {opcode.name} at byte {place}")

    # Stack

    def pop(self) -> Any:
        if not self.stack:
            raise damaged("its pickle takes a value that is not there")
        return settled(self.stack.pop())

    def pop_mark(self) -> list:
        if not self.marks:
            raise damaged("its pickle closes a group that was never opened")
        items, self.stack = self.stack, self.marks.pop()
        return [settled(item) for item in items]

    def top(self, kind: type, action: str) -> Any:
        """Return the value on top, which must be exactly of `kind` for `action`."""
        value = self.stack[-1] if self.stack else None
        if type(value) is not kind:
            raise suspicious(f"does {action} on {describe(value)}")
        return value

    # Opcodes that are more than a push

    def proto(self) -> None:
        version = self.cursor.byte()
        if not 2 <= version <= 5 or self.cursor.position != self.start + 2:
            raise damaged(f"pickle protocol {version} at byte {self.cursor.position - 2}")

    def frame(self) -> None:
        length = self.cursor.unpack(UINT64)
        if length > self.cursor.remaining:
            raise damaged(f"it ends early: {length} bytes announced, {self.cursor.remaining} left")

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def text(self, length: int) -> None:
        view = self.cursor.take(length)
        # One wide character makes Python keep the whole text at 2 or 4 bytes a character.
        if length > 1 << 20 and np.frombuffer(view, np.uint8).max() >= 0xC4:
            raise suspicious(f"holds a text of {length} bytes beyond latin-1")
        try:
            text = str(view, "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise damaged(f"a text before byte {self.cursor.position} is not UTF-8") from None
        self.budget.spend("characters", sys.getsizeof(text) - 40)
        self.stack.append(text)

    def long1(self) -> None:
        length = self.cursor.byte()
        if length > 16:
            raise suspicious(f"holds a whole number of {length} bytes")
        self.stack.append(int.from_bytes(self.cursor.take(length), "little", signed=True))

    def group(self, count: int | None = None) -> None:
        items = self.pop_mark() if count is None else [self.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))  # only now: pop_mark changes the stack

    def append(self) -> None:
        item = self.pop()
        self.top(list, "APPEND").append(item)

    def appends(self) -> None:
        items = self.pop_mark()
        self.top(list, "APPENDS").extend(items)

    def additems(self) -> None:
        items = self.pop_mark()
        self.top(set, "ADDITEMS").update(map(key, items))

    def setitem(self) -> None:
        value, name = self.pop(), self.pop()
        self.fill(self.top(dict, "SETITEM"), [name, value])

    def setitems(self) -> None:
        items = self.pop_mark()
        self.fill(self.top(dict, "SETITEMS"), items)

    def fill(self, target: dict, items: list) -> None:
        if len(items) % 2:
            raise damaged("a key without a value")
        for name, value in zip(items[::2], items[1::2], strict=True):
            if key(name) in target:
                raise damaged(f"the key {printable(name)!r} comes twice")
            target[name] = value

    def put(self, index: int) -> None:
        if not self.stack:
            raise damaged("its pickle stores a value that is not there")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise damaged(f"its pickle recalls value {index}, which was never stored")
        self.stack.append(self.memo[index])

    def find(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise damaged("a global without a name")
        if len(module) + len(name) > MAX_NAME:
            raise suspicious(f"asks for a name of {len(module) + len(name)} characters")
        self.stack.append(self.resolve(module, name))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.find(module, name)

    def reduce(self) -> None:
        arguments = self.pop()
        target = self.top(StandIn, "REDUCE")
        if target.reduce is None:
            raise suspicious(f"calls {target.name}")
        fewest, most = target.arguments
        if type(arguments) is not tuple or not fewest <= len(arguments) <= most:
            raise damaged(f"{target.name} with the wrong number of arguments")
        self.stack[-1] = target.reduce(*arguments)

    def newobj(self) -> None:
        arguments = self.pop()
        target = self.top(StandIn, "NEWOBJ")
        if target.new is None or type(arguments) is not tuple or arguments:
            raise suspicious(f"makes a new {target.name}")
        self.stack[-1] = target.new()

    def build(self) -> None:
        state = self.pop()
        target = self.stack[-1] if self.stack else None
        if type(target) is dict and type(state) is dict and set(state) == {"_metadata"}:
            return  # version numbers that torch hangs on a state dict; nobody needs them
        unfinished = self.top(PendingObject, "BUILD")
        if unfinished.done:
            raise suspicious(f"does BUILD twice on {unfinished.name}")
        unfinished.value, unfinished.done = unfinished.finish(state), True

    def binpersid(self) -> None:
        if self.persistent is None:
            raise suspicious("uses the pickle instruction BINPERSID outside a torch archive")
        self.stack.append(self.persistent(self.pop()))


def settled(value: Any) -> Any:
    """Return the value of a PendingObject that is complete; other values as they are."""
    if type(value) is not PendingObject:
        return value
    if not value.done:
        raise damaged(f"{value.name} is used before it is complete")
    return value.value


def key(value: Any) -> str | int:
    """Check a dictionary key or set item: text, or a small number (hashing anything else is open to abuse)."""
    if type(value) is str or (type(value) is int and 0 <= value < 1 << 31):
        return value
    raise damaged(f"{describe(value)} as a key")


def describe(value: Any) -> str:
    """Describe a value by its type, never by its contents, which may be endless."""
    if isinstance(value, (StandIn, PendingObject)):
        return value.name
    return "nothing" if value is None else f"a {type(value).__name__}"


Opcode = Callable[[RestrictedUnpickler], None]


def _push(make: Callable[[Cursor], Any]) -> Opcode:
    return lambda unpickler: unpickler.stack.append(make(unpickler.cursor))


def _bytes(length: struct.Struct) -> Opcode:
    return _push(lambda cursor: cursor.take(cursor.unpack(length)))


OPCODES: dict[int, Opcode] = {
    opcode[0]: step
    for opcode, step in {
        pickle.PROTO: RestrictedUnpickler.proto,
        pickle.FRAME: RestrictedUnpickler.frame,
        pickle.MARK: RestrictedUnpickler.mark,
        pickle.NONE: _push(lambda cursor: None),
        pickle.NEWTRUE: _push(lambda cursor: True),
        pickle.NEWFALSE: _push(lambda cursor: False),
        pickle.BININT: _push(lambda cursor: cursor.unpack(INT32)),
        pickle.BININT1: _push(lambda cursor: cursor.byte()),
        pickle.BININT2: _push(lambda cursor: cursor.unpack(UINT16)),
        pickle.LONG1: RestrictedUnpickler.long1,
        pickle.BINFLOAT: _push(lambda cursor: cursor.unpack(DOUBLE)),
        pickle.SHORT_BINUNICODE: lambda unpickler: unpickler.text(unpickler.cursor.byte()),
        pickle.BINUNICODE: lambda unpickler: unpickler.text(unpickler.cursor.unpack(UINT32)),
        pickle.SHORT_BINBYTES: _push(lambda cursor: cursor.take(cursor.byte())),
        pickle.BINBYTES: _bytes(UINT32),
        pickle.BINBYTES8: _bytes(UINT64),
        pickle.BYTEARRAY8: _bytes(UINT64),
        pickle.EMPTY_LIST: _push(lambda cursor: []),
        pickle.EMPTY_DICT: _push(lambda cursor: {}),
        pickle.EMPTY_SET: _push(lambda cursor: set()),
        pickle.EMPTY_TUPLE: _push(lambda cursor: ()),
        pickle.TUPLE: RestrictedUnpickler.group,
        pickle.TUPLE1: lambda unpickler: unpickler.group(1),
        pickle.TUPLE2: lambda unpickler: unpickler.group(2),
        pickle.TUPLE3: lambda unpickler: unpickler.group(3),
        pickle.APPEND: RestrictedUnpickler.append,
        pickle.APPENDS: RestrictedUnpickler.appends,
        pickle.ADDITEMS: RestrictedUnpickler.additems,
        pickle.SETITEM: RestrictedUnpickler.setitem,
        pickle.SETITEMS: RestrictedUnpickler.setitems,
        pickle.BINPUT: lambda unpickler: unpickler.put(unpickler.cursor.byte()),
        pickle.LONG_BINPUT: lambda unpickler: unpickler.put(unpickler.cursor.unpack(UINT32)),
        pickle.MEMOIZE: lambda unpickler: unpickler.put(len(unpickler.memo)),
        pickle.BINGET: lambda unpickler: unpickler.get(unpickler.cursor.byte()),
        pickle.LONG_BINGET: lambda unpickler: unpickler.get(unpickler.cursor.unpack(UINT32)),
        pickle.GLOBAL: lambda unpickler: unpickler.find(unpickler.cursor.line(), unpickler.cursor.line()),
        pickle.STACK_GLOBAL: RestrictedUnpickler.stack_global,
        pickle.REDUCE: RestrictedUnpickler.reduce,
        pickle.NEWOBJ: RestrictedUnpickler.newobj,
        pickle.BUILD: RestrictedUnpickler.build,
        pickle.BINPERSID: RestrictedUnpickler.binpersid,
    }.items()
}
