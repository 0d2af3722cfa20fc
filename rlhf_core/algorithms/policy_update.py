"""The updates of one step of PPO or RLOO: epochs, minibatches, micro-batches, and their report."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.policy_gradient import (
    clipped_policy_loss,
    clipped_value_loss,
    squared_kl_loss,
)
from rlhf_core.algorithms.memory import within_memory
from rlhf_core.algorithms.optimisation import MovingAverage, Updater, mean_of
from rlhf_core.algorithms.rollouts import Experience, Rollout
from rlhf_core.algorithms.sft import accumulate_likelihood
from rlhf_core.config.training import OnlineSettings, PPOSettings, RLOOSettings
from rlhf_core.distributed.ranks import all_reduce_number, all_reduce_report
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import Batch, TokenSequence, group_by_prompt
from rlhf_core.models.trunk import Role, Trunk

MAX_FIRST_LOG_RATIO = 1e-2
"""Before the first update policy and rollout policy are one; a larger mean |log ratio| means that
dropout, temperature or padding differ between the two passes."""
Plan = list[list[int]]
"""Rows of each minibatch."""


@dataclass
class Run:
    """What a training holds on to from step to step, beside the weights."""

    trunk: Trunk
    settings: OnlineSettings
    temperature: float
    updaters: dict[Role, Updater]
    average: MovingAverage | None
    coefficient: float
    """Of the KL penalty, per nat."""
    texts: Iterator[Sequence[TokenSequence]] = field(default_factory=lambda: iter(()))
    """For PTX, of each optimizer step."""


@dataclass(frozen=True)
class Targets:
    """What a step's updates aim at; both (N, R), on the CPU."""

    advantages: Tensor
    returns: Tensor
    """Of the critic; 0 where there is none."""


@dataclass(frozen=True)
class _Cells:
    """What a micro-batch's tokens were worth before the first update; all (n, R)."""

    old_logprobs: Tensor
    reference_logprobs: Tensor
    advantages: Tensor
    old_values: Tensor
    returns: Tensor


def minibatch_plan(
    rollouts: Sequence[Rollout], minibatches: int, rows: Sequence[int] | None = None
) -> Plan:
    """Return the rows of each minibatch, whole prompts each, made once a step.

    Args:
        rollouts: The answers of the step.
        minibatches: At most so many.
        rows: The answers to learn from; None takes all.
    """
    chosen = range(len(rollouts)) if rows is None else rows
    prompts = group_by_prompt([rollouts[row].tokens for row in chosen])
    return [
        [chosen[place] for group in prompts[part::minibatches] for place in group]
        for part in range(min(minibatches, len(prompts)))
    ]


Look = Callable[[], tuple[Experience, Targets]]
"""Computes what the models say of a step's rollouts, and what its updates aim at."""


def update(
    run: Run, plan: Plan, seen: Experience, targets: Targets, look: Look | None = None
) -> dict[str, float]:
    """Make all epochs and minibatches of one step.

    Args:
        run: What the training holds on to.
        plan: Rows of each minibatch.
        seen: What the models said of the rollouts.
        targets: What the updates aim at.
        look: Computes both anew where memory runs out before the first update: log-probabilities of
            larger micro-batches are rounded otherwise than the update's. None keeps them.

    Returns:
        The means of what the updates report.
    """
    stop_at = run.settings.kl.stop_at
    reports: list[dict[str, float]] = []
    is_stopped = False
    for rows in plan * run.settings.epochs:
        tokens = run.trunk.compute.tokens_per_microbatch
        found = _gradients(run, rows, seen, targets)
        while look and not reports and run.trunk.compute.tokens_per_microbatch < tokens:
            for updater in run.updaters.values():
                updater.discard()
            seen, targets = look()
            tokens = run.trunk.compute.tokens_per_microbatch
            found = _gradients(run, rows, seen, targets)
        report = all_reduce_report(found)
        if not reports and report["log_ratio"] > MAX_FIRST_LOG_RATIO:
            raise TrainingError(
                f"before any update the policy differs from the one that rolled out by "
                f"{report['log_ratio']:.3f} nats a token; its forward passes do not agree"
            )
        is_stopped = bool(reports) and stop_at is not None and report["approx_kl"] > stop_at
        if is_stopped:
            for updater in run.updaters.values():
                updater.discard()
            break
        norms = {}
        if run.settings.ptx is not None:
            norms["policy_grad_norm"] = run.updaters[Role.POLICY].set_aside()
            report["ptx_loss"] = _accumulate_texts(run, run.settings.ptx.coefficient)
        for role, updater in run.updaters.items():
            norm, report[f"{role}_learning_rate"] = updater.step()
            is_of_texts = role is Role.POLICY and run.settings.ptx is not None
            norms["ptx_grad_norm" if is_of_texts else f"{role}_grad_norm"] = norm
        report |= norms
        if run.average is not None:
            run.average.update()
        reports.append(report)
    means = {name: mean_of([report[name] for report in reports]) for name in reports[0]}
    first = {"first_ratio": reports[0]["ratio"], "first_log_ratio": reports[0]["log_ratio"]}
    return means | first | {"updates": float(len(reports))}


