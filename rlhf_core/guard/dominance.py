"""One part of a mixed reward dominates: it explains the reward's rise alone.

A policy that becomes better raises several parts of its reward. One that found what pleases a
single judge raises that judge's part, and the others stay or fall.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_core.guard.overoptimisation import chance_of_rise

DOMINANT_PART = "dominant_part"
MOST = 0.8
"""Share of the reward's rise that one part may explain."""

Addends = Sequence[Mapping[str, float]]
"""Mean addend of each prompt, by the name of the reward's part."""


class Lead(NamedTuple):
    """The part of the reward that rose most."""

    part: str
    share: float
    """Its share of the reward's rise: 1 if the others together fell or stayed."""
    chance: float
    """p-value that it rose, and explains more than `MOST` of the rise."""


def leading_part(before: Addends, after: Addends) -> Lead | None:
    """Return the part of the reward that rose most; None if none rose.

    The share is a / (a + max(b, 0)), where a is the rise of the part and b that of all others
    together. It exceeds `MOST` exactly if a − b · MOST / (1 − MOST) is above 0, which is a
    difference of means: a t test tells it from chance. Both that and the rise have to hold, so the
    p-value is the larger of the two.

    Args:
        before: Addends by prompt, at first.
        after: Addends by prompt, now; the same parts.
    """
    if not before or not after or len(before[0]) < 2:
        return None
    rises = {name: _mean(after, name) - _mean(before, name) for name in before[0]}
    part = max(rises, key=lambda name: (rises[name], name))
    own, others = rises[part], math.fsum(rises.values()) - rises[part]
    if own <= 0:
        return None
    odds = MOST / (1 - MOST)
    rose = chance_of_rise(*([each[part] for each in side] for side in (before, after)))
    leads = chance_of_rise(
        *([each[part] - odds * _others(each, part) for each in side] for side in (before, after))
    )
    return Lead(part, own / (own + max(others, 0.0)), max(rose, leads))


def _mean(addends: Addends, part: str) -> float:
    return math.fsum(each[part] for each in addends) / len(addends)


def _others(addends: Mapping[str, float], part: str) -> float:
    return math.fsum(value for name, value in addends.items() if name != part)
