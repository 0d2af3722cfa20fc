"""Exact lower bounds of the mean of grouped values from 0 to 1, for decisions.

Gaffke's bound (Gaffke 2005; Learned-Miller and Thomas, arXiv:1905.06208) gives the groups random
weights, like a Bayesian bootstrap, and adds one unseen group of value 0. If all values are 0 or 1,
it is the bound of Clopper and Pearson (Biometrika 26, 1934); with ties at one half it lies above
one half exactly if a sign test of the others is significant.

A bound by the normal or the t distribution, or by a bootstrap without the unseen group, promotes a
coin flip more often than it says if groups are few or skewed. tests/benchmarks/RESULTS.md has the
measured shares.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

LEAST_UNSEEN = 0.85
"""Least weight of the unseen group, for values that vary within groups as much as between them.
Chosen by counting every outcome of 6 to 17 prompts with 2 to 4 comparisons, and of up to 40 with
2, at the error rates of decisions 1 to 50, for 180 ways to be equal: bounds erred at most 0.87
times as often as they say; with 3/4 up to 1.03 times (16 prompts, decision 50), and with 2/3 1.07
times (12 prompts, decision 10)."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(1024)
_ANGLES = np.pi / 4 * (_NODES + 1)
_GRID = np.tan(_ANGLES)
_STEPS = np.pi / 4 * _WEIGHTS / np.cos(_ANGLES) ** 2

Floats = NDArray[np.float64]


def lower_bound(groups: Sequence[Sequence[float]], error_rate: float) -> float:
    """Return the value that the mean of groups exceeds, but for a chance of `error_rate`.

    Args:
        groups: Values from 0 to 1 of each group; at least one group, and none is empty. Groups are
            independent of each other, the values within a group need not be. Each group counts
            once.
        error_rate: Chance that the bound lies above the true mean, 0.025 for 2.5 %.
    """
    values, weights = _with_unseen(groups)
    if values.max() == 0:
        return 0.0

    def excess(mean: float) -> float:
        return _probability_not_above_zero(values - mean, weights) - error_rate

    return float(brentq(excess, 0.0, 1.0, xtol=1e-9))


def p_value(groups: Sequence[Sequence[float]], above: float) -> float:
    """Return the least error rate at which `lower_bound` lies above a value from 0 to 1.

    Args:
        groups: Values from 0 to 1 of each group, as for `lower_bound`.
        above: The value; the mean that is tested is at most this.
    """
    values, weights = _with_unseen(groups)
    return _probability_not_above_zero(values - above, weights)


def _with_unseen(groups: Sequence[Sequence[float]]) -> tuple[Floats, Floats]:
    """Return the mean of each group and 0 for the unseen one, with the weights of all of them."""
    means = np.array([sum(group) / len(group) for group in groups])
    weights = np.append(np.ones(len(means)), _weight_of_unseen(groups, means))
    return np.append(means, 0.0), weights


def _weight_of_unseen(groups: Sequence[Sequence[float]], means: Floats) -> float:
    """Return 1 if the values of each group are equal, and less the more they vary within groups."""
    values = np.concatenate([np.asarray(group, dtype=float) for group in groups])
    spread = float(values.var())
    if len(means) < 2 or spread == 0:
        return 1.0
    return float(np.clip(means.var(ddof=1) / spread, LEAST_UNSEEN, 1.0))


def _probability_not_above_zero(scales: Floats, shapes: Floats) -> float:
    """Return P(Σ scale · G ≤ 0) for independent G ~ Gamma(shape), by its characteristic function.

    Imhof (Biometrika 48, 1961, eq. 3.2). Bounds of 1 to 1,000 wins and losses are within 4e-8 of
    the exact ones, down to an error rate of 2e-5.
    """
    if (scales >= 0).all():
        return 0.0
    if (scales <= 0).all():
        return 1.0
    scale, places = np.unique(scales, return_inverse=True)
    weights = np.bincount(places, weights=shapes)
    angles = np.outer(scale / np.sqrt(weights @ scale**2), _GRID)
    phase = weights @ np.arctan(angles)
    damping = weights @ np.log1p(angles**2) / 2
    integral = _STEPS @ (np.sin(phase) * np.exp(-damping) / _GRID)
    return float(np.clip(0.5 - integral / np.pi, 0.0, 1.0))
