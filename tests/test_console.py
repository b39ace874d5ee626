"""The terminal: streams that break, and signals."""

import io
import os
import runpy
import signal
import sys
import threading
import time

import pytest

from i2s import console
from i2s.console import SIGNALS, Interrupts, Stream, tolerant_streams

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError("gone")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
def test_signs_that_cannot_be_shown_are_escaped(encoding):
    data = io.BytesIO()
    name = b"a\xff".decode("utf-8", "surrogateescape") + "写é"
    stream = Stream(io.TextIOWrapper(data, encoding))
    print(name, file=stream, flush=True)
    assert stream.error is None and data.getvalue().startswith(b"a\\udcff")
    assert ("写" if encoding == "utf-8" else "\\u5199") in data.getvalue().decode(encoding)


def test_a_broken_stream_is_noted_and_no_error():
    stream = Stream(Broken())
    for _ in range(2):
        print("text", file=stream, flush=True)
    assert isinstance(stream.error, BrokenPipeError)
    closed = io.StringIO()
    closed.close()
    print("text", file=(stream := Stream(closed)))
    assert isinstance(stream.error, ValueError)
    print("text", file=(stream := Stream(None)), flush=True)
    assert stream.error is None


def test_streams_are_those_of_before_afterwards():
    before = sys.stdout, sys.stderr
    with pytest.raises(KeyError), tolerant_streams() as stdout:
        assert sys.stdout is stdout and isinstance(sys.stderr, Stream)
        raise KeyError
    assert (sys.stdout, sys.stderr) == before


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_an_interrupt(number):
    before = [signal.getsignal(one) for one in SIGNALS]
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            signal.pause()
        os.kill(os.getpid(), signal.SIGTERM)  # what was found is being saved
        os.kill(os.getpid(), signal.SIGHUP)
    assert interrupts.received == number and interrupts.exit_code == 128 + number
    assert [signal.getsignal(one) for one in SIGNALS] == before


@POSIX
def test_deferred_signals_wait_but_for_the_third_ctrl_c():
    with Interrupts() as interrupts:
        with interrupts.deferred():
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGINT):
                os.kill(os.getpid(), number)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
                signal.pause()
        assert interrupts.exit_code == 128 + signal.SIGTERM


@POSIX
def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_a_thread_signals_are_left_alone():
    found = []

    def run():
        with Interrupts() as interrupts:
            found.append((interrupts.exit_code, [signal.getsignal(one) for one in SIGNALS]))

    before = [signal.getsignal(one) for one in SIGNALS]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [(130, before)]


@POSIX
def test_signals_wait_for_the_next_step():
    with Interrupts() as interrupts:
        with interrupts.between_steps() as step:
            step()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)  # nothing is raised
            with interrupts.deferred():
                pass
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(KeyboardInterrupt):
                step("anything")
        assert interrupts.exit_code == 128 + signal.SIGTERM
    with Interrupts() as interrupts, interrupts.between_steps(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)  # before the first step at once: nothing can be lost
        signal.pause()


@POSIX
def test_windows_has_other_signals(monkeypatch):
    """No HUP, but Ctrl-Break, for which USR1 stands in."""
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    found = runpy.run_path(console.__file__)
    assert found["SIGNALS"] == (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    with found["Interrupts"]() as interrupts, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.pause()
    assert interrupts.exit_code == 128 + signal.SIGUSR1
