"""Ranked answers as tokens: what reward models and DPO learn from."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rlhf_core.identity import unit_interval
from rlhf_core.models.sequences import TokenSequence


@dataclass(frozen=True)
class RankedCandidates:
    """The candidates of one prompt and which is better than which.

    `preferences[i, j]` is the probability that candidate i is better than j; both cells of a pair
    that teaches nothing are 0, (K, K). `margins[i, j]` says by how much i is better than j, −1 to 1
    (−2 to 2 of imported pairs), 0 where neither is preferred.
    """

    sequences: tuple[TokenSequence, ...]
    preferences: Tensor
    margins: Tensor | None = None

    @property
    def has_order(self) -> bool:
        """Whether any candidate is preferred to another: false where all its pairs are ties."""
        return bool((self.preferences != self.preferences.T).any())


def accuracy_figures(in_order: float, rankings: Sequence[RankedCandidates]) -> dict[str, float]:
    """The accuracy of a step and what it is of; without the accuracy where no ranking has an order.

    Args:
        in_order: Share of the pairs in order of each ranking that has an order, summed.
        rankings: Those of the step.
    """
    ordered = sum(ranking.has_order for ranking in rankings)
    accuracy = {"accuracy": in_order / ordered} if ordered else {}
    return {**accuracy, "ordered": float(ordered), "unordered": float(len(rankings) - ordered)}


def hold_out(
    rankings: Sequence[RankedCandidates], share: float
) -> tuple[list[RankedCandidates], list[RankedCandidates]]:
    """Rankings to learn from, and those to measure on: whole prompts, by a hash of their tokens.

    All are learnt from where nothing else would be left.
    """
    learnt: list[RankedCandidates] = []
    held: list[RankedCandidates] = []
    for ranking in rankings:
        is_held = unit_interval("reward", ranking.sequences[0].prompt_ids) < share
        (held if is_held else learnt).append(ranking)
    return (learnt, held) if learnt else (held, [])
