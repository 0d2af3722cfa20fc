"""The updates of one step of PPO, RLOO or GRPO: epochs, minibatches, micro-batches, metrics."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.policy_gradient import (
    clipped_policy_loss,
    clipped_value_loss,
    log_ratios,
    squared_kl_loss,
)
from rlhf_core.algorithms.memory import run_within_memory
from rlhf_core.algorithms.optimisation import MetricSums, MovingAverage, Updater, mean_of
from rlhf_core.algorithms.rollouts import Experience, Rollout
from rlhf_core.algorithms.sft import accumulate_likelihood
from rlhf_core.config.training import GRPOSettings, OnlineSettings, PPOSettings, RLOOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.distributed.ranks import all_reduce_number, all_reduce_report
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import Batch, TokenSequence, group_by_prompt
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.sampler import LOCAL, Sampler

MAX_FIRST_LOG_RATIO = 1e-2
"""Before the first update the policy equals the rollout policy; a larger mean |log ratio| means
that dropout, temperature or padding differ between the two passes."""
MinibatchPlan = list[list[int]]
"""Rows of the rollouts in each minibatch."""


@dataclass
class OnlineTraining:
    """The state of an online training from step to step, apart from the weights."""

    trunk: Trunk
    settings: OnlineSettings
    sampling: SamplingSettings
    updaters: dict[Role, Updater]
    average: MovingAverage | None
    coefficient: float
    """Coefficient of the KL penalty, per nat."""
    texts: Iterator[Sequence[TokenSequence]] = field(default_factory=lambda: iter(()))
    """Texts of each optimizer step, for PTX."""
    sampler: Sampler = LOCAL
    """Samples the rollouts."""

    def clear_gradients(self) -> None:
        """Clear the gradients of all updaters without applying them, except those set aside."""
        for updater in self.updaters.values():
            updater.clear_gradients()


@dataclass(frozen=True)
class Targets:
    """The targets of a step's updates; both (N, R), on the CPU."""

    advantages: Tensor
    returns: Tensor
    """Targets of the critic; 0 if there is none."""


@dataclass(frozen=True)
class _TokenCells:
    """The values at a micro-batch's tokens before the first update; all (n, R)."""

    old_logprobs: Tensor
    reference_logprobs: Tensor
    advantages: Tensor
    old_values: Tensor
    returns: Tensor
    weights: Tensor


def minibatch_plan(
    rollouts: Sequence[Rollout], minibatches: int, rows: Sequence[int] | None = None
) -> MinibatchPlan:
    """Return the rows of each minibatch of a step; answers to one prompt stay in one minibatch.

    Args:
        rollouts: The answers of the step.
        minibatches: Largest number of minibatches; there are no more than prompts.
        rows: Rows of the answers to learn from; None takes all.

    Returns:
        Lists of rows, which partition them.
    """
    chosen = range(len(rollouts)) if rows is None else rows
    prompts = group_by_prompt([rollouts[row].tokens for row in chosen])
    return [
        [chosen[place] for group in prompts[part::minibatches] for place in group]
        for part in range(min(minibatches, len(prompts)))
    ]


Observe = Callable[[], tuple[Experience, Targets]]
"""Computes the experience of a step's rollouts, and the targets of its updates."""


