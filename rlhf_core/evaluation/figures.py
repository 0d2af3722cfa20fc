"""Figures that apply to every judge: outcomes, calibration, constancy."""

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


def of_share(metric: str, share: Share | None, facet: str = "") -> list[Figure]:
    """Return a share as a figure; none if there is no share.

    Args:
        metric: Name of the figure.
        share: The share with its interval.
        facet: Part that the figure is about; empty for the whole.
    """
    if share is None:
        return []
    return [Figure(metric, share.value, share.n, share.low, share.high, facet)]


def of_outcomes(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the numbers of questions asked, scored, tied, and unscored for each reason."""
    counts, asked = Counter(outcomes), len(outcomes)
    scored = asked - sum(counts[outcome] for outcome in UNSCORED)
    result = [Figure("asked", asked, asked), Figure("scored", scored, asked)]
    kinds = (Outcome.TIE, *UNSCORED)
    return result + [Figure(str(kind), counts[kind], asked) for kind in kinds]


def of_scores(scores: Sequence[float]) -> list[Figure]:
    if not scores:
        return []
    return [
        Figure("score_mean", float(np.mean(scores)), len(scores)),
        Figure("score_deviation", float(np.std(scores)), len(scores)),
    ]


def of_constancy(values: Sequence[Hashable]) -> list[Figure]:
    """Return the share of the most frequent value; scores are rounded to hundredths."""
    near = [round(value, NEAR) if isinstance(value, float) else value for value in values]
    constant = constant_share(near)
    return [] if constant is None else [Figure("constant_share", constant, len(values))]


def of_calibration(
    probabilities: Sequence[float],
    targets: Sequence[float],
    clusters: Sequence[str],
    has_bias: bool,
) -> list[Figure]:
    """Return Brier score and ECE, and both on one half before and after a fit on the other.

    A hash of the prompt decides the half, so that no prompt is in both.

    Args:
        probabilities: Probability of each label, 0 to 1.
        targets: The labels, 0 to 1.
        clusters: Prompt of each label.
        has_bias: True to fit a bias beside the slope.
    """
    n = len(probabilities)
    if not n:
        return []
    result = [
        Figure("brier", brier_score(probabilities, targets), n),
        Figure("ece", expected_calibration_error(probabilities, targets), n),
    ]
    rows = list(zip(probabilities, targets, clusters, strict=True))
    learnt = [(p, t) for p, t, prompt in rows if unit_interval("calibration", prompt) < 0.5]
    held = [(p, t) for p, t, prompt in rows if unit_interval("calibration", prompt) >= 0.5]
    if not learnt or not held:
        return result
    scaling = fit_scaling([p for p, _ in learnt], [t for _, t in learnt], has_bias)
    before, wanted = [p for p, _ in held], [t for _, t in held]
    after = scaling.apply(before)
    bias = [Figure("calibration_bias", scaling.bias, len(learnt))] if has_bias else []
    return [
        *result,
        Figure("calibration_slope", scaling.slope, len(learnt)),
        *bias,
        Figure("ece_before", expected_calibration_error(before, wanted), len(held)),
        Figure("ece_after", expected_calibration_error(after, wanted), len(held)),
        Figure("brier_before", brier_score(before, wanted), len(held)),
        Figure("brier_after", brier_score(after, wanted), len(held)),
    ]
