"""Rewards of a batch of answers: one callable, or the weighted sum of several."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlhf_core.algorithms.reward_reader import RewardReader
from rlhf_core.algorithms.rollouts import Rollout, RolloutStep


@dataclass(frozen=True)
class Rewards:
    """The rewards of a batch of B answers, and their parts."""

    total: Tensor
    """(B,); NaN if a part that applies to the answer has no score. Such an answer is unscored, and
    nothing is learnt from it."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """Scores of each part by name, before weights, (B,); NaN without a score."""
    applies: Mapping[str, Tensor] = field(default_factory=dict)
    """Answers that a part applies to, by the part's name, (B,); a missing name applies to all."""
    signs: Mapping[str, Tensor] = field(default_factory=dict)
    """Signs that an answer is unlike what the reward model learnt from, by name, (B,)."""


Reward = Callable[[Sequence[Rollout]], Tensor | Rewards]
"""Scores a batch of rollouts, (B,): a reward model, a judge, a verifier, any function."""


@dataclass(frozen=True)
class RewardPart:
    """One addend of a reward."""

    weight: float
    score: Reward
    """Scores a batch of rollouts, (B,); NaN without a score."""
    applies_to: Callable[[Rollout], bool] = lambda rollout: True
    """Returns True if the part applies to an answer; it adds 0 to the reward of the others."""


def weighted_sum(parts: Mapping[str, RewardPart]) -> Reward:
    """Return the weighted sum of some parts as a reward.

    An answer has no reward if a part that applies to it has no score. A number in its place, such
    as the mean of the other answers, would reward unreadable answers to every prompt whose readable
    answers are worse than that.

    Args:
        parts: The parts by name.
    """

    def reward(rollouts: Sequence[Rollout]) -> Rewards:
        scored = {name: as_rewards(part.score(rollouts)) for name, part in parts.items()}
        scores = {name: rewards.total for name, rewards in scored.items()}
        signs = {name: sign for each in scored.values() for name, sign in each.signs.items()}
        applies = {
            name: torch.tensor([part.applies_to(rollout) for rollout in rollouts])
            for name, part in parts.items()
        }
        addends = [parts[n].weight * torch.where(applies[n], s, 0.0) for n, s in scores.items()]
        is_asked = torch.stack(list(applies.values())).any(dim=0)
        total = torch.where(is_asked, torch.stack(addends).sum(dim=0), math.nan)
        return Rewards(total, scores, applies, signs)

    return reward


def as_rewards(rewards: Tensor | Rewards) -> Rewards:
    """Return rewards as `Rewards`; a tensor, (B,), becomes rewards without parts."""
    return rewards if isinstance(rewards, Rewards) else Rewards(rewards)


def join_rewards(batches: Sequence[Rewards]) -> Rewards:
    """Return the rewards of several batches, scored by the same reward, as those of one."""
    return Rewards(
        torch.cat([batch.total for batch in batches]),
        {name: torch.cat([batch.parts[name] for batch in batches]) for name in batches[0].parts},
        {
            name: torch.cat([batch.applies[name] for batch in batches])
            for name in batches[0].applies
        },
        {name: torch.cat([batch.signs[name] for batch in batches]) for name in batches[0].signs},
    )


def reward_metrics(rewards: Rewards) -> dict[str, float]:
    """Return the mean score of each part, and its share of unscored answers, if there are several.

    A part without any score has no mean, and a part that applies to no answer has no share.
    """
    if len(rewards.parts) < 2:
        return {}
    metrics: dict[str, float] = {}
    for name, scores in rewards.parts.items():
        is_silent = scores.isnan()
        if not is_silent.all():
            metrics[f"reward_{name}"] = scores.nanmean().item()
        own = is_silent[rewards.applies[name]] if name in rewards.applies else is_silent
        if len(own):
            metrics[f"unscored_{name}"] = own.float().mean().item()
    return metrics


def rollout_step(
    step: int,
    steps: int,
    metrics: Mapping[str, float],
    rollouts: Sequence[Rollout],
    scores: Tensor,
    kl: Tensor,
    rewards: Rewards,
) -> RolloutStep:
    """Return a step of a training with its answers.

    Args:
        step: Number of the step, from 1.
        steps: Number of steps of the training.
        metrics: The step's metrics.
        rollouts: The B answers.
        scores: Score of each answer, NaN without one, (B,).
        kl: KL of each answer from the reference, in nats, (B,).
        rewards: Rewards of the answers.
    """
    return RolloutStep(
        step,
        steps,
        dict(metrics),
        tuple(rollouts),
        tuple(scores.tolist()),
        tuple(kl.tolist()),
        {name: tuple(part.tolist()) for name, part in rewards.parts.items()},
        {name: tuple(sign.tolist()) for name, sign in rewards.signs.items()},
    )


def reward_model_score(reader: RewardReader, caution: float) -> Reward:
    """Return the score of the trunk's reward role: mean of its heads − caution · their deviation.

    Args:
        reader: Reads answers with the reward role.
        caution: Number of standard deviations of the heads to subtract.
    """

    def score(rollouts: Sequence[Rollout]) -> Rewards:
        read = reader.read([answer.tokens for answer in rollouts])
        deviation = read.heads.std(dim=1, correction=0)
        return Rewards(read.heads.mean(dim=1) - caution * deviation, signs=read.signs)

    return score
