import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from rlhf_core.evaluation.intervals import least_mean, mean_interval
from tests.benchmarks.coverage import CONDITIONS, Condition, measure


@pytest.mark.parametrize("n", [1, 5, 8, 20, 55])
def test_of_zeros_and_ones_it_is_that_of_clopper_and_pearson(n: int):
    for ones in range(n + 1):
        found = mean_interval([[1.0]] * ones + [[0.0]] * (n - ones), 0.95)
        exact = stats.binomtest(ones, n).proportion_ci(0.95, method="exact")
        assert found == pytest.approx((exact.low, exact.high), abs=1e-6)


@pytest.mark.parametrize(("won", "lost", "tied"), [(5, 0, 3), (6, 0, 14), (7, 1, 0), (9, 2, 40)])
def test_with_ties_it_rejects_one_half_exactly_where_a_sign_test_does(
    won: int, lost: int, tied: int
):
    """Whoever is no better wins at least so many of the decided ones with that chance."""
    low, _ = mean_interval([[1.0]] * won + [[0.0]] * lost + [[0.5]] * tied, 0.95)
    decided = won + lost
    chance = sum(math.comb(decided, k) for k in range(won, decided + 1)) / 2**decided
    assert (low > 0.5) == (chance < 0.025)


def test_ends_of_groups_of_two_by_hand():
    """Nobody saw a third group, at 0: D (1, 1/2, 0) of Dirichlet(1, 1, 1), below t where t < 1/2.

    The triangle of weights (a, b, rest): a + b/2 < t is a triangle of legs t and 2t, cut at b = 1
    where 2t > 1; its share of the whole is 2t². So the lower end is √(0.025 / 2).
    """
    low, _ = mean_interval([[1.0], [0.5]], 0.95)
    assert low == pytest.approx(math.sqrt(0.0125), abs=1e-8)


def test_no_interval_has_width_zero():
    for group in ([0.5], [0.0], [1.0], [0.5, 0.5], [0.0, 1.0]):
        for n in (1, 2, 20, 500):
            low, high = mean_interval([group] * n, 0.95)
            assert 0 <= low <= np.mean(group) <= high <= 1
            assert high - low > 1 / (n + 10)  # about 3.7 / n where all are 0 or 1


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


@pytest.mark.parametrize(("groups", "least"), [(5, None), (6, 1.0), (12, 10 / 12), (20, 15 / 20)])
def test_the_least_share_that_shows_more_than_one_half(groups: int, least: float | None):
    """Binomial tails at 1/2: 5 of 5 is 3.1 %, 6 of 6 1.6 %, 10 of 12 1.9 %, 15 of 20 2.1 %."""
    assert least_mean(groups, 0.5, 0.95) == least


def chances(samples: int, lost: float, won: float) -> list[float]:
    """Of 0, 1, … won comparisons, where so many prompts are always lost or won, and all even."""
    chance = (0.5 - won) / (1 - lost - won)
    mixed = (1 - lost - won) * stats.binom.pmf(range(samples + 1), samples, chance)
    return [*mixed + lost * np.eye(samples + 1)[0] + won * np.eye(samples + 1)[samples]]


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_equal_policies_are_promoted_in_at_most_one_of_forty_decisions(samples: int):
    """Every outcome of six prompts, each by its chance, hard prompts and all."""
    promoted = dict.fromkeys([(0.0, 0.0), (0.25, 0.0), (0.45, 0.0), (0.0, 0.25), (0.3, 0.3)], 0.0)
    for outcome in itertools.combinations_with_replacement(range(samples + 1), 6):
        groups = [[1.0] * won + [0.0] * (samples - won) for won in outcome]
        if mean_interval(groups, 0.95)[0] <= 0.5:
            continue
        orders = math.factorial(6) / math.prod(map(math.factorial, Counter(outcome).values()))
        for lost, won in promoted:
            each = chances(samples, lost, won)
            promoted[lost, won] += orders * math.prod(each[k] for k in outcome)
    assert max(promoted.values()) <= 0.025


QUICK = [
    Condition(8, 1, 0.5, 0.0, None),
    Condition(8, 2, 0.5, 0.3, 4.0),
    Condition(12, 4, 0.9, 0.0, 20.0),
    Condition(55, 2, 0.5, 0.1, 4.0),
]


@pytest.mark.parametrize("condition", QUICK, ids=str)
def test_it_covers_the_truth_as_often_as_it_says(condition: Condition):
    """400 experiments each: no fewer than 93 %, but for chance; few flips of a coin promoted."""
    found = measure(condition, 400, seed=1)
    assert found.coverage >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / 400)
    assert found.promoted <= (
        0.025 + 2 * math.sqrt(0.025 * 0.975 / 400) if condition.is_even else 1
    )


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [5, 6, 8, 12, 20, 55, 200])
def test_coverage_at_every_number_of_prompts(prompts: int):
    """`python -m tests.benchmarks coverage` prints the table, which is in RESULTS.md."""
    for condition in [c for c in CONDITIONS if c.prompts == prompts]:
        found = measure(condition, 1000, seed=1)
        assert found.coverage >= 0.93 - 2.6 * math.sqrt(0.93 * 0.07 / 1000), condition
        if condition.is_even:
            assert found.promoted <= 0.025 + 2.6 * math.sqrt(0.025 * 0.975 / 1000), condition
