"""Terminal handling: output streams that tolerate failures, and signals that interrupt as Ctrl-C does."""

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
PATIENCE = 3  # presses of Ctrl-C after which the work ends at once


class Stream:
    """Text stream that records failures instead of raising them, and escapes characters it cannot encode.

    Attributes:
        error: First failure; nothing is written after it.
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
    """Context manager: replace stdout and stderr by `Stream`s, and yield stdout."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = stdout, _ = Stream(before[0]), Stream(before[1])
    try:
        yield stdout
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


class Interrupts:
    """Context manager: raise KeyboardInterrupt on TERM and HUP, as on Ctrl-C; signals that are ignored stay ignored.

    Only the first signal raises, since later ones would interrupt the saving of results; a third Ctrl-C raises again.

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
        """Exit code by the convention of shells: 128 + signal number."""
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
        """Context manager: only record signals in `received`, so that the work is finished."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    @contextmanager
    def between_steps(self) -> Iterator[Callable[..., None]]:
        """Context manager: defer signals from the first step on; yields what each step calls, which then raises.

        An interrupt at any other moment might leave a code with the image of another step, or lose a result that is
        just being returned.
        """

        def step(*_: object) -> None:
            self._deferred = True
            if self.received is not None:
                raise KeyboardInterrupt

        before = self._deferred
        try:
            yield step
        finally:
            self._deferred = before

    def _handle(self, number: int, _: FrameType | None) -> None:
        first = self.received is None
        if first:
            self.received = int(number)
        self._count += number == signal.SIGINT
        if (first and not self._deferred) or (number == signal.SIGINT and self._count >= PATIENCE):
            raise KeyboardInterrupt
