"""A pickle machine that can only build data.

A pickle is a program for a small stack machine. Python's own reader lets that program import any module and
call anything in it. This one runs the same program, and the worst a program can do here is to be refused:

- it knows only the instructions that weight files use, and refuses every other by name;
- a global resolves, through an exact table of names, to a `Global`: a frozen record that holds functions of
  ours. Nothing is imported, nothing is looked up on an object, no attribute of anything in the file is set;
- BUILD finishes an object that this machine began (`Unfinished`) and nothing else;
- every length is checked against the bytes that are there, and everything that costs memory or time is
  counted (`Budget`), so that no file makes more than its own size explains;
- no step recurses; the finished tree is checked as a whole in `tree.py`.

References: the opcodes are documented in Python's `pickletools`.
"""

import pickle
import pickletools
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from i2s.errors import WeightFileError
from i2s.weights.limits import (
    DOUBLE,
    INT32,
    UINT16,
    UINT32,
    UINT64,
    Budget,
    Cursor,
    damaged,
    printable,
    suspicious,
)

MAX_MARKS = 200  # groups that are open at once; official networks need about 20
MAX_NAME = 200  # characters in the name of a global or a class
MAX_STACK = 10_000  # values waiting on the stack; Python writes containers in batches of 1000 pairs


@dataclass(frozen=True, slots=True)
class Global:
    """Our inert stand-in for a name in the file: what REDUCE and NEWOBJ do with it, if anything."""

    name: str
    reduce: Callable | None = None
    new: Callable | None = None
    arguments: tuple[int, int] = (0, 0)  # fewest and most that `reduce` takes


class Unfinished:
    """An object between its making and its BUILD; `finish(state)` gives the value, hidden until then."""

    __slots__ = ("finish", "name", "value", "done")

    def __init__(self, name: str, finish: Callable[[Any], Any]):
        self.name, self.finish, self.value, self.done = name, finish, None, False


class Machine:
    """Runs one pickle from `cursor` and gives the object it describes.

    Args:
        cursor: where the pickle starts; afterwards it stands behind the pickle's STOP.
        resolve: `(module, name) -> Global`, or WeightFileError.
        budget: shared by all pickles of one file.
        persistent: what BINPERSID does (torch archives name their storages so); None refuses it.
    """

    def __init__(
        self,
        cursor: Cursor,
        resolve: Callable[[str, str], Global],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
    ):
        self.cursor, self.resolve, self.budget, self.persistent = cursor, resolve, budget, persistent
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
            step = STEPS.get(code)
            if step is None:
                raise self.unknown(code)
            step(self)
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

    # The stack.

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
        """The value on top, which must be exactly of `kind` for `action`."""
        value = self.stack[-1] if self.stack else None
        if type(value) is not kind:
            raise suspicious(f"does {action} on {describe(value)}")
        return value

    # One method for each instruction that is more than a push.

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
        target = self.top(Global, "REDUCE")
        if target.reduce is None:
            raise suspicious(f"calls {target.name}")
        fewest, most = target.arguments
        if type(arguments) is not tuple or not fewest <= len(arguments) <= most:
            raise damaged(f"{target.name} with the wrong number of arguments")
        self.stack[-1] = target.reduce(*arguments)

    def newobj(self) -> None:
        arguments = self.pop()
        target = self.top(Global, "NEWOBJ")
        if target.new is None or type(arguments) is not tuple or arguments:
            raise suspicious(f"makes a new {target.name}")
        self.stack[-1] = target.new()

    def build(self) -> None:
        state = self.pop()
        target = self.stack[-1] if self.stack else None
        if type(target) is dict and type(state) is dict and set(state) == {"_metadata"}:
            return  # version numbers that torch hangs on a state dict; nobody needs them
        unfinished = self.top(Unfinished, "BUILD")
        if unfinished.done:
            raise suspicious(f"does BUILD twice on {unfinished.name}")
        unfinished.value, unfinished.done = unfinished.finish(state), True

    def binpersid(self) -> None:
        if self.persistent is None:
            raise suspicious("uses the pickle instruction BINPERSID outside a torch archive")
        self.stack.append(self.persistent(self.pop()))


