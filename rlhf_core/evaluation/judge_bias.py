"""What moves a judge beside quality: the place an answer is shown in, and its length."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

NEAR = 2
"""Decimals to which scores count as the same."""
CONSTANT_SHARE = 0.95
"""From this share of one and the same verdict on, a judge says nothing."""


def sign(value: float) -> int:
    return int(np.sign(value))


def chooses_first_slot(orders: Sequence[tuple[float, float]]) -> list[float]:
    """For each decided verdict of either order: 1 where the answer shown first was chosen.

    Args:
        orders: For each pair the probability that the answer shown first is better, in both orders.
    """
    return [float(shown > 0.5) for order in orders for shown in order if shown != 0.5]


def repeats_slot(orders: Sequence[tuple[float, float]]) -> list[float]:
    """For each pair: 1 where the same slot was chosen after a swap (arXiv:2309.00267, table 4)."""
    return [float(_slot(one) == _slot(other) != 0) for one, other in orders]


def repeats_answer(orders: Sequence[tuple[float, float]]) -> list[float]:
    """For each pair: 1 where both orders came to the same answer, or both to a tie."""
    return [float(_slot(one) == -_slot(other)) for one, other in orders]


def prefers_longer(margins: Sequence[float], lengths: Sequence[tuple[int, int]]) -> list[float]:
    """1 where the longer of two answers is preferred; ties and equal lengths do not count."""
    return [
        float(sign(margin) == sign(first - second))
        for margin, (first, second) in zip(margins, lengths, strict=True)
        if margin != 0 and first != second
    ]


def constant_share(values: Sequence[Hashable]) -> float | None:
    """Share of the most frequent value; None where there is none."""
    if not values:
        return None
    return Counter(values).most_common(1)[0][1] / len(values)


def _slot(probability: float) -> int:
    return sign(probability - 0.5)
