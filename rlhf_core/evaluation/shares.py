"""A share with its interval, where answers to the same prompt are not independent."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Share:
    """A share of `n` with the interval around it."""

    value: float
    low: float
    high: float
    n: int


def share(
    values: Sequence[float], clusters: Sequence[Hashable], confidence: float = 0.95
) -> Share | None:
    """Mean of values from 0 to 1 with Wilson's interval; None where there is nothing.

    Wilson (1927) with n divided by the design effect (Kish 1965, section 8.2): how much larger the
    variance is because values of one cluster go together. It is taken to be at least 1, and where
    all values are alike, which hides it, a cluster counts once.

    Args:
        values: 1 for yes, 0 for no, 0.5 for a tie.
        clusters: What each value belongs to: its prompt.
        confidence: Of the interval, 0.95 for 95 %.
    """
    if not values:
        return None
    mean = math.fsum(values) / len(values)
    low, high = wilson(mean, _effective_size(values, clusters, mean), confidence)
    return Share(mean, low, high, len(values))


def wilson(value: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval (JASA 22, 1927) of a share among n."""
    z = float(stats.norm.ppf((1 + confidence) / 2))
    centre = (value + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _effective_size(values: Sequence[float], clusters: Sequence[Hashable], mean: float) -> float:
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - mean
    if mean * (1 - mean) == 0:
        return len(sums)
    clustered = math.fsum(total**2 for total in sums.values())
    independent = len(values) * mean * (1 - mean)
    return len(values) / max(1.0, clustered / independent)