def update(
    training: OnlineTraining,
    plan: MinibatchPlan,
    experience: Experience,
    targets: Targets,
    observe: Observe | None = None,
) -> dict[str, float]:
    """Make the updates of one step, for all epochs and minibatches.

    Args:
        training: State of the training.
        plan: Rows of each minibatch.
        experience: Outputs of the models on the rollouts, before the first update.
        targets: Targets of the updates.
        observe: Recomputes both if memory runs out before the first update, because the rounding of
            log-probabilities depends on the size of micro-batches. None keeps them.

    Returns:
        Means of the updates' metrics, ratios of the first update, and the number of updates.

    Raises:
        TrainingError: If the policy differs from the one that rolled out before the first update.
    """
    stop_at = training.settings.kl.stop_at
    reports: list[dict[str, float]] = []
    is_stopped = False
    for rows in plan * training.settings.epochs:
        tokens = training.trunk.compute.tokens_per_microbatch
        part = _gradients(training, rows, experience, targets)
        while observe and not reports and training.trunk.compute.tokens_per_microbatch < tokens:
            training.clear_gradients()
            experience, targets = observe()
            tokens = training.trunk.compute.tokens_per_microbatch
            part = _gradients(training, rows, experience, targets)
        report = all_reduce_report(part)
        if not reports and report["log_ratio"] > MAX_FIRST_LOG_RATIO:
            raise TrainingError(
                f"before any update the policy differs from the one that rolled out by "
                f"{report['log_ratio']:.3f} nats a token; its forward passes do not agree"
            )
        is_stopped = bool(reports) and stop_at is not None and report["approx_kl"] > stop_at
        if is_stopped:
            training.clear_gradients()
            break
        norms = {}
        if training.settings.ptx is not None:
            norms["policy_grad_norm"] = training.updaters[Role.POLICY].set_aside()
            report["ptx_loss"] = _accumulate_texts(training, training.settings.ptx.coefficient)
        for role, updater in training.updaters.items():
            norm, report[f"{role}_learning_rate"] = updater.step()
            is_of_texts = role is Role.POLICY and training.settings.ptx is not None
            norms["ptx_grad_norm" if is_of_texts else f"{role}_grad_norm"] = norm
        report |= norms
        if training.average is not None:
            training.average.update()
        reports.append(report)
    means = {name: mean_of([report[name] for report in reports]) for name in reports[0]}
    first = {"first_ratio": reports[0]["ratio"], "first_log_ratio": reports[0]["log_ratio"]}
    return means | first | {"updates": float(len(reports))}


def _gradients(
    training: OnlineTraining, rows: Sequence[int], experience: Experience, targets: Targets
) -> dict[str, float]:
    """Add the gradients of one minibatch, within memory; return this rank's metrics."""
    accumulate = partial(_accumulate, training, rows, experience, targets)
    return run_within_memory(training.trunk, accumulate, training.updaters.values())


def _accumulate_texts(training: OnlineTraining, weight: float) -> float:
    """Add the gradients of γ times the mean −log p of the next texts, and return that mean.

    They are applied in one step with the reward's gradients (arXiv:2203.02155, eq. 2), but each of
    the two is clipped by its own norm. With the paper's γ of 27.8 the texts dominate the norm of
    the sum, so clipping the sum would scale the reward's part down about thirtyfold. AdamW undoes a
    common scale, but not that.

    Args:
        training: State of the training; the reward's gradients are set aside.
        weight: γ.

    Returns:
        Mean −log p, in nats a token.
    """
    policy, texts = training.updaters[Role.POLICY], next(training.texts)
    accumulate = partial(accumulate_likelihood, training.trunk, Role.POLICY, texts, weight)
    return all_reduce_number(run_within_memory(training.trunk, accumulate, [policy]))


def _accumulate(
    training: OnlineTraining, rows: Sequence[int], experience: Experience, targets: Targets
) -> dict[str, float]:
    """Add the gradients of one minibatch's micro-batches; return this rank's metrics."""
    tokens = int(experience.mask[list(rows)].sum())
    sums = MetricSums()
    cells = torch.stack(
        [
            experience.logprobs,
            experience.logprobs - experience.kl,
            targets.advantages,
            experience.values,
            targets.returns,
            experience.weights,
        ]
    )
    for group, batch in training.trunk.training_batches(
        [experience.sequences[row] for row in rows]
    ):
        places = torch.tensor(rows)[group]
        read = cells[:, places, : batch.response_mask.shape[1]]
        own = _TokenCells(*read.to(batch.input_ids.device))
        parts = _backward_policy(training, batch, own, tokens, len(rows))
        if Role.CRITIC in training.updaters:
            parts["value_loss"] = _backward_critic(training, batch, own, tokens)
        sums.add(**parts)
    return sums.read()


