"""PPO against any reward, with a per-token KL penalty to the reference (arXiv:2203.02155).

Policy and critic are roles on one trunk, the reference is the trunk itself. The maths is in
policy_gradient.py, rolling out in rollouts.py; nothing here knows where the reward comes from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_core.algorithms.optimisation import TrainingStep, Updater, endless_steps, mean_of
from rlhf_core.algorithms.policy_gradient import (
    clipped_policy_loss,
    clipped_value_loss,
    generalized_advantages,
    token_rewards,
)
from rlhf_core.algorithms.rollouts import Experience, Reward, Rollout, experience, roll_out
from rlhf_core.algorithms.tensors import explained_variance, masked_mean, whiten
from rlhf_core.config.tree import SamplingSettings, TrainingSettings
from rlhf_core.errors import TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.sequences import Batch, by_prompt, collate, microbatches
from rlhf_core.models.trunk import Role, Trunk

ADAM_EPS = 1e-5
MAX_FIRST_LOG_RATIO = 1e-2
"""Before the first update policy and rollout policy are one; a larger mean |log ratio| means that
dropout, temperature or padding differ between the two passes."""


@dataclass(frozen=True)
class PPOStep(TrainingStep):
    """A step's metrics, and the answers behind them."""

    rollouts: tuple[Rollout, ...]
    scores: tuple[float, ...]
    kl: tuple[float, ...]


def train_ppo(
    trunk: Trunk,
    prompts: Sequence[Sequence[int]],
    reward: Reward,
    settings: TrainingSettings,
    sampling: SamplingSettings,
    seed: int,
) -> Iterator[PPOStep]:
    """Improve the trunk's policy role, one rollout and its updates an item.

    Args:
        trunk: With roles policy and critic in place.
        prompts: Tokens of each prompt.
        reward: Scores a batch of rollouts.
        settings: Of the training.
        sampling: Temperature and length of the answers.
        seed: Of the order of prompts and of all answers.

    Raises:
        TrainingError: If a number stops being finite, or the policy differs from the one that
            rolled out before anything was updated.
    """
    steps = settings.steps * settings.epochs * settings.minibatches
    updaters = {
        Role.POLICY: _updater(trunk, Role.POLICY, settings.learning_rate, steps, settings),
        Role.CRITIC: _updater(trunk, Role.CRITIC, settings.critic_learning_rate, steps, settings),
    }
    order = endless_steps(len(prompts), settings.prompts_per_step, seed)
    for step in range(1, settings.steps + 1):
        chosen = next(order)
        seeds = [
            [seed_from(seed, step, place, number) for number in range(settings.samples_per_prompt)]
            for place in range(len(chosen))
        ]
        rollouts = roll_out(trunk, prompts, chosen, seeds, sampling)
        scores = _replace_unfinished(reward(rollouts), rollouts, settings.missing_eos_score)
        plan = _microbatch_plan(rollouts, settings.minibatches, trunk)
        seen = experience(trunk, rollouts, plan, sampling.temperature)
        advantages, returns = _advantages(seen, scores, settings)
        updates = _update(trunk, plan, seen, advantages, returns, updaters, settings, sampling)
        metrics = {**_describe(rollouts, seen, scores, returns, settings), **updates}
        kl = (seen.kl * seen.mask).sum(dim=1)
        yield PPOStep(
            step,
            settings.steps,
            metrics,
            tuple(rollouts),
            tuple(scores.tolist()),
            tuple(kl.tolist()),
        )


def _updater(
    trunk: Trunk, role: Role, learning_rate: float, steps: int, settings: TrainingSettings
) -> Updater:
    parameters = trunk.parameters(role)
    return Updater(parameters, learning_rate, steps, settings.max_grad_norm, ADAM_EPS)


def _replace_unfinished(
    scores: Tensor, rollouts: Sequence[Rollout], missing: float | None
) -> Tensor:
    if missing is None:
        return scores
    is_finished = torch.tensor([rollout.finish_reason == "eos" for rollout in rollouts])
    return torch.where(is_finished, scores, missing)


def _microbatch_plan(
    rollouts: Sequence[Rollout], minibatches: int, trunk: Trunk
) -> list[list[list[int]]]:
    """Rows of each micro-batch of each minibatch.

    Made once a step: old and new log-probabilities come from batches of the same shape, so before
    the first update they are equal to the bit.
    """
    sequences = [rollout.tokens for rollout in rollouts]
    prompts = by_prompt(sequences)
    plan = []
    for part in range(min(minibatches, len(prompts))):
        rows = [row for group in prompts[part::minibatches] for row in group]
        groups = microbatches([sequences[row] for row in rows], trunk.compute.tokens_per_microbatch)
        plan.append([[rows[i] for i in group] for group in groups])
    return plan


