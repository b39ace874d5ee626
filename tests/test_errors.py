"""Errors: messages that name their file, and texts of a file that are safe to print."""

import pytest

from i2s.errors import WeightFileError, in_file, printable


def test_in_file_names_the_file_once():
    with pytest.raises(WeightFileError) as caught, in_file("outer.pkl"), in_file("a.pkl"):
        raise WeightFileError("Tensor w is missing.") from KeyError("w")
    assert str(caught.value) == "a.pkl cannot be used: Tensor w is missing."
    assert caught.value.path == "a.pkl" and isinstance(caught.value.__cause__, KeyError)


def test_in_file_leaves_other_errors_alone():
    with pytest.raises(KeyError), in_file("a.pkl"):
        raise KeyError("w")


@pytest.mark.parametrize(
    "text, shown",
    [("fc0.weight", "fc0.weight"), ("a\x1b[2J\u202e\n", "a\\x1b[2J\\u202e\\n"), ("x" * 100, "x" * 77 + "...")],
)
def test_printable_escapes_and_shortens(text, shown):
    assert printable(text) == shown
