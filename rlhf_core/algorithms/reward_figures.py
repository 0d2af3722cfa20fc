"""Metrics of a reward model's scores on held-out rankings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.preference_loss import kwise_loss, pairwise_accuracy
from rlhf_core.algorithms.optimisation import mean_of
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.evaluation.calibration import expected_calibration_error


def reward_figures(
    scores: Sequence[Tensor], rankings: Sequence[RankedCandidates]
) -> dict[str, float]:
    """Return loss, accuracy, calibration error and correlation with length on held-out rankings.

    Each prompt has equal weight in loss and accuracy.

    Args:
        scores: Scores of each ranking's candidates, (K,), on the CPU.
        rankings: At least one ranking.

    Returns:
        The metrics by name; accuracy is over the rankings with an order, and missing if there are
        none.
    """
    both = list(zip(scores, rankings, strict=True))
    chances = torch.cat([(own[:, None] - own).sigmoid()[_has_preference(r)] for own, r in both])
    targets = torch.cat([ranking.preferences[_has_preference(ranking)] for ranking in rankings])
    in_order = [pairwise_accuracy(own, r.preferences).item() for own, r in both if r.has_order]
    accuracy = {"holdout_accuracy": mean_of(in_order)} if in_order else {}
    return {
        **accuracy,
        "holdout_ordered": float(len(in_order)),
        "holdout_unordered": float(len(both) - len(in_order)),
        "holdout_loss": mean_of([kwise_loss(own, r.preferences).item() for own, r in both]),
        "holdout_calibration_error": expected_calibration_error(chances.tolist(), targets.tolist()),
        "holdout_length_correlation": length_correlation(scores, rankings),
    }


def length_correlation(scores: Sequence[Tensor], rankings: Sequence[RankedCandidates]) -> float:
    """Return Pearson's r of score and length, each centred by prompt; 0 if either is constant.

    Args:
        scores: Scores of each ranking's candidates, (K,), on the CPU.
        rankings: The rankings; a candidate's length is its number of response tokens.
    """
    lengths = [
        torch.tensor([float(len(sequence.response_ids)) for sequence in ranking.sequences])
        for ranking in rankings
    ]
    x = torch.cat([length - length.mean() for length in lengths])
    y = torch.cat([own - own.mean() for own in scores])
    scale = (x.square().sum() * y.square().sum()).sqrt()
    return (x @ y / scale).item() if scale > 0 else 0.0


def _has_preference(ranking: RankedCandidates) -> Tensor:
    """Return the cells of the pairs with a known preference, in both orders, (K, K)."""
    return ranking.preferences + ranking.preferences.T > 0
