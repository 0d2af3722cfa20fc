"""What a batch of answers is rewarded with: one callable, or the weighted sum of several."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.algorithms.scoring import head_scores
from rlhf_core.models.trunk import Role, Trunk


@dataclass(frozen=True)
class Rewards:
    """Of a batch of B answers, and what they are made of."""

    total: Tensor
    """(B,); not-a-number where a part that was asked has no opinion. Such an answer has no score,
    and nothing is learnt from it."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """By name, before its weight, (B,); not-a-number where a part has no opinion."""
    asked: Mapping[str, Tensor] = field(default_factory=dict)
    """By name, whether a part was asked about an answer, (B,); all of them where it is not here."""


Reward = Callable[[Sequence[Rollout]], Tensor | Rewards]
"""Scores a batch of rollouts, (B,): a reward model, a judge, a verifier, any function."""


@dataclass(frozen=True)
class Part:
    """One addend: not-a-number says that it has no opinion on an answer."""

    weight: float
    score: Callable[[Sequence[Rollout]], Tensor]
    concerns: Callable[[Rollout], bool] = lambda rollout: True
    """Whether it is asked about an answer; it adds nothing to the reward of others."""


def mixed(parts: Mapping[str, Part]) -> Reward:
    """Return the weighted sum of some parts, by their names.

    Where a part that is asked has no opinion, there is no sum. A number in its place, such as the
    mean of the other answers, would reward being unreadable wherever the readable answers to the
    prompt are worse than that.
    """

    def reward(rollouts: Sequence[Rollout]) -> Rewards:
        found = {name: part.score(rollouts) for name, part in parts.items()}
        asked = {
            name: torch.tensor([part.concerns(rollout) for rollout in rollouts])
            for name, part in parts.items()
        }
        addends = [parts[n].weight * torch.where(asked[n], s, 0.0) for n, s in found.items()]
        is_asked = torch.stack(list(asked.values())).any(dim=0)
        total = torch.where(is_asked, torch.stack(addends).sum(dim=0), math.nan)
        return Rewards(total, found, asked)

    return reward


def whole(found: Tensor | Rewards) -> Rewards:
    return found if isinstance(found, Rewards) else Rewards(found)


def describe(rewards: Rewards) -> dict[str, float]:
    """Return the mean of each of several parts, and the share of silence among what it was asked.

    A part without any opinion has no mean, and one that was not asked no share.
    """
    if len(rewards.parts) < 2:
        return {}
    metrics: dict[str, float] = {}
    for name, scores in rewards.parts.items():
        is_silent = scores.isnan()
        if not is_silent.all():
            metrics[f"reward_{name}"] = scores.nanmean().item()
        own = is_silent[rewards.asked[name]] if name in rewards.asked else is_silent
        if len(own):
            metrics[f"unscored_{name}"] = own.float().mean().item()
    return metrics


def reward_model_score(trunk: Trunk, caution: float) -> Callable[[Sequence[Rollout]], Tensor]:
    """The trunk's reward role: the mean of its heads, less `caution` of their deviations."""

    def score(rollouts: Sequence[Rollout]) -> Tensor:
        each = head_scores(trunk, [answer.tokens for answer in rollouts], Role.REWARD)
        return each.mean(dim=1) - caution * each.std(dim=1, correction=0)

    return score
