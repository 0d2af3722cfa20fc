"""Small tasks with a known answer, for algorithms to find."""

from collections.abc import Sequence

import pytest
import torch

from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.models.sequences import TokenSequence

SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))]
"""Seeds for trainings of seconds: one shows that it learns, three that it was not luck."""
GOOD = 70
"""The token that is preferred to all others. Tokens below 3 are special."""


def random_tokens(generator: torch.Generator, length: int) -> tuple[int, ...]:
    return tuple(torch.randint(3, 250, (length,), generator=generator).tolist())


def planted_rankings(count: int, seed: int) -> list[RankedCandidates]:
    """Return rankings of two answers that differ in one token; the good token is preferred."""
    generator = torch.Generator().manual_seed(seed)
    rankings = []
    for _ in range(count):
        prompt, answer = random_tokens(generator, 6), random_tokens(generator, 4)
        better = (*answer[:2], GOOD, answer[3])
        sequences = (TokenSequence(prompt, (*answer, 2)), TokenSequence(prompt, (*better, 2)))
        rankings.append(RankedCandidates(sequences, torch.tensor([[0.0, 0.0], [1.0, 0.0]])))
    return rankings


def share_of_low(rollouts: Sequence[Rollout]) -> torch.Tensor:
    """Return the share of tokens below 64: a reward of about 1/4 at random, and 1 at best."""
    shares = [
        sum(token < 64 for token in rollout.tokens.response_ids) / len(rollout.tokens.response_ids)
        for rollout in rollouts
    ]
    return torch.tensor(shares)
