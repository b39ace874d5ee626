"""The terminal of a command: streams that may break without harm, and signals that end the work as Ctrl-C does."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
PATIENCE = 3  # so many Ctrl-C end the work at once, whatever it does


class Stream:
    """A text stream whose failures are noted and not raised; signs that it cannot show are escaped.

    Attributes:
        error: The first failure, after which nothing more is written.
    """

    def __init__(self, stream: Any):
        self._stream = io.StringIO() if stream is None else stream  # None: a closed one
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        self._attempt(self._write, text)
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))

    def _attempt(self, act: Callable, *arguments: str) -> None:
        if self.error is not None:
            return
        try:
            act(*arguments)
        except (OSError, ValueError) as error:  # ValueError: a closed one
            self.error = error
            with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())  # what is left in its buffer goes there


@contextmanager
def tolerant_streams() -> Iterator[Stream]:
    """Within, stdout and stderr are `Stream`s, for this package and those that it uses; yields stdout."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = stdout, _ = Stream(before[0]), Stream(before[1])
    try:
        yield stdout
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


class Interrupts:
    """Within, the signals TERM and HUP raise a KeyboardInterrupt, as Ctrl-C does; those that are ignored stay so.

    Only the first signal does, as the others would interrupt the saving of what was found; the third Ctrl-C does again.

    Attributes:
        received: The first signal, or None.
    """

    def __init__(self):
        self.received: int | None = None
        self._deferred = False
        self._count = 0  # of Ctrl-C
        self._before: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """128 + the signal, as shells have it."""
        return 128 + (self.received or signal.SIGINT)

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():  # no other one may
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup ignores HUP
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within, a signal is noted in `received` and the work is finished."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _handle(self, number: int, _: FrameType | None) -> None:
        first = self.received is None
        if first:
            self.received = int(number)
        self._count += number == signal.SIGINT
        if (first and not self._deferred) or (number == signal.SIGINT and self._count >= PATIENCE):
            raise KeyboardInterrupt
