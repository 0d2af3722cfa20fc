"""Biases of a judge: towards the position in which an answer is shown, and towards its length."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

NEAR = 2
"""Decimals to which scores count as equal."""
CONSTANT_SHARE = 0.95
"""Share of equal verdicts from which a judge counts as constant."""


def sign(value: float) -> int:
    return int(np.sign(value))


def chooses_first_slot(orders: Sequence[tuple[float, float]]) -> list[float]:
    """Return 1 for each decided verdict of either order that chose the answer shown first, else 0.

    Args:
        orders: For each pair, the probability that the answer shown first is better, in both
            orders.
    """
    return [float(shown > 0.5) for order in orders for shown in order if shown != 0.5]


def repeats_slot(orders: Sequence[tuple[float, float]]) -> list[float]:
    """Return 1 for each pair with the same slot chosen after a swap (arXiv:2309.00267, table 4)."""
    return [float(_slot(one) == _slot(other) != 0) for one, other in orders]


def repeats_answer(orders: Sequence[tuple[float, float]]) -> list[float]:
    """Return 1 for each pair for which both orders chose the same answer, or both a tie."""
    return [float(_slot(one) == -_slot(other)) for one, other in orders]


def prefers_longer(margins: Sequence[float], lengths: Sequence[tuple[int, int]]) -> list[float]:
    """Return 1 if the longer of two answers is preferred; ties and equal lengths do not count."""
    return [
        float(sign(margin) == sign(first - second))
        for margin, (first, second) in zip(margins, lengths, strict=True)
        if margin != 0 and first != second
    ]


def constant_share(values: Sequence[Hashable]) -> float | None:
    """Return the share of the most frequent value; None if there are no values."""
    if not values:
        return None
    return Counter(values).most_common(1)[0][1] / len(values)


def _slot(probability: float) -> int:
    return sign(probability - 0.5)
