"""Helpers of the checks, and the old place of the checks."""

import pytest
import torch

from i2s import checks
from i2s.course import lesson01, lesson05
from i2s.course.checks import CheckFailed, expect_no_mistake


def test_check_failed_shows_a_sentence_and_no_traceback():
    assert CheckFailed("x is too large.")._render_traceback_() == ["Not yet: x is too large."]


def test_expect_no_mistake_names_the_first_that_fits():
    mistakes = {"doubled": torch.tensor([2.0]), "negated": torch.tensor([-1.0]), "minus": torch.tensor([-1.0])}
    expect_no_mistake(torch.tensor([1.0]), mistakes)
    with pytest.raises(CheckFailed, match="negated"):
        expect_no_mistake(torch.tensor([-1.0]), mistakes)


def test_checks_are_still_found_at_their_old_place():
    assert checks.check_adain is lesson01.check_adain and checks.check_morph is lesson05.check_morph
    for name in ("check_nothing_like_it", "adain"):
        with pytest.raises(AttributeError, match=name):
            getattr(checks, name)
