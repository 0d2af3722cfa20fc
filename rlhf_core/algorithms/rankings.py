"""Ranked answers as tokens: the training data of reward models and DPO."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
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


@dataclass(frozen=True)
class RankingBatch:
    """The n rankings of a micro-batch side by side, padded to its largest K."""

    numbers: list[int]
    """Number of each ranking in the step, (n,)."""
    places: Tensor
    """Place of each candidate in the micro-batch, (n, K); 0 for padding."""
    is_real: Tensor
    """False for padding, (n, K)."""
    preferences: Tensor
    """(n, K, K); 0 for padding, as for a pair that teaches nothing."""
    margins: Tensor
    """(n, K, K); 0 without margins."""
    has_order: Tensor
    """False if all pairs of a ranking are ties, (n,)."""


def batch_rankings(
    rankings: Sequence[RankedCandidates], group: Sequence[int], device: torch.device
) -> RankingBatch:
    """Return the rankings of one micro-batch.

    Args:
        rankings: The rankings of the step; their candidates follow one another in it.
        group: Candidates of the step that the micro-batch holds; of a ranking all or none.
        device: Device of the tensors.
    """
    owners = [number for number, ranking in enumerate(rankings) for _ in ranking.sequences]
    places: dict[int, list[int]] = {}
    for place, index in sorted(enumerate(group), key=lambda pair: pair[1]):
        places.setdefault(owners[index], []).append(place)
    numbers = list(places)
    shape = len(numbers), max(map(len, places.values()))
    padded = torch.zeros(shape, dtype=torch.long)
    is_real = torch.zeros(shape, dtype=torch.bool)
    pairs = torch.zeros(2, *shape, shape[1])
    for row, number in enumerate(numbers):
        ranking, own = rankings[number], slice(0, len(places[number]))
        padded[row, own] = torch.tensor(places[number])
        is_real[row, own] = True
        pairs[0, row, own, own] = ranking.preferences.float()
        if ranking.margins is not None:
            pairs[1, row, own, own] = ranking.margins.float()
    has_order = torch.tensor([rankings[number].has_order for number in numbers])
    preferences, margins = pairs.to(device)
    return RankingBatch(
        numbers,
        padded.to(device),
        is_real.to(device),
        preferences,
        margins,
        has_order.to(device),
    )


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