def _backward_policy(
    training: OnlineTraining, batch: Batch, own: _TokenCells, tokens: int, answers: int
) -> dict[str, Tensor]:
    """Add the gradients of one micro-batch's share of the policy loss; return its metrics' shares.

    The loss of a shared critic is added.
    """
    settings, mask = training.settings, batch.response_mask
    hidden = training.trunk.hidden_states(Role.POLICY, batch)
    logprobs, entropy = training.trunk.logprobs_and_entropy_from(
        hidden,
        Role.POLICY,
        batch,
        training.sampling.temperature,
        with_entropy=settings.entropy_bonus > 0,
    )
    level = settings.ratio if isinstance(settings, GRPOSettings) else "token"
    log_ratio = log_ratios(logprobs, own.old_logprobs, mask, level)
    loss = clipped_policy_loss(log_ratio, own.advantages, mask, *settings.clip_bounds)
    if settings.kl.place == "loss":
        loss = loss + training.coefficient * squared_kl_loss(logprobs, own.reference_logprobs, mask)
    total, divisor = _total_and_divisor(training, loss * own.weights, mask, tokens, answers)
    objective = total / divisor - settings.entropy_bonus * entropy.sum() / tokens
    critic_share = {}
    if isinstance(settings, PPOSettings) and settings.critic == "shared":
        values = training.trunk.values_from(hidden, Role.POLICY, batch)
        value_loss = _value_loss(settings, values, own, mask) / tokens
        objective = objective + settings.value_coefficient * value_loss
        critic_share = {"value_loss": value_loss}
    objective.backward()
    with torch.no_grad():
        shares = _ratio_shares(log_ratio, own, logprobs, mask, settings)
        means = {name: cell.sum() / tokens for name, cell in shares.items()}
        return {"policy_loss": total / divisor, **means, **critic_share}


def _total_and_divisor(
    training: OnlineTraining, loss: Tensor, mask: Tensor, tokens: int, answers: int
) -> tuple[Tensor, int]:
    """Return a micro-batch's part of a minibatch's loss, before it is divided, and the divisor.

    PPO's loss is a mean over the minibatch's tokens. RLOO's is a mean over its answers, each the
    sum over its tokens: log π of the whole answer (arXiv:2402.14740, eq. 6). GRPO's setting
    `aggregation` chooses.

    Args:
        training: State of the training.
        loss: Loss of each token, 0 outside the mask, (n, R).
        mask: True for real tokens, (n, R).
        tokens: Number of tokens of the minibatch.
        answers: Number of answers of the minibatch.
    """
    settings = training.settings
    if isinstance(settings, RLOOSettings):
        return loss.sum(), answers
    if isinstance(settings, GRPOSettings) and settings.aggregation == "answer":
        return (loss.sum(dim=1) / mask.sum(dim=1)).sum(), answers
    if isinstance(settings, GRPOSettings) and settings.aggregation == "constant":
        return loss.sum(), answers * training.sampling.max_new_tokens
    return loss.sum(), tokens


def _ratio_shares(
    clipped_log_ratio: Tensor,
    own: _TokenCells,
    logprobs: Tensor,
    mask: Tensor,
    settings: OnlineSettings,
) -> dict[str, Tensor]:
    """Return the cells of the metrics of the ratio between the two policies; all (n, R).

    Args:
        clipped_log_ratio: Log-ratio whose ratio is clipped, of tokens or of whole answers, (n, R).
        own: Values before the first update.
        logprobs: Log-probabilities under the trained policy, (n, R).
        mask: True for real tokens, (n, R).
        settings: Settings of the algorithm.
    """
    log_ratio = (logprobs - own.old_logprobs) * mask
    ratio = log_ratio.exp() * mask
    low, high = settings.clip_bounds
    change = (clipped_log_ratio.exp() - 1) * mask
    is_below, is_above = -change > low, change > high
    return {
        "ratio": ratio,
        "log_ratio": log_ratio.abs(),
        "approx_kl": (ratio - mask.float()) - log_ratio,
        "clip_fraction": is_below | is_above,
        "clipped_low": is_below & (own.advantages < 0),
        "clipped_high": is_above & (own.advantages > 0),
    }


def _backward_critic(
    training: OnlineTraining, batch: Batch, own: _TokenCells, tokens: int
) -> Tensor:
    """Add the gradients of one micro-batch's share of the value loss, and return that share."""
    assert isinstance(training.settings, PPOSettings)
    values = training.trunk.token_values(Role.CRITIC, batch)
    loss = _value_loss(training.settings, values, own, batch.response_mask) / tokens
    loss.backward()
    return loss


def _value_loss(settings: PPOSettings, values: Tensor, own: _TokenCells, mask: Tensor) -> Tensor:
    """Return the value loss summed over a micro-batch's tokens."""
    return clipped_value_loss(
        values, own.old_values, own.returns, mask, settings.value_clip_range
    ).sum()
