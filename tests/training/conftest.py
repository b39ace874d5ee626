"""Settings for these tests."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The networks are so small that several threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
