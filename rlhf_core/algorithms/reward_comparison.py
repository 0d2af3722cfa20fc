"""Comparison of two reward models on the same held-out rankings, in pairs by prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test
from torch import Tensor

from rlhf_core.algorithms.losses.preference_loss import pairwise_accuracy
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.errors import TrainingError
from rlhf_core.evaluation.intervals import mean_interval

CONFIDENCE = 0.95
RESAMPLES = 9999
"""Random swaps of the two models; up to 13 prompts, every swap is tried."""
AT_ONCE = 500
"""Swaps that are held in memory together; the p-value does not depend on it."""


@dataclass(frozen=True)
class Accuracy:
    """Share of held-out pairs that a reward model scores in their order, with its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RewardDifference:
    """Accuracies of two reward models, and how surely they differ."""

    prompts: int
    pairs: int
    new: Accuracy
    old: Accuracy
    p_worse: float
    """Chance of a difference at least as bad for the new model if the two were exchangeable."""
    p_better: float


def compare_accuracy(
    new: Sequence[Tensor], old: Sequence[Tensor], rankings: Sequence[RankedCandidates]
) -> RewardDifference | None:
    """Compare two reward models on rankings that neither of them learnt from.

    Rankings of one prompt are not independent, so each prompt counts once, by the mean of its
    rankings. The test swaps the two models at random within prompts (Fisher, The Design of
    Experiments, 1935, section 21), which holds its level however few the prompts are.

    Args:
        new: Scores of each ranking's candidates by the new model, (K,) each.
        old: The same by the old model.
        rankings: The rankings.

    Returns:
        The difference; None if no ranking has an order.

    Raises:
        TrainingError: If a score is not finite: a pair without a score is not in the wrong order.
    """
    for name, scores in (("new", new), ("last", old)):
        if not all(each.isfinite().all() for each in scores):
            raise TrainingError(f"the {name} reward model scores a held-out answer as not finite")
    shares: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    pairs = 0
    for ours, theirs, ranking in zip(new, old, rankings, strict=True):
        if ranking.has_order:
            both = [pairwise_accuracy(own, ranking.preferences).item() for own in (ours, theirs)]
            shares.setdefault(ranking.sequences[0].prompt_ids, []).append((both[0], both[1]))
            pairs += int((ranking.preferences > ranking.preferences.T).sum())
    if not shares:
        return None
    by_prompt = [np.mean(each, axis=0) for each in shares.values()]
    ours_mean, theirs_mean = (np.array([each[side] for each in by_prompt]) for side in (0, 1))
    return RewardDifference(
        prompts=len(shares),
        pairs=pairs,
        new=_accuracy([[ours for ours, _ in each] for each in shares.values()]),
        old=_accuracy([[theirs for _, theirs in each] for each in shares.values()]),
        p_worse=_p_value(ours_mean, theirs_mean, "less"),
        p_better=_p_value(ours_mean, theirs_mean, "greater"),
    )


def _accuracy(groups: Sequence[Sequence[float]]) -> Accuracy:
    low, high = mean_interval(groups, CONFIDENCE)
    return Accuracy(float(np.mean([np.mean(group) for group in groups])), low, high)


def _p_value(new: NDArray[np.float64], old: NDArray[np.float64], alternative: str) -> float:
    if len(new) == 1 or (new == old).all():
        return 1.0  # one prompt, or no difference, shows nothing
    result = permutation_test(
        (new, old),
        _mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=AT_ONCE,
        alternative=alternative,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def _mean_difference(
    new: NDArray[np.float64], old: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    return np.asarray(np.mean(new - old, axis=axis))
