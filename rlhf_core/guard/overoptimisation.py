"""Over-optimisation: the reward rises with the distance from the start, the held-out score falls.

Gao et al. (arXiv:2210.10760) fit the gold score over d = √KL as d (α − β log d) for reinforcement
learning and d (α − β d) for best of n.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

Form = Literal["rl", "best_of_n"]


@dataclass(frozen=True)
class GoldCurve:
    """The fitted gold score over the distance d = √KL, KL in nats."""

    form: Form
    alpha: float
    beta: float

    def score(self, kl: float) -> float:
        """Return the fitted gain of the held-out score at a KL."""
        d = math.sqrt(max(kl, 0.0))
        if d == 0:
            return 0.0
        return d * (self.alpha - self.beta * (math.log(d) if self.form == "rl" else d))

    @property
    def peak_kl(self) -> float | None:
        """KL at which the curve is highest; None if it only falls, or rises without end."""
        if self.beta <= 0:
            return None
        if self.form == "rl":
            exponent = self.alpha / self.beta - 1
            return math.exp(2 * exponent) if exponent < 300 else None
        return (self.alpha / (2 * self.beta)) ** 2 if self.alpha > 0 else None


def fit_gold_curve(
    kl: Sequence[float], gains: Sequence[float], form: Form = "rl"
) -> GoldCurve | None:
    """Return the least-squares fit of the held-out gain over KL; None without three distances.

    Args:
        kl: KL of each step from the reference, in nats an answer; steps at or below 0 are left out,
            as they show no distance.
        gains: Held-out gain of each step; NaN is left out.
        form: Formula of the curve.
    """
    points = [(math.sqrt(x), y) for x, y in zip(kl, gains, strict=True) if x > 0 and y == y]
    if len({d for d, _ in points}) < 3:
        return None
    d, gain = np.array(points).T
    columns = np.stack([d, -d * (np.log(d) if form == "rl" else d)], axis=1)
    (alpha, beta), *_ = np.linalg.lstsq(columns, gain, rcond=None)
    return GoldCurve(form, float(alpha), float(beta))


def chance_of_rise(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the one-sided p-value that the mean rose, by Welch's t test.

    Args:
        before: Independent values, such as means by prompt.
        after: Independent values, independent of the first.

    Returns:
        1 if one side has fewer than two values.
    """
    if len(before) < 2 or len(after) < 2:
        return 1.0
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    errors = np.array([side.var(ddof=1) / len(side) for side in (first, second)])
    difference, error = float(second.mean() - first.mean()), float(errors.sum())
    if error == 0:
        return 0.0 if difference > 0 else 1.0
    freedom = error**2 / sum(
        e**2 / (len(s) - 1) for e, s in zip(errors, (first, second), strict=True)
    )
    return float(student.sf(difference / math.sqrt(error), freedom))
