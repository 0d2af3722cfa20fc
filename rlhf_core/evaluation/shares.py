"""A share with its interval; answers to the same prompt need not be independent."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from rlhf_core.evaluation.intervals import mean_interval


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
    """Return the mean of values from 0 to 1 with its interval; None if there are no values.

    Args:
        values: 1 for yes, 0 for no, 0.5 for a tie.
        clusters: Prompt of each value. Prompts are independent of each other.
        confidence: Confidence of the interval, 0.95 for 95 %.
    """
    if not values:
        return None
    groups: defaultdict[Hashable, list[float]] = defaultdict(list)
    for value, cluster in zip(values, clusters, strict=True):
        groups[cluster].append(value)
    low, high = mean_interval(list(groups.values()), confidence, by_size=True)
    return Share(math.fsum(values) / len(values), low, high, len(values))
