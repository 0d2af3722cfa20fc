"""Figures that hold for every judge: what it left unscored, calibration, constancy."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from rlhf_core.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    fit_scaling,
)
from rlhf_core.evaluation.judge_bias import NEAR, constant_share
from rlhf_core.evaluation.shares import Share
from rlhf_core.evaluation.verdicts import Figure
from rlhf_core.identity import unit_interval
from rlhf_core.records import Outcome

UNSCORED = (Outcome.ABSTAINS, Outcome.UNPARSED, Outcome.UNAVAILABLE)


def of_share(metric: str, found: Share | None, facet: str = "") -> list[Figure]:
    """A share as a figure; nothing where it is of nothing."""
    if found is None:
        return []
    return [Figure(metric, found.value, found.n, found.low, found.high, facet)]


def of_outcomes(outcomes: Sequence[Outcome]) -> list[Figure]:
    """How many were asked, scored, tied, and left unscored for which reason."""
    counts, asked = Counter(outcomes), len(outcomes)
    scored = asked - sum(counts[outcome] for outcome in UNSCORED)
    found = [Figure("asked", asked, asked), Figure("scored", scored, asked)]
    kinds = (Outcome.TIE, *UNSCORED)
    return found + [Figure(str(kind), counts[kind], asked) for kind in kinds]


def of_scores(scores: Sequence[float]) -> list[Figure]:
    if not scores:
        return []
    return [
        Figure("score_mean", float(np.mean(scores)), len(scores)),
        Figure("score_deviation", float(np.std(scores)), len(scores)),
    ]


def of_constancy(values: Sequence[Hashable]) -> list[Figure]:
    """The largest share of one value; scores to the nearest hundredth."""
    near = [round(value, NEAR) if isinstance(value, float) else value for value in values]
    found = constant_share(near)
    return [] if found is None else [Figure("constant_share", found, len(values))]


def of_calibration(
    probabilities: Sequence[float],
    targets: Sequence[float],
    clusters: Sequence[str],
    has_bias: bool,
) -> list[Figure]:
    """Brier score and ECE, and the ECE on one half before and after a fit on the other.

    Which half follows from a hash of the prompt, so that no prompt is in both.
    """
    n = len(probabilities)
    if not n:
        return []
    found = [
        Figure("brier", brier_score(probabilities, targets), n),
        Figure("ece", expected_calibration_error(probabilities, targets), n),
    ]
    rows = list(zip(probabilities, targets, clusters, strict=True))
    learnt = [(p, t) for p, t, prompt in rows if unit_interval("calibration", prompt) < 0.5]
    held = [(p, t) for p, t, prompt in rows if unit_interval("calibration", prompt) >= 0.5]
    if not learnt or not held:
        return found
    scaling = fit_scaling([p for p, _ in learnt], [t for _, t in learnt], has_bias)
    before, wanted = [p for p, _ in held], [t for _, t in held]
    after = scaling.apply(before)
    bias = [Figure("calibration_bias", scaling.bias, len(learnt))] if has_bias else []
    return [
        *found,
        Figure("calibration_slope", scaling.slope, len(learnt)),
        *bias,
        Figure("ece_before", expected_calibration_error(before, wanted), len(held)),
        Figure("ece_after", expected_calibration_error(after, wanted), len(held)),
        Figure("brier_before", brier_score(before, wanted), len(held)),
        Figure("brier_after", brier_score(after, wanted), len(held)),
    ]
