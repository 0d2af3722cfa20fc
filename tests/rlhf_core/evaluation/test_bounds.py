"""Exact lower bounds, against binomial tails and areas by hand."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from rlhf_core.evaluation.bounds import lower_bound, p_value


@pytest.mark.parametrize("error_rate", [0.025, 1e-3, 2e-5])
@pytest.mark.parametrize("n", [1, 5, 8, 20, 200, 1000])
def test_of_zeros_and_ones_it_is_that_of_clopper_and_pearson(n: int, error_rate: float):
    for ones in {0, 1, n // 2, (2 * n) // 3, n}:
        bound = lower_bound([[1.0]] * ones + [[0.0]] * (n - ones), error_rate)
        exact = stats.beta.ppf(error_rate, ones, n - ones + 1) if ones else 0.0
        assert bound == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize(("won", "lost", "tied"), [(5, 0, 3), (6, 0, 14), (7, 1, 0), (9, 2, 40)])
def test_with_ties_it_rejects_one_half_exactly_where_a_sign_test_does(
    won: int, lost: int, tied: int
):
    """A policy that is no better wins at least so many of the decided prompts with that chance."""
    bound = lower_bound([[1.0]] * won + [[0.0]] * lost + [[0.5]] * tied, 0.025)
    decided = won + lost
    chance = sum(math.comb(decided, k) for k in range(won, decided + 1)) / 2**decided
    assert (bound > 0.5) == (chance < 0.025)


def test_bound_of_groups_of_two_by_hand():
    """Nobody saw a third group, at 0: D (1, 1/2, 0) of Dirichlet(1, 1, 1), below t where t < 1/2.

    The triangle of weights (a, b, rest): a + b/2 < t is a triangle of legs t and 2t, cut at b = 1
    where 2t > 1; its share of the whole is 2t². So the bound is √(0.025 / 2).
    """
    assert lower_bound([[1.0], [0.5]], 0.025) == pytest.approx(math.sqrt(0.0125), abs=1e-8)


def test_a_bound_at_the_p_value_lies_just_at_the_tested_value():
    groups = [[1.0, 0.5]] * 9 + [[0.0, 0.5]] * 4 + [[1.0, 1.0]]
    chance = p_value(groups, 0.5)
    assert 0.005 < chance < 0.2
    assert lower_bound(groups, chance) == pytest.approx(0.5, abs=1e-7)
    assert lower_bound(groups, chance * 1.01) > 0.5 > lower_bound(groups, chance * 0.99)


def test_the_p_value_of_outright_wins_is_that_of_the_binomial_test():
    groups = [[1.0]] * 15 + [[0.0]] * 5
    exact = sum(math.comb(20, k) for k in range(15, 21)) / 2**20
    assert p_value(groups, 0.5) == pytest.approx(exact, abs=1e-8)


def chances(samples: int, lost: float, won: float) -> list[float]:
    """Of 0, 1, … won comparisons, where so many prompts are always lost or won, and all even."""
    chance = (0.5 - won) / (1 - lost - won)
    mixed = (1 - lost - won) * stats.binom.pmf(range(samples + 1), samples, chance)
    return [*mixed + lost * np.eye(samples + 1)[0] + won * np.eye(samples + 1)[samples]]


@pytest.mark.parametrize(
    ("prompts", "samples", "decision"),
    [(6, 2, 1), (6, 3, 1), (6, 4, 1), (8, 4, 2), (12, 2, 10), (12, 4, 10)],
)
def test_equal_policies_are_promoted_no_more_often_than_the_error_rate(
    prompts: int, samples: int, decision: int
):
    """Every outcome, each by its chance, hard prompts and all; decision k errs at 5 % / k (k + 1).

    With less weight of the unseen prompt, 12 prompts promoted 1.03 and 1.07 times as often.
    """
    error_rate = 0.05 / (decision * (decision + 1))
    promoted = dict.fromkeys([(0.0, 0.0), (0.25, 0.0), (0.45, 0.0), (0.0, 0.25), (0.3, 0.3)], 0.0)
    for outcome in itertools.combinations_with_replacement(range(samples + 1), prompts):
        groups = [[1.0] * won + [0.0] * (samples - won) for won in outcome]
        if p_value(groups, 0.5) >= error_rate:
            continue
        orders = math.factorial(prompts) / math.prod(map(math.factorial, Counter(outcome).values()))
        for lost, won in promoted:
            each = chances(samples, lost, won)
            promoted[lost, won] += orders * math.prod(each[k] for k in outcome)
    assert 0 < max(promoted.values()) <= error_rate


@pytest.mark.parametrize("prompts", range(1, 41))
def test_a_coin_flip_is_promoted_in_at_most_one_of_forty_decisions(prompts: int):
    """Every outcome of so many prompts, each by its chance; a bootstrap promoted 50 % of one."""
    promoted = sum(
        math.comb(prompts, won) / 2**prompts
        for won in range(prompts + 1)
        if lower_bound([[1.0]] * won + [[0.0]] * (prompts - won), 0.025) > 0.5
    )
    assert promoted <= 0.025
