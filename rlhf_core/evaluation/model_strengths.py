"""Bradley–Terry strengths of models from their comparisons on prompts, with intervals by prompt.

The probability that a model's answer beats another's is σ of the difference of their strengths;
ties count half to each side. The fit is that of rankings. Intervals are by the sandwich covariance
with prompts as clusters and the t distribution: a bootstrap over prompts has width zero for a model
that always wins, where the prior keeps this one wide.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import expit

from rlhf_core.evaluation.logistic import Floats, sandwich
from rlhf_core.preferences.bradley_terry import PRIOR_PRECISION, connected_parts, fit_strengths


class ModelResult(NamedTuple):
    """One comparison of two models' answers to a prompt."""

    prompt_id: str
    policy_id: str
    baseline_id: str
    result: float
    """1 if the policy's answer is preferred, 0 if the baseline's is, 0.5 for a tie."""


@dataclass(frozen=True)
class ModelStrength:
    """Strength of a model above that of its part's anchor, in log-odds, with its interval."""

    model_id: str
    anchor_id: str
    """Model whose strength is 0: the first of `anchors` in the part, or else its first model."""
    strength: float
    low: float | None
    """Lower end; None if all comparisons are on one prompt."""
    high: float | None
    win_rate: float
    """Win rate against the anchor that the strengths imply."""
    prompts: int
    """Prompts on which the model was compared."""


def model_strengths(
    results: Sequence[ModelResult], anchors: Sequence[str], confidence: float
) -> list[ModelStrength]:
    """Fit the strengths of all models, each prompt of two models counting once.

    Models that were never compared, not even through others, are in different parts, each with an
    anchor of its own; strengths of different parts say nothing about each other.

    Args:
        results: Comparisons that the judge had an opinion on.
        anchors: Models to anchor at 0, in order of preference.
        confidence: Confidence of each interval, 0.95 for 95 %.

    Returns:
        The strengths, by part in order of its first model, the strongest first in each part.
    """
    models = list(dict.fromkeys(id for row in results for id in (row.policy_id, row.baseline_id)))
    weights = _weights(results)
    parts = connected_parts(_wins(models, results, weights))
    found = []
    for part in dict.fromkeys(parts):
        members = [model for model, own in zip(models, parts, strict=True) if own == part]
        anchor = next((id for id in anchors if id in members), members[0])
        rows = [place for place, row in enumerate(results) if row.policy_id in members]
        found += _of_part(
            members, anchor, [results[place] for place in rows], weights[rows], confidence
        )
    return found


def _of_part(
    models: Sequence[str],
    anchor: str,
    results: Sequence[ModelResult],
    weights: Floats,
    confidence: float,
) -> list[ModelStrength]:
    """Return the strengths of models that were all compared, directly or through others."""
    place = {model: number for number, model in enumerate(models)}
    (strengths,) = fit_strengths([_wins(models, results, weights)])
    covariance = _covariance(place, results, weights, strengths)
    clusters = len({row.prompt_id for row in results})
    quantile = stats.t.ppf((1 + confidence) / 2, clusters - 1) if clusters > 1 else None
    found = []
    for model, number in place.items():
        contrast = np.zeros(len(models))
        contrast[number] += 1
        contrast[place[anchor]] -= 1
        strength = float(contrast @ strengths)
        reach = float(np.sqrt(contrast @ covariance @ contrast))
        asked = {r.prompt_id for r in results if model in (r.policy_id, r.baseline_id)}
        found.append(
            ModelStrength(
                model,
                anchor,
                strength,
                None if quantile is None else strength - quantile * reach,
                None if quantile is None else strength + quantile * reach,
                float(expit(strength)),
                len(asked),
            )
        )
    return sorted(found, key=lambda each: -each.strength)


def _covariance(
    place: Mapping[str, int], results: Sequence[ModelResult], weights: Floats, strengths: Floats
) -> Floats:
    """Return the covariance of the strengths, (K, K), as in `fit_logistic`."""
    design = np.zeros((len(results), len(place)))
    rows = np.arange(len(results))
    design[rows, [place[row.policy_id] for row in results]] += 1
    design[rows, [place[row.baseline_id] for row in results]] -= 1
    won = np.array([row.result for row in results])
    prior = np.full(len(place), PRIOR_PRECISION)
    return sandwich(design, won, weights, prior, strengths, [row.prompt_id for row in results])


def _wins(models: Sequence[str], results: Sequence[ModelResult], weights: Floats) -> Floats:
    """Return the weighted wins of each model over each other, (K, K), for `fit_strengths`."""
    place = {model: number for number, model in enumerate(models)}
    wins = np.zeros((len(models), len(models)))
    for row, weight in zip(results, weights, strict=True):
        ours, theirs = place[row.policy_id], place[row.baseline_id]
        wins[ours, theirs] += weight * row.result
        wins[theirs, ours] += weight * (1 - row.result)
    return wins


def _weights(results: Sequence[ModelResult]) -> Floats:
    """Return 1 / number of comparisons of the same two models on the same prompt, (N,)."""
    keys = [(row.prompt_id, frozenset((row.policy_id, row.baseline_id))) for row in results]
    counts = Counter(keys)
    return np.array([1 / counts[key] for key in keys])
