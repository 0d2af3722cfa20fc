import math

import numpy as np
import pytest
from scipy import stats

from rlhf_core.evaluation.intervals import mean_interval


@pytest.mark.parametrize("ones", [0, 1, 4, 7])
def test_of_zeros_and_ones_it_is_that_of_jeffreys_at_fewer_groups(ones: int):
    """Of 8 groups, 8 · (1.960 / 2.365)² count: t of 7 degrees of freedom instead of the normal."""
    count = 8 * (1.959964 / 2.364624) ** 2
    low, high = mean_interval([[1.0]] * ones + [[0.0]] * (8 - ones), 0.95)
    exact = stats.beta(count * ones / 8 + 0.5, count * (1 - ones / 8) + 0.5).interval(0.95)
    assert (low, high) == pytest.approx((exact[0] if ones else 0.0, exact[1]), abs=1e-6)


def test_ties_and_several_answers_narrow_it_by_their_variance():
    """Means 1, 1/2, 1/2, 0 vary by 1/8, half as much as wins and losses: they count as 8 groups."""
    count = 8 * (1.959964 / 3.182446) ** 2
    found = mean_interval([[1.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.0]], 0.95)
    exact = stats.beta(count / 2 + 0.5, count / 2 + 0.5).interval(0.95)
    assert found == pytest.approx(exact, abs=1e-6)


def test_one_group_tells_almost_nothing():
    assert mean_interval([[0.5]], 0.95) == pytest.approx(stats.beta(0.5, 0.5).interval(0.95))


def test_no_interval_has_width_zero():
    for group in ([0.5], [0.0], [1.0], [0.5, 0.5], [0.0, 1.0]):
        for n in (1, 2, 20, 500):
            low, high = mean_interval([group] * n, 0.95)
            assert 0 <= low <= np.mean(group) <= high <= 1
            assert high - low > 1 / (n + 10)  # about 2.5 / n where all are 0 or 1


def test_mirrored_values_have_the_mirrored_interval():
    groups = [[0.2, 0.9], [0.4], [1.0, 1.0, 0.0], [0.7]]
    low, high = mean_interval(groups, 0.9)
    mirrored = mean_interval([[1 - value for value in group] for group in groups], 0.9)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_by_size_a_group_counts_by_its_values():
    """One group of three values and one of one: the mean is 3/4 of the one, 1/4 of the other."""
    low, high = mean_interval([[1.0] * 300, [0.0] * 100] * 100, 0.95, by_size=True)
    assert low < 0.75 < high < 0.82
    low, high = mean_interval([[1.0] * 300, [0.0] * 100] * 100, 0.95)
    assert low < 0.5 < high < 0.62


def test_many_groups_have_about_the_interval_of_the_normal_distribution():
    values = np.random.default_rng(1).uniform(0.3, 0.9, size=2000)
    low, high = mean_interval([[value] for value in values], 0.95)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=7e-4)
