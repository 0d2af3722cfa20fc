"""How well a reward model's scores stand up to rankings it has not learnt from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.preference_loss import kwise_loss, pairs_in_order
from rlhf_core.algorithms.optimisation import mean_of
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.evaluation.calibration import expected_calibration_error


def reward_figures(
    scores: Sequence[Tensor], rankings: Sequence[RankedCandidates]
) -> dict[str, float]:
    """Loss, accuracy, calibration error and correlation with length, each prompt counting alike.

    Accuracy is of the rankings that have an order; it is left out where none has one.

    Args:
        scores: Of each ranking's candidates, (K,), on the CPU.
        rankings: At least one.
    """
    both = list(zip(scores, rankings, strict=True))
    chances = torch.cat([(own[:, None] - own).sigmoid()[_is_told(r)] for own, r in both])
    targets = torch.cat([ranking.preferences[_is_told(ranking)] for ranking in rankings])
    in_order = [pairs_in_order(own, r.preferences).item() for own, r in both if r.has_order]
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
    """Pearson's r of score and tokens, each less its prompt's mean; 0 where either is constant."""
    lengths = [
        torch.tensor([float(len(sequence.response_ids)) for sequence in ranking.sequences])
        for ranking in rankings
    ]
    x = torch.cat([length - length.mean() for length in lengths])
    y = torch.cat([own - own.mean() for own in scores])
    scale = (x.square().sum() * y.square().sum()).sqrt()
    return (x @ y / scale).item() if scale > 0 else 0.0


def _is_told(ranking: RankedCandidates) -> Tensor:
    """Cells of the pairs that a preference is known of, in both orders, (K, K)."""
    return ranking.preferences + ranking.preferences.T > 0