def _advantages(
    seen: Experience, scores: Tensor, settings: TrainingSettings
) -> tuple[Tensor, Tensor]:
    rewards = token_rewards(scores, seen.kl, seen.mask, settings.kl.coefficient)
    advantages, returns = generalized_advantages(
        rewards, seen.values, seen.mask, settings.gamma, settings.gae_lambda
    )
    return whiten(advantages, seen.mask), returns


def _update(
    trunk: Trunk,
    plan: list[list[list[int]]],
    seen: Experience,
    advantages: Tensor,
    returns: Tensor,
    updaters: dict[Role, Updater],
    settings: TrainingSettings,
    sampling: SamplingSettings,
) -> dict[str, float]:
    """All epochs and minibatches of one step; the means of what they report."""
    reports: list[dict[str, float]] = []
    for _ in range(settings.epochs):
        for groups in plan:
            tokens = int(sum(seen.mask[rows].sum() for rows in groups))
            report = {"policy_loss": 0.0, "value_loss": 0.0, "clip_fraction": 0.0}
            report |= {"ratio": 0.0, "log_ratio": 0.0, "approx_kl": 0.0}
            for rows in groups:
                batch = collate(
                    [seen.sequences[row] for row in rows], trunk.pad_id, trunk.compute.device
                )
                width = batch.response_mask.shape[1]
                cells = (torch.tensor(rows), slice(0, width))
                parts = _backward_policy(
                    trunk,
                    batch,
                    seen.logprobs[cells],
                    advantages[cells],
                    tokens,
                    settings,
                    sampling,
                ) | _backward_critic(
                    trunk, batch, seen.values[cells], returns[cells], tokens, settings
                )
                report = {name: total + parts[name] for name, total in report.items()}
            if not reports and report["log_ratio"] > MAX_FIRST_LOG_RATIO:
                raise TrainingError(
                    f"before any update the policy differs from the one that rolled out by "
                    f"{report['log_ratio']:.3f} nats a token; its forward passes do not agree"
                )
            for role, updater in updaters.items():
                norm, report[f"{role}_learning_rate"] = updater.step()
                report[f"{role}_grad_norm"] = norm
            reports.append(report)
    means = {name: mean_of([report[name] for report in reports]) for name in reports[0]}
    return means | {"first_ratio": reports[0]["ratio"], "first_log_ratio": reports[0]["log_ratio"]}


def _backward_policy(
    trunk: Trunk,
    batch: Batch,
    old_logprobs: Tensor,
    advantages: Tensor,
    tokens: int,
    settings: TrainingSettings,
    sampling: SamplingSettings,
) -> dict[str, float]:
    """Gradients of one micro-batch's share of the policy loss, and its share of the reports."""
    device = batch.input_ids.device
    old_logprobs, advantages = old_logprobs.to(device), advantages.to(device)
    mask = batch.response_mask
    logprobs = trunk.token_logprobs(Role.POLICY, batch, sampling.temperature)
    loss = clipped_policy_loss(logprobs, old_logprobs, advantages, mask, settings.clip_range)
    (loss.sum() / tokens).backward()
    with torch.no_grad():
        log_ratio = (logprobs - old_logprobs) * mask
        ratio = log_ratio.exp() * mask
        is_clipped = ((ratio - 1).abs() > settings.clip_range) & mask
        shares = {
            "policy_loss": loss,
            "ratio": ratio,
            "log_ratio": log_ratio.abs(),
            "approx_kl": (ratio - mask.float()) - log_ratio,
            "clip_fraction": is_clipped,
        }
        return {name: cell.sum().item() / tokens for name, cell in shares.items()}


def _backward_critic(
    trunk: Trunk,
    batch: Batch,
    old_values: Tensor,
    returns: Tensor,
    tokens: int,
    settings: TrainingSettings,
) -> dict[str, float]:
    device = batch.input_ids.device
    values = trunk.token_values(Role.CRITIC, batch)
    loss = clipped_value_loss(
        values,
        old_values.to(device),
        returns.to(device),
        batch.response_mask,
        settings.value_clip_range,
    )
    (loss.sum() / tokens).backward()
    return {"value_loss": loss.sum().item() / tokens}


def _describe(
    rollouts: Sequence[Rollout],
    seen: Experience,
    scores: Tensor,
    returns: Tensor,
    settings: TrainingSettings,
) -> dict[str, float]:
    kl = (seen.kl * seen.mask).sum(dim=1)
    lengths = seen.mask.sum(dim=1).float()
    return {
        "score": scores.mean().item(),
        "score_deviation": scores.std(correction=0).item(),
        "kl": kl.mean().item(),
        "objective": (scores - settings.kl.coefficient * kl).mean().item(),
        "entropy": masked_mean(seen.entropy, seen.mask).item(),
        "completion_tokens": lengths.mean().item(),
        "eos_rate": mean_of([float(r.finish_reason == "eos") for r in rollouts]),
        "explained_variance": explained_variance(seen.values, returns, seen.mask).item(),
        "sampling_gap": seen.sampling_gap,
    }
