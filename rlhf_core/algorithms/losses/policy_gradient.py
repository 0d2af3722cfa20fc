"""The maths of PPO, RLOO and GRPO as pure functions, most over (B, R) response tokens.

Losses are returned per token, 0 outside the mask. The caller divides by the tokens of the whole
optimizer step, so that micro-batches of any size give the same gradient.
"""

import math

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.tensors import require_same_shape
from rlhf_core.errors import ShapeError

MAX_KL_ERROR = 0.2
LONGEST_KL_HORIZON = 10_000
"""Answers, as in arXiv:1909.08593, whose trainings sampled two million."""
KL_RANGE = 10.0
"""Largest factor by which a training can raise the KL coefficient if no horizon is set."""


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, coefficient: float) -> Tensor:
    """Return the reward of each token: −β·KL, plus the score at the last (arXiv:2203.02155, eq. 2).

    Args:
        scores: Reward of each whole response, (B,).
        kl: log π(token) − log π_reference(token), the k1 estimate, in nats, may be negative,
            (B, R).
        mask: True for real tokens, from the first of a row to its last, (B, R).
        coefficient: β, reward per nat.

    Returns:
        Rewards, (B, R), 0 outside the mask.

    Raises:
        ShapeError: If the shapes do not fit.
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
    """Return generalised advantage estimates and returns (arXiv:1506.02438, eq. 16).

    The value after the last token is 0, so nothing is bootstrapped.

    Args:
        rewards: Reward of each token, (B, R).
        values: Value of the state before each token, (B, R).
        mask: True from the first token of a row to its last, (B, R).
        gamma: γ, the discount, 0 to 1.
        gae_lambda: λ, 0 to 1.

    Returns:
        Advantages and returns (advantage + value), both (B, R) and 0 outside the mask.

    Raises:
        ShapeError: If the shapes differ.
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
    """Return each answer's score minus a baseline (arXiv:2402.14740, section 3.3).

    Args:
        scores: Scores of whole answers, penalties included, those to one prompt side by side; NaN
            without a score, (B,).
        samples: Number of answers to each prompt.
        baseline: leave_one_out (mean of the prompt's other answers), batch_mean or none.

    Returns:
        Advantages, (B,). An unscored answer has 0 and counts in no baseline. With leave_one_out the
        only scored answer to a prompt has 0 too.

    Raises:
        ShapeError: If leave_one_out has one answer a prompt, or B is no multiple of `samples`.
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
    """Return the horizon with which a training's answers can change the KL coefficient tenfold.

    A step of n answers changes it by a factor of about exp(0.2·n / horizon) at most, so all N
    answers of a training by exp(0.2·N / horizon), which is 10 if the horizon is 0.2·N / log 10.
    With the paper's 10,000 a training of a few hundred answers would change it by less than 1 %.

    Args:
        answers: N, the number of answers of the whole training.

    Returns:
        The horizon in answers, at most the paper's.
    """
    return min(MAX_KL_ERROR * answers / math.log(KL_RANGE), LONGEST_KL_HORIZON)


def adapt_coefficient(
    coefficient: float, kl: float, target: float, answers: int, horizon: float
) -> float:
    """Return the KL coefficient of the next step (arXiv:1909.08593, section 2.2).

    β · (1 + clip(KL / target − 1, ±0.2) · n / horizon), with n at most the horizon: beyond five
    times the horizon the paper's formula would make the coefficient negative.

    Args:
        coefficient: β of this step, reward per nat.
        kl: Mean KL of the step's answers, in nats an answer, summed over its tokens; may be
            negative.
        target: Target of `kl`, in nats an answer.
        answers: n, the number of answers in this step.
        horizon: Number of answers that change the coefficient by a fifth at most.

    Returns:
        β of the next step, 0.8 to 1.2 times this step's.
    """
    error = min(max(kl / target - 1, -MAX_KL_ERROR), MAX_KL_ERROR)
    return coefficient * (1 + error * min(answers / horizon, 1.0))


def log_ratios(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor, level: str) -> Tensor:
    """Return the log-ratio log π − log π_old of each token.

    Args:
        logprobs: Log-probabilities under the trained policy, (B, R).
        old_logprobs: Log-probabilities under the policy that rolled out, (B, R).
        mask: True for real tokens, (B, R).
        level: token, or sequence for the mean over the answer at each of its tokens: the log of the
            length-normalised ratio of whole answers (arXiv:2507.18071, eq. 7).

    Returns:
        Log-ratios, (B, R), 0 outside the mask.

    Raises:
        ShapeError: If the shapes differ.
    """
    require_same_shape(logprobs=logprobs, old_logprobs=old_logprobs, mask=mask)
    of_tokens = (logprobs - old_logprobs) * mask
    if level == "token":
        return of_tokens
    lengths = mask.sum(dim=1, keepdim=True).clamp(min=1)
    return of_tokens.sum(dim=1, keepdim=True) / lengths * mask


def truncated_importance_weights(
    logprobs: Tensor, sampled_logprobs: Tensor, mask: Tensor, cap: float
) -> Tensor:
    """Return min(π(token) / μ(token), cap) of each token that μ sampled (arXiv:1802.01561, eq. 1).

    An engine that samples in another precision, or by other kernels, is another policy μ than the
    one in training. The weights correct for that; the cap bounds their variance, at the price of a
    bias where it cuts.

    Args:
        logprobs: log π, under the policy before its updates, (B, R).
        sampled_logprobs: log μ, as the engine reported it, (B, R).
        mask: True for real tokens, (B, R).
        cap: Largest weight.

    Returns:
        Weights, (B, R), 0 outside the mask.

    Raises:
        ShapeError: If the shapes differ.
    """
    require_same_shape(logprobs=logprobs, sampled_logprobs=sampled_logprobs, mask=mask)
    log_ratio = (logprobs - sampled_logprobs) * mask
    return log_ratio.exp().clamp(max=cap) * mask


def clipped_policy_loss(
    log_ratio: Tensor, advantages: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """Return max(−A·ratio, −A·clip(ratio, 1 − ε_low, 1 + ε_high)) per token.

    This is arXiv:1707.06347, eq. 7, negated; two bounds are arXiv:2503.14476, eq. 10.

    Args:
        log_ratio: Log-ratio of the trained policy to the one that rolled out, (B, R).
        advantages: A, (B, R).
        mask: True for real tokens, (B, R).
        clip_low: ε_low.
        clip_high: ε_high.

    Returns:
        Loss to minimise, (B, R), 0 outside the mask.

    Raises:
        ShapeError: If the shapes differ.
    """
    require_same_shape(log_ratio=log_ratio, advantages=advantages, mask=mask)
    ratio = torch.exp(log_ratio * mask)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return torch.maximum(-advantages * ratio, -advantages * clipped) * mask


def squared_kl_loss(logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Return ½·(log π − log π_reference)² per token, the k2 estimate of KL.

    A KL term in the loss matters by its gradient. On the policy's own tokens the expected gradient
    of k2 is that of KL(π‖π_reference), while that of k1 is 0 (arXiv:2506.09477, section 3).

    Args:
        logprobs: Log-probabilities under the trained policy, (B, R).
        reference_logprobs: Log-probabilities under the reference, (B, R).
        mask: True for real tokens, (B, R).

    Returns:
        Loss to minimise, in nats², (B, R), 0 outside the mask.

    Raises:
        ShapeError: If the shapes differ.
    """
    require_same_shape(logprobs=logprobs, reference_logprobs=reference_logprobs, mask=mask)
    return 0.5 * ((logprobs - reference_logprobs) * mask) ** 2


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip_range: float
) -> Tensor:
    """Return ½·max((V − R)², (clip(V, V_old ± ε) − R)²) per token (arXiv:2005.12729).

    Args:
        values: V, values of the trained critic, (B, R).
        old_values: V_old, values at rollout, (B, R).
        returns: R, (B, R).
        mask: True for real tokens, (B, R).
        clip_range: ε, in units of reward.

    Returns:
        Loss to minimise, in squared units of reward, (B, R), 0 outside the mask.

    Raises:
        ShapeError: If the shapes differ.
    """
    require_same_shape(values=values, old_values=old_values, returns=returns, mask=mask)
    clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2) * mask
