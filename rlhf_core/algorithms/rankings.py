"""Ranked answers as tokens: the training data of reward models and DPO."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rlhf_core.identity import unit_interval
from rlhf_core.models.sequences import TokenSequence


@dataclass(frozen=True)
class RankedCandidates:
    """The candidates of one prompt, and the preferences among them.

    `preferences[i, j]` is the probability that candidate i is better than j, (K, K); both cells of
    a pair that teaches nothing are 0. `margins[i, j]` is how much better i is than j, −1 to 1 (−2
    to 2 for imported pairs), (K, K); 0 if neither is preferred.
    """

    sequences: tuple[TokenSequence, ...]
    preferences: Tensor
    margins: Tensor | None = None

    @property
    def has_order(self) -> bool:
        """True if any candidate is preferred to another, False if all pairs are ties."""
        return bool((self.preferences != self.preferences.T).any())


def accuracy_figures(in_order: float, rankings: Sequence[RankedCandidates]) -> dict[str, float]:
    """Return the accuracy of a step, and the numbers of rankings with and without an order.

    Args:
        in_order: Sum, over the rankings with an order, of the share of their pairs in order.
        rankings: The rankings of the step.

    Returns:
        `accuracy`, missing if no ranking has an order; `ordered`; `unordered`.
    """
    ordered = sum(ranking.has_order for ranking in rankings)
    accuracy = {"accuracy": in_order / ordered} if ordered else {}
    return {**accuracy, "ordered": float(ordered), "unordered": float(len(rankings) - ordered)}


def hold_out(
    rankings: Sequence[RankedCandidates], share: float
) -> tuple[list[RankedCandidates], list[RankedCandidates]]:
    """Split rankings into a training set and a held-out set, by a hash of the prompt's tokens.

    Args:
        rankings: All rankings.
        share: Expected share of prompts that are held out, 0 to 1.

    Returns:
        Both sets. If all would be held out, all are in the training set instead.
    """
    train: list[RankedCandidates] = []
    held_out: list[RankedCandidates] = []
    for ranking in rankings:
        is_held_out = unit_interval("reward", ranking.sequences[0].prompt_ids) < share
        (held_out if is_held_out else train).append(ranking)
    return (train, held_out) if train else (held_out, [])
