"""Intervals of the mean of grouped values from 0 to 1, for reports.

The interval is that of Jeffreys (Brown, Cai and DasGupta, Statistical Science 16, 2001) at the
effective number of groups: as many outright wins and losses as would vary like the means of the
groups, corrected for estimating that variance from few groups (Korn and Graubard, Survey
Methodology 24, 1998; compared by Franco et al., Journal of Survey Statistics and Methodology 7,
2019). Chosen by simulation, because it holds the truth about as often as it says from 8 to 1,000
groups; tests/benchmarks/RESULTS.md has the figures. Decisions take the bound of `bounds`, which
never errs more often than it says and is wider for that.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

METHOD = "jeffreys-1"
"""Version of the method; change it with every change of results, so old ones are not reused."""

Floats = NDArray[np.float64]


def mean_interval(
    groups: Sequence[Sequence[float]], confidence: float, by_size: bool = False
) -> tuple[float, float]:
    """Return the interval of the mean of groups, each with one or more values.

    Args:
        groups: Values from 0 to 1 of each group; at least one group, and none is empty. Groups are
            independent of each other, the values within a group need not be.
        confidence: Confidence of the interval, 0.95 for 95 %.
        by_size: True to weight groups by their number of values; else each counts once.

    Returns:
        Lower and upper end.
    """
    means = np.array([sum(group) / len(group) for group in groups])
    sizes = np.array([len(group) if by_size else 1 for group in groups], dtype=float)
    shares = sizes / sizes.sum()
    mean, tail = float(shares @ means), (1 - confidence) / 2
    count = _effective_groups(means, shares, tail)
    ends = special.betaincinv(count * mean + 0.5, count * (1 - mean) + 0.5, [tail, 1 - tail])
    return 0.0 if means.max() == 0 else float(ends[0]), 1.0 if means.min() == 1 else float(ends[1])


def _effective_groups(means: Floats, shares: Floats, tail: float) -> float:
    """Return the number of outright wins and losses whose mean varies like that of the groups.

    Groups that are all equal show no variance; each then counts as one win or loss, which varies
    most. One group alone counts as none.
    """
    if len(means) == 1:
        return 0.0
    mean = float(shares @ means)
    variance = float(((shares * (means - mean)) ** 2).sum())
    count = mean * (1 - mean) / variance if variance > 1e-12 else 1 / float(shares @ shares)
    few = special.ndtri(1 - tail) / special.stdtrit(len(means) - 1, 1 - tail)
    return float(count * few**2)
