import pytest
from scipy import stats

from rlhf_core.evaluation.shares import share


def places(count: int) -> list[int]:
    """Return the prompts of so many answers, two to each."""
    return [number // 2 for number in range(count)]


def test_none_in_ten_by_hand():
    """Ten prompts count as 10 · (1.960 / 2.262)², by t of 9 degrees of freedom."""
    found = share([0.0] * 10, range(10))
    assert found is not None
    high = stats.beta.ppf(0.975, 0.5, 10 * (1.959964 / 2.262157) ** 2 + 0.5)
    assert (found.low, found.high) == (0.0, pytest.approx(high, abs=1e-6))


def test_answers_to_one_prompt_count_for_less():
    """Two alike answers to each of ten prompts are ten values, not twenty."""
    found, once = share([1, 1, 0, 0] * 5, places(20)), share([1, 0] * 5, range(10))
    assert found is not None
    assert once is not None
    assert (found.n, once.n) == (20, 10)
    assert (found.low, found.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_answers_that_differ_within_a_prompt_never_count_for_more():
    """Each of ten prompts is one half: equal prompts show no variance, and count as ten values."""
    found, once = share([1, 0] * 10, places(20)), share([1, 0] * 5, range(10))
    assert found is not None
    assert once is not None
    assert (found.low, found.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_where_all_are_right_each_prompt_counts_once():
    found, once = share([1.0] * 20, places(20)), share([1.0] * 10, range(10))
    assert found is not None
    assert once is not None
    assert (found.low, found.high) == (pytest.approx(once.low), 1.0)


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
