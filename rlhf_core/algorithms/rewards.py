"""What a batch of answers is rewarded with: one callable, or the weighted sum of several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlhf_core.algorithms.reward_model import scores_of_each_head
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.models.trunk import Role, Trunk


@dataclass(frozen=True)
class Rewards:
    """Of a batch of B answers, and what they are made of."""

    total: Tensor
    """(B,)"""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """By name, before its weight, (B,); not-a-number where a part has no opinion."""


Reward = Callable[[Sequence[Rollout]], Tensor | Rewards]
"""Scores a batch of rollouts, (B,): a reward model, a judge, a verifier, any function."""


@dataclass(frozen=True)
class Part:
    """One addend: not-a-number says that it has no opinion on an answer."""

    weight: float
    score: Callable[[Sequence[Rollout]], Tensor]


def mixed(parts: Mapping[str, Part]) -> Reward:
    """The weighted sum of some parts, by their names."""

    def reward(rollouts: Sequence[Rollout]) -> Rewards:
        found = {name: part.score(rollouts) for name, part in parts.items()}
        total = torch.zeros(len(rollouts))
        for name, scores in found.items():
            total += parts[name].weight * filled(scores)
        return Rewards(total, found)

    return reward


def filled(scores: Tensor) -> Tensor:
    """Scores with the mean of the others where there is none; 0 where there is none at all."""
    return scores.nan_to_num(nan=scores.nanmean().nan_to_num(nan=0.0).item())


def whole(found: Tensor | Rewards) -> Rewards:
    return found if isinstance(found, Rewards) else Rewards(found)


def describe(rewards: Rewards) -> dict[str, float]:
    """Mean of each of several parts, and the share of the answers it had no opinion on."""
    if len(rewards.parts) < 2:
        return {}
    means = {f"reward_{name}": filled(s).mean().item() for name, s in rewards.parts.items()}
    silent = {f"unscored_{n}": s.isnan().float().mean().item() for n, s in rewards.parts.items()}
    return means | silent


def reward_model_score(trunk: Trunk, caution: float) -> Callable[[Sequence[Rollout]], Tensor]:
    """The trunk's reward role: the mean of its heads, less `caution` of their deviations."""

    def score(rollouts: Sequence[Rollout]) -> Tensor:
        each = scores_of_each_head(trunk, [answer.tokens for answer in rollouts], Role.REWARD)
        return each.mean(dim=1) - caution * each.std(dim=1, correction=0)

    return score