def settled(value: Any) -> Any:
    """The value itself, in place of the `Unfinished` it grew in."""
    if type(value) is not Unfinished:
        return value
    if not value.done:
        raise damaged(f"{value.name} is used before it is complete")
    return value.value


def key(value: Any) -> str | int:
    """A dictionary key or set item: text, or a small number (hashing anything else is open to abuse)."""
    if type(value) is str or (type(value) is int and 0 <= value < 1 << 31):
        return value
    raise damaged(f"{describe(value)} as a key")


def describe(value: Any) -> str:
    """What `value` is, in words; never its contents, which may be endless."""
    if isinstance(value, (Global, Unfinished)):
        return value.name
    return "nothing" if value is None else f"a {type(value).__name__}"


def _push(make: Callable[[Cursor], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(make(machine.cursor))


def _bytes(length: struct.Struct) -> Callable[[Machine], None]:
    return _push(lambda cursor: cursor.take(cursor.unpack(length)))


STEPS: dict[int, Callable[[Machine], None]] = {
    opcode[0]: step
    for opcode, step in {
        pickle.PROTO: Machine.proto,
        pickle.FRAME: Machine.frame,
        pickle.MARK: Machine.mark,
        pickle.NONE: _push(lambda cursor: None),
        pickle.NEWTRUE: _push(lambda cursor: True),
        pickle.NEWFALSE: _push(lambda cursor: False),
        pickle.BININT: _push(lambda cursor: cursor.unpack(INT32)),
        pickle.BININT1: _push(lambda cursor: cursor.byte()),
        pickle.BININT2: _push(lambda cursor: cursor.unpack(UINT16)),
        pickle.LONG1: Machine.long1,
        pickle.BINFLOAT: _push(lambda cursor: cursor.unpack(DOUBLE)),
        pickle.SHORT_BINUNICODE: lambda machine: machine.text(machine.cursor.byte()),
        pickle.BINUNICODE: lambda machine: machine.text(machine.cursor.unpack(UINT32)),
        pickle.SHORT_BINBYTES: _push(lambda cursor: cursor.take(cursor.byte())),
        pickle.BINBYTES: _bytes(UINT32),
        pickle.BINBYTES8: _bytes(UINT64),
        pickle.BYTEARRAY8: _bytes(UINT64),
        pickle.EMPTY_LIST: _push(lambda cursor: []),
        pickle.EMPTY_DICT: _push(lambda cursor: {}),
        pickle.EMPTY_SET: _push(lambda cursor: set()),
        pickle.EMPTY_TUPLE: _push(lambda cursor: ()),
        pickle.TUPLE: Machine.group,
        pickle.TUPLE1: lambda machine: machine.group(1),
        pickle.TUPLE2: lambda machine: machine.group(2),
        pickle.TUPLE3: lambda machine: machine.group(3),
        pickle.APPEND: Machine.append,
        pickle.APPENDS: Machine.appends,
        pickle.ADDITEMS: Machine.additems,
        pickle.SETITEM: Machine.setitem,
        pickle.SETITEMS: Machine.setitems,
        pickle.BINPUT: lambda machine: machine.put(machine.cursor.byte()),
        pickle.LONG_BINPUT: lambda machine: machine.put(machine.cursor.unpack(UINT32)),
        pickle.MEMOIZE: lambda machine: machine.put(len(machine.memo)),
        pickle.BINGET: lambda machine: machine.get(machine.cursor.byte()),
        pickle.LONG_BINGET: lambda machine: machine.get(machine.cursor.unpack(UINT32)),
        pickle.GLOBAL: lambda machine: machine.find(machine.cursor.line(), machine.cursor.line()),
        pickle.STACK_GLOBAL: Machine.stack_global,
        pickle.REDUCE: Machine.reduce,
        pickle.NEWOBJ: Machine.newobj,
        pickle.BUILD: Machine.build,
        pickle.BINPERSID: Machine.binpersid,
    }.items()
}
