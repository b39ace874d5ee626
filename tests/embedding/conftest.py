"""Fixtures of the embedding's tests."""

import pytest
from helpers import small_generator

from i2s.generators.base import Generator


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A small StyleGAN2 of 16 px, whose noise shows; no test may change it."""
    return small_generator()
