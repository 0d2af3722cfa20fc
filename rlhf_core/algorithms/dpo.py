"""DPO on rankings: all pairs of a prompt share one forward an answer (arXiv:2305.18290).

The policy's own log-ratio to the reference, times β, stands where a reward model's score does. So
the loss is the K-wise one, with its soft labels, and the prompt is computed once.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import NONE_KEPT, Checkpoints, Standing, after
from rlhf_core.algorithms.losses.preference_loss import (
    ipo_loss,
    kwise_loss,
    pairs_in_order,
    smoothed,
)
from rlhf_core.algorithms.memory import within_memory
from rlhf_core.algorithms.optimisation import TrainingStep, Updater, shuffled_steps, step_count
from rlhf_core.algorithms.rankings import RankedCandidates, accuracy_figures
from rlhf_core.config.training import DPOSettings
from rlhf_core.distributed.ranks import all_reduce_report
from rlhf_core.errors import TrainingError
from rlhf_core.models.trunk import Role, Trunk


def train_dpo(
    trunk: Trunk,
    rankings: Sequence[RankedCandidates],
    settings: DPOSettings,
    seed: int,
    checkpoints: Checkpoints = NONE_KEPT,
) -> Iterator[TrainingStep]:
    """Fit the trunk's policy role to the rankings, one optimizer step an item.

    Args:
        trunk: With role policy in place; the trunk itself is the reference.
        rankings: With a preference each.
        settings: Of the training.
        seed: Of the order.
        checkpoints: Gone on from where one is there.

    Raises:
        TrainingError: If there is nothing to learn from, a number stops being finite, or the
            reference is not the base.
    """
    trunk.require_reference()
    if not rankings:
        raise TrainingError("no ranking holds a preference to learn from: every pair is tied")
    steps = step_count(len(rankings), settings.prompts_per_step, settings.epochs)
    updater = Updater(
        trunk.parameters(Role.POLICY), settings.learning_rate, steps, settings.max_grad_norm
    )
    order = shuffled_steps(len(rankings), settings.prompts_per_step, settings.epochs, seed)
    standing = Standing({Role.POLICY: updater})
    done, _ = checkpoints.resume(standing)
    for step, indices in after(order, done):
        chosen = [rankings[i] for i in indices]
        accumulate = partial(_accumulate, trunk, chosen, settings)
        metrics = _of_ordered(
            all_reduce_report(within_memory(trunk, accumulate, [updater])), chosen
        )
        grad_norm, learning_rate = updater.step()
        yield TrainingStep(
            step, steps, {**metrics, "grad_norm": grad_norm, "learning_rate": learning_rate}
        )
        checkpoints.save(step, standing)


def preference_objective(log_ratios: Tensor, preferences: Tensor, settings: DPOSettings) -> Tensor:
    """The loss of one prompt's answers.

    Args:
        log_ratios: log π(y) − log π_reference(y), in nats, (K,).
        preferences: As in `kwise_loss`, (K, K).
        settings: Which loss, β and label smoothing.
    """
    believed = smoothed(preferences, settings.label_smoothing)
    if settings.loss == "ipo":
        return ipo_loss(log_ratios, believed, settings.beta)
    return kwise_loss(settings.beta * log_ratios, believed)


def _accumulate(
    trunk: Trunk,
    rankings: Sequence[RankedCandidates],
    settings: DPOSettings,
) -> dict[str, float]:
    """Gradients of the mean loss over the step's prompts, and this process's part of the report.

    Accuracy and margin are summed over the rankings with an order, the others are means over all.
    """
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    owners = [number for number, ranking in enumerate(rankings) for _ in ranking.sequences]
    report = {"loss": 0.0, "accuracy": 0.0, "margin": 0.0, "log_ratio": 0.0}
    for group, batch in trunk.training_batches(sequences):
        # In the same batch, not kept from another: bf16 rounds by a batch's shape, which over a
        # whole answer comes to tenths of a nat.
        with torch.no_grad():
            reference = trunk.token_logprobs(Role.REFERENCE, batch, temperature=1.0)
        logprobs = trunk.token_logprobs(Role.POLICY, batch, temperature=1.0)
        log_ratios = (logprobs - reference).sum(dim=1)
        loss = torch.zeros((), device=logprobs.device)
        for number in {owners[index] for index in group}:
            own = log_ratios[[at for at, index in enumerate(group) if owners[index] == number]]
            preferences = rankings[number].preferences.to(own.device)
            loss = loss + preference_objective(own, preferences, settings) / len(rankings)
            rewards = settings.beta * own.detach()
            report["log_ratio"] += own.detach().mean().item() / len(rankings)
            if rankings[number].has_order:
                report["accuracy"] += pairs_in_order(rewards, preferences).item()
                report["margin"] += _margin(rewards, preferences).item()
        loss.backward()
        report["loss"] += loss.item()
    return report


def _of_ordered(
    report: Mapping[str, float], rankings: Sequence[RankedCandidates]
) -> dict[str, float]:
    """The report with accuracy and margin as means over the rankings that have an order."""
    rest = {name: value for name, value in report.items() if name not in ("accuracy", "margin")}
    figures = accuracy_figures(report["accuracy"], rankings)
    if figures["ordered"]:
        figures["margin"] = report["margin"] / figures["ordered"]
    return rest | figures


def _margin(rewards: Tensor, preferences: Tensor) -> Tensor:
    """Mean reward of the preferred less that of the other, over the pairs with an order."""
    is_preferred = preferences > preferences.T
    return (rewards[:, None] - rewards[None, :])[is_preferred].mean()
