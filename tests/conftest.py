"""Fixtures that many test files use."""

import signal
from pathlib import Path

import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the reference material, so that `-m reference` chooses it."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker("reference")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the project; its tests are skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip("the reference material (../shared) is not here")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The networks of the tests are too small for two threads to pay; on a busy machine they wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def default_signals() -> None:
    """A run in the background may ignore Ctrl-C or hang-ups, and the commands that its tests start would inherit it."""
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