def _gradients(
    run: Run, rows: Sequence[int], seen: Experience, targets: Targets
) -> dict[str, float]:
    """Those of one minibatch, in micro-batches that fit; this process's share of the report."""
    accumulate = partial(_accumulate, run, rows, seen, targets)
    return within_memory(run.trunk, accumulate, run.updaters.values())


def _accumulate_texts(run: Run, weight: float) -> float:
    """Gradients of γ times the mean −log p of the next texts; that mean, in nats a token.

    They meet those of the reward in one step, as in the paper, but each of the two is clipped by
    its own norm. With its γ of 27.8 the norm of the sum is the texts', and clipping the sum would
    scale the reward's part down about thirtyfold; AdamW undoes a common scale, not that.

    Args:
        run: The reward's gradients are set aside.
        weight: γ.
    """
    policy, texts = run.updaters[Role.POLICY], next(run.texts)
    accumulate = partial(accumulate_likelihood, run.trunk, Role.POLICY, texts, weight)
    return all_reduce_number(within_memory(run.trunk, accumulate, [policy]))


def _accumulate(
    run: Run, rows: Sequence[int], seen: Experience, targets: Targets
) -> dict[str, float]:
    """Gradients of one minibatch, in its micro-batches; this process's share of the report."""
    tokens = int(seen.mask[list(rows)].sum())
    report: dict[str, float] = {}
    for group, batch in run.trunk.training_batches([seen.sequences[row] for row in rows]):
        cells = (torch.tensor(rows)[group], slice(0, batch.response_mask.shape[1]))
        own = _Cells(
            *(
                of_all[cells].to(batch.input_ids.device)
                for of_all in (
                    seen.logprobs,
                    seen.logprobs - seen.kl,
                    targets.advantages,
                    seen.values,
                    targets.returns,
                )
            )
        )
        parts = _backward_policy(run, batch, own, tokens, len(rows))
        if Role.CRITIC in run.updaters:
            parts["value_loss"] = _backward_critic(run, batch, own, tokens)
        report = {name: report.get(name, 0.0) + part for name, part in parts.items()}
    return report


def _backward_policy(
    run: Run, batch: Batch, own: _Cells, tokens: int, answers: int
) -> dict[str, float]:
    """Gradients of one micro-batch's share of the policy loss, and its share of the reports.

    PPO's loss is a mean over the minibatch's tokens. RLOO's is one over its answers, each the sum
    of its tokens: log π of the whole answer (arXiv:2402.14740, eq. 6). A shared critic's is added.
    """
    settings, mask = run.settings, batch.response_mask
    hidden = run.trunk.hidden_states(Role.POLICY, batch)
    logprobs, entropy = run.trunk.logprobs_and_entropy_from(
        hidden, Role.POLICY, batch, run.temperature, with_entropy=settings.entropy_bonus > 0
    )
    loss = clipped_policy_loss(
        logprobs, own.old_logprobs, own.advantages, mask, settings.clip_range
    )
    if settings.kl.place == "loss":
        loss = loss + run.coefficient * squared_kl_loss(logprobs, own.reference_logprobs, mask)
    divisor = answers if isinstance(settings, RLOOSettings) else tokens
    bonus = settings.entropy_bonus * entropy.sum() / tokens
    objective = loss.sum() / divisor - bonus
    of_critic = {}
    if isinstance(settings, PPOSettings) and settings.critic == "shared":
        values = run.trunk.values_from(hidden, Role.POLICY, batch)
        value_loss = _value_loss(settings, values, own, mask) / tokens
        objective = objective + settings.value_coefficient * value_loss
        of_critic = {"value_loss": value_loss.item()}
    objective.backward()
    with torch.no_grad():
        log_ratio = (logprobs - own.old_logprobs) * mask
        ratio = log_ratio.exp() * mask
        is_clipped = ((ratio - 1).abs() > settings.clip_range) & mask
        shares = {
            "ratio": ratio,
            "log_ratio": log_ratio.abs(),
            "approx_kl": (ratio - mask.float()) - log_ratio,
            "clip_fraction": is_clipped,
        }
        found = {name: cell.sum().item() / tokens for name, cell in shares.items()}
        return {"policy_loss": loss.sum().item() / divisor, **found, **of_critic}


def _backward_critic(run: Run, batch: Batch, own: _Cells, tokens: int) -> float:
    """Gradients of one micro-batch's share of the value loss; that share."""
    assert isinstance(run.settings, PPOSettings)
    values = run.trunk.token_values(Role.CRITIC, batch)
    loss = _value_loss(run.settings, values, own, batch.response_mask) / tokens
    loss.backward()
    return loss.item()


def _value_loss(settings: PPOSettings, values: Tensor, own: _Cells, mask: Tensor) -> Tensor:
    """Of a micro-batch's tokens together."""
    return clipped_value_loss(
        values, own.old_values, own.returns, mask, settings.value_clip_range
    ).sum()
