import pytest
from scipy import stats

from rlhf_core.evaluation.shares import share


def test_none_in_ten_by_hand():
    """A share of 1 − 0.025 ** (1/10) leaves ten out of ten without one in 2.5 % of cases."""
    found = share([0.0] * 10, range(10))
    assert found is not None
    assert (found.low, found.high) == (0.0, pytest.approx(1 - 0.025**0.1, abs=1e-6))


def test_answers_to_one_prompt_count_for_less():
    """Two prompts, two alike answers each, are one of two: 1 − √0.975 to √0.975."""
    found = share([1, 1, 0, 0], ["a", "a", "b", "b"])
    assert found is not None
    assert found.n == 4
    assert (found.low, found.high) == pytest.approx((1 - 0.975**0.5, 0.975**0.5), abs=1e-6)


def test_answers_that_differ_within_a_prompt_never_count_for_more():
    """Each prompt is one half; the unseen one takes Beta(2/3, 2) of the weight."""
    found = share([1, 0, 1, 0], ["a", "a", "b", "b"])
    assert found is not None
    low = (1 - stats.beta.ppf(0.975, 2 / 3, 2)) / 2
    assert (found.low, found.high) == pytest.approx((low, 1 - low), abs=1e-6)


def test_where_all_are_right_each_prompt_counts_once():
    """Three prompts: 0.025 ** (1/3), though there are six answers."""
    found = share([1.0] * 6, ["a", "a", "b", "b", "c", "c"])
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(0.025 ** (1 / 3), abs=1e-6), 1.0)


def test_a_prompt_counts_by_its_answers():
    """The value is the mean over answers, 3/4, and the interval is about that."""
    found = share([1, 1, 1, 0] * 200, ["a", "a", "a", "b"] * 200)
    assert found is not None
    assert found.value == 0.75
    many = share([1, 1, 1, 0] * 200, [place // 4 * 2 + (place % 4 == 3) for place in range(800)])
    assert many is not None
    assert many.low < 0.75 < many.high < 0.82


def test_a_share_of_nothing_is_none():
    assert share([], []) is None
