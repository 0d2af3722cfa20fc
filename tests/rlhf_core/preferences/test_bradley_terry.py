"""Strengths against values by hand and scipy's own optimum."""

from math import log

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from rlhf_core.preferences.bradley_terry import PRIOR_PRECISION, Matrix, fit_strengths


def wins(*chances: tuple[int, int, float], size: int) -> Matrix:
    """Of comparisons of weight 1: the one, the other, and the chance that the one is better."""
    found = np.zeros((size, size))
    for one, other, chance in chances:
        found[one, other], found[other, one] = chance, 1 - chance
    return found


def test_two_candidates_by_hand():
    """At strengths ±x the slope is p − σ(2x) − λx: 0 for x = log(3) / 2 and p = 0.75 + λx."""
    chance = 0.75 + PRIOR_PRECISION * log(3) / 2
    (found,) = fit_strengths([wins((0, 1, chance), size=2)])
    assert found.tolist() == pytest.approx([log(3) / 2, -log(3) / 2], abs=1e-9)


def test_three_candidates_by_hand():
    """At log 2, 0, −log 2 chances are 2/3, 2/3 and 4/5; the prior adds λ log 2 to the first two."""
    step = 2 / 3 + PRIOR_PRECISION * log(2)
    (found,) = fit_strengths([wins((0, 1, step), (1, 2, step), (0, 2, 4 / 5), size=3)])
    assert found.tolist() == pytest.approx([log(2), 0.0, -log(2)], abs=1e-9)


def test_nothing_is_told_apart_by_even_chances():
    (found,) = fit_strengths([wins((0, 1, 0.5), (1, 2, 0.5), size=3)])
    assert found.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("size", range(2, 10))
def test_strengths_are_the_optimum_that_scipy_finds(size: int):
    """Weights from 0 to 1, chances from 0 to 1 with both ends, and a third of the pairs missing."""
    random = np.random.default_rng(size)
    chances = np.clip(random.random((size, size)) * 1.4 - 0.2, 0, 1)
    weights = random.random((size, size)) * (random.random((size, size)) > 1 / 3)
    upper = np.triu(np.ones((size, size)), 1)
    own = upper * weights * chances + (upper * weights * (1 - chances)).T

    def loss(strengths: Matrix) -> tuple[float, Matrix]:
        gaps = strengths[:, None] - strengths
        slope = -(own - (own + own.T) * expit(gaps)).sum(axis=1) + PRIOR_PRECISION * strengths
        fit = -(own * log_expit(gaps)).sum() + PRIOR_PRECISION / 2 * strengths @ strengths
        return float(fit), slope

    wanted = minimize(loss, np.zeros(size), jac=True, method="BFGS", options={"gtol": 1e-10}).x
    (found,) = fit_strengths([own])
    assert found == pytest.approx(wanted, abs=1e-6)
    assert found.sum() == pytest.approx(0.0, abs=1e-9)


def test_a_candidate_that_always_wins_stays_finite_and_in_order():
    (found,) = fit_strengths([np.triu(np.ones((64, 64)), 1)])
    assert np.isfinite(found).all()
    assert (np.diff(found) < 0).all()


def test_a_group_is_fitted_alike_alone_and_beside_others():
    random = np.random.default_rng(1)
    groups = [random.random((size, size)) for size in (4, 3, 4, 2, 4, 3)]
    together = fit_strengths(groups)
    for group, found in zip(groups, together, strict=True):
        assert fit_strengths([group])[0].tolist() == found.tolist()


def test_of_no_group_and_of_empty_groups_nothing_is_fitted():
    assert fit_strengths([]) == []
    assert fit_strengths([np.zeros((0, 0))])[0].shape == (0,)
