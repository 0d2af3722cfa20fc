import math

import pytest

from rlhf_core.evaluation.shares import share, wilson

Z = 1.959964


def test_wilson_of_none_in_ten():
    """The centre and the half are both z²/2 / (n + z²), so it runs from 0 to z² / (n + z²)."""
    low, high = wilson(0.0, 10, 0.95)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(Z**2 / (10 + Z**2), abs=1e-6)


def test_wilson_of_one_half_reaches_z_over_two_roots():
    """At 1/2 the half shrinks to z / (2 √(n + z²)); for n = 100 that is 0.096168."""
    low, high = wilson(0.5, 100, 0.95)
    assert (low, high) == pytest.approx((0.5 - 0.096168, 0.5 + 0.096168), abs=1e-6)


def test_answers_to_one_prompt_count_for_less():
    """Two prompts, two alike answers each: the sums ±1 give 2 against 4 · 1/4, so n is halved."""
    found = share([1, 1, 0, 0], ["a", "a", "b", "b"])
    assert found is not None
    assert found.n == 4
    assert found.high - 0.5 == pytest.approx(Z / (2 * math.sqrt(2 + Z**2)), abs=1e-6)


def test_answers_that_differ_within_a_prompt_never_count_for_more():
    """Their sums are 0; the interval is that of four independent answers."""
    found = share([1, 0, 1, 0], ["a", "a", "b", "b"])
    assert found is not None
    assert found.high - 0.5 == pytest.approx(Z / (2 * math.sqrt(4 + Z**2)), abs=1e-6)


def test_where_all_are_right_each_prompt_counts_once():
    """Three prompts: 1 − z² / (3 + z²), though there are six answers."""
    found = share([1.0] * 6, ["a", "a", "b", "b", "c", "c"])
    assert found is not None
    assert found.low == pytest.approx(1 - Z**2 / (3 + Z**2), abs=1e-6)
    assert found.high == pytest.approx(1.0, abs=1e-12)


def test_a_share_of_nothing_is_none():
    assert share([], []) is None
