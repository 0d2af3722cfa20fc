"""Verdicts on claims, by the t interval of paired differences over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from flows.experiments.experiment import Claim

CONFIDENCE = 0.95
Outcome = Literal["held", "did not hold", "undecided"]


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds with its interval; without one for fewer than two seeds."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim, the number that it is about, and whether it held."""

    claim: Claim
    outcome: Outcome
    found: SeedMean | None
    """The arm's number, or its difference from the other arm; None if nothing was measured."""


def mean_over_seeds(values: Sequence[float]) -> SeedMean | None:
    """Return the mean of one value a seed with Student's t interval; None without any value.

    Seeds are independent runs, so the interval covers what another seed would change. It does not
    cover what other prompts would change.
    """
    if not values:
        return None
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if len(array) < 2:
        return SeedMean(mean, None, None, len(array))
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    reach = float(student.ppf((1 + CONFIDENCE) / 2, len(array) - 1)) * error
    return SeedMean(mean, mean - reach, mean + reach, len(array))


def judge_claim(claim: Claim, by_arm: Mapping[str, Mapping[int, float]]) -> ClaimVerdict:
    """Decide on a claim: it held if the whole interval lies on the side that it names.

    Args:
        claim: The claim.
        by_arm: The values of its measure by arm, then by seed.

    Returns:
        "did not hold" if the whole interval lies on the other side; "undecided" if the interval
        holds the threshold, or there are fewer than two seeds.
    """
    own = by_arm.get(claim.arm, {})
    if claim.other is None:
        values = [own[seed] for seed in sorted(own)]
    else:
        other = by_arm.get(claim.other, {})
        values = [own[seed] - other[seed] for seed in sorted(own) if seed in other]
    found = mean_over_seeds(values)
    if found is None or found.low is None or found.high is None:
        return ClaimVerdict(claim, "undecided", found)
    is_above, is_below = found.low > claim.threshold, found.high < claim.threshold
    holds, fails = (is_above, is_below) if claim.direction == "above" else (is_below, is_above)
    return ClaimVerdict(claim, "held" if holds else "did not hold" if fails else "undecided", found)
