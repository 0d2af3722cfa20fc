"""Arithmetic of PPO and RLOO as pure functions, most over (B, R) response tokens.

Losses come back a token, 0 outside the mask, so that the caller divides by the tokens of the whole
optimizer step: then micro-batches of any size give the same gradient.
"""

import math

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.tensors import require_same_shape
from rlhf_core.errors import ShapeError

MAX_KL_ERROR = 0.2
LONGEST_KL_HORIZON = 10_000
"""Answers, as in arXiv:1909.08593, whose trainings drew two million."""
KL_RANGE = 10.0
"""By how much a training's answers can raise the KL coefficient where no horizon is set."""


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, coefficient: float) -> Tensor:
    """−β·KL at every token, and the score on the last real one (arXiv:2203.02155, eq. 2).

    Args:
        scores: Reward of each whole response, (B,).
        kl: log π(token) − log π_reference(token): the k1 estimate, which may be negative, (B, R).
        mask: (B, R).
        coefficient: β, per nat.

    Returns:
        (B, R)
    """
    require_same_shape(kl=kl, mask=mask)
    require_same_shape(scores=scores, rows=mask[:, 0])
    rewards = -coefficient * kl * mask
    last = mask.sum(dim=1) - 1
    return rewards.index_put(
        (torch.arange(len(scores), device=scores.device), last), scores, accumulate=True
    )


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """GAE and returns (arXiv:1506.02438, eq. 16), nothing bootstrapped beyond the last token.

    Args:
        rewards: (B, R).
        values: Value of the state before each token, (B, R).
        mask: (B, R), true from the first token of a row to its last.
        gamma: Discount.
        gae_lambda: λ.

    Returns:
        Advantages and returns (advantage + value), both (B, R) and 0 outside the mask.
    """
    require_same_shape(rewards=rewards, values=values, mask=mask)
    values = values * mask
    advantages = torch.zeros_like(rewards)
    following_value = torch.zeros_like(rewards[:, 0])
    following_advantage = torch.zeros_like(rewards[:, 0])
    for position in reversed(range(rewards.shape[1])):
        delta = rewards[:, position] + gamma * following_value - values[:, position]
        advantage = (delta + gamma * gae_lambda * following_advantage) * mask[:, position]
        advantages[:, position] = advantage
        following_value, following_advantage = values[:, position], advantage
    return advantages, (advantages + values) * mask


def baseline_advantages(scores: Tensor, samples: int, baseline: str) -> Tensor:
    """Each answer's score less what was to be expected of it (arXiv:2402.14740, section 3.3).

    Args:
        scores: Of whole answers, penalties included, those to one prompt side by side; not-a-number
            where an answer has none, (B,).
        samples: Answers to each prompt.
        baseline: leave_one_out, batch_mean or none.

    Returns:
        (B,); 0 for an answer without a score, which is in no baseline either, and by leave_one_out
        for the only one of its prompt that has a score.

    Raises:
        ShapeError: If the answers cannot be leave_one_out's: one a prompt, or a part left over.
    """
    is_scored = ~scores.isnan()
    known = scores.nan_to_num(nan=0.0)
    if baseline == "none":
        return known
    if baseline == "batch_mean":
        return torch.where(is_scored, known - known.sum() / is_scored.sum(), 0.0)
    if samples < 2 or len(scores) % samples:
        raise ShapeError(
            f"leave_one_out compares the answers to one prompt: {len(scores)} answers, "
            f"{samples} a prompt"
        )
    groups, is_counted = known.view(-1, samples), is_scored.view(-1, samples)
    others = is_counted.sum(dim=1, keepdim=True) - 1
    baselines = (groups.sum(dim=1, keepdim=True) - groups) / others.clamp(min=1)
    return torch.where(is_counted & (others > 0), groups - baselines, 0.0).view(-1)


def kl_horizon(answers: int) -> float:
    """Return the horizon at which a training's answers can change the KL coefficient tenfold.

    A step of n answers changes it by about exp(0.2·n / horizon) at most, so all N of a training by
    exp(0.2·N / horizon), which is 10 where the horizon is 0.2·N / log 10. The paper's 10,000 would
    let a training of some hundred answers move it by less than a hundredth.

    Args:
        answers: Of the whole training, N.

    Returns:
        In answers; no longer than the paper's.
    """
    return min(MAX_KL_ERROR * answers / math.log(KL_RANGE), LONGEST_KL_HORIZON)


def adapted_coefficient(
    coefficient: float, kl: float, target: float, answers: int, horizon: float
) -> float:
    """The KL coefficient of the next step (arXiv:1909.08593, section 2.2).

    Args:
        coefficient: Of this step, per nat.
        kl: Mean of the step's answers, in nats an answer, over all its tokens; may be negative.
        target: Where it should be.
        answers: In this step.
        horizon: How many it takes to move by a fifth. A step of more moves no further: beyond five
            times the horizon the paper's formula would turn the coefficient negative.
    """
    error = min(max(kl / target - 1, -MAX_KL_ERROR), MAX_KL_ERROR)
    return coefficient * (1 + error * min(answers / horizon, 1.0))


def clipped_policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip_range: float
) -> Tensor:
    """max(−A·ratio, −A·clip(ratio, 1 ± ε)), per token (arXiv:1707.06347, eq. 7, negated).

    Args:
        logprobs: Under the policy that is trained, (B, R).
        old_logprobs: Under the policy that rolled out, (B, R).
        advantages: (B, R).
        mask: (B, R).
        clip_range: ε.

    Returns:
        (B, R), to be minimised.
    """
    require_same_shape(
        logprobs=logprobs, old_logprobs=old_logprobs, advantages=advantages, mask=mask
    )
    ratio = torch.exp((logprobs - old_logprobs) * mask)
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return torch.maximum(-advantages * ratio, -advantages * clipped) * mask


def squared_kl_loss(logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor) -> Tensor:
    """½·(log π − log π_reference)², per token: the k2 estimate of KL.

    A KL in the loss is there for its gradient. On the policy's own tokens that of k2 is in
    expectation the gradient of KL(π, reference); that of k1 is 0 (arXiv:2506.09477, section 3).

    Args:
        logprobs: Under the policy that is trained, (B, R).
        reference_logprobs: (B, R).
        mask: (B, R).

    Returns:
        (B, R), in nats, to be minimised.
    """
    require_same_shape(logprobs=logprobs, reference_logprobs=reference_logprobs, mask=mask)
    return 0.5 * ((logprobs - reference_logprobs) * mask) ** 2


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip_range: float
) -> Tensor:
    """½·max((V − R)², (clip(V, V_old ± ε) − R)²), per token.

    Args:
        values: Of the critic that is trained, (B, R).
        old_values: At rollout, (B, R).
        returns: (B, R).
        mask: (B, R).
        clip_range: ε, in units of reward.

    Returns:
        (B, R)
    """
    require_same_shape(values=values, old_values=old_values, returns=returns, mask=mask)
    clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2) * mask
