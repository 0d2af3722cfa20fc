"""DPO on rankings (arXiv:2305.18290, eq. 7): all pairs share one forward pass an answer.

The policy's log-ratio to the reference, times β, takes the place of a reward model's score. So the
loss is the K-wise loss with its soft labels, and each prompt is computed once.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import (
    NO_CHECKPOINTS,
    Checkpoints,
    TrainingState,
    remaining_steps,
)
from rlhf_core.algorithms.losses.preference_loss import (
    ipo_loss,
    kwise_loss,
    pairwise_accuracy,
    smooth_labels,
)
from rlhf_core.algorithms.memory import run_within_memory
from rlhf_core.algorithms.optimisation import (
    MetricSums,
    TrainingStep,
    Updater,
    shuffled_steps,
    step_count,
)
from rlhf_core.algorithms.rankings import RankedCandidates, accuracy_figures, batch_rankings
from rlhf_core.config.training import DPOSettings
from rlhf_core.distributed.ranks import all_reduce_report
from rlhf_core.errors import TrainingError
from rlhf_core.models.trunk import Role, Trunk


def train_dpo(
    trunk: Trunk,
    rankings: Sequence[RankedCandidates],
    settings: DPOSettings,
    seed: int,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
) -> Iterator[TrainingStep]:
    """Fit the trunk's policy role to rankings.

    Args:
        trunk: Holds the policy role; the trunk itself is the reference.
        rankings: Rankings with at least one preference each.
        settings: Settings of the training.
        seed: Seed of the order.
        checkpoints: A checkpoint in them is resumed.

    Yields:
        A step for each optimizer step.

    Raises:
        TrainingError: If there is no ranking, a number is not finite, or the reference is not the
            base.
    """
    trunk.require_reference()
    if not rankings:
        raise TrainingError("no ranking holds a preference to learn from: every pair is tied")
    steps = step_count(len(rankings), settings.prompts_per_step, settings.epochs)
    updater = Updater(
        trunk.parameters(Role.POLICY), settings.learning_rate, steps, settings.max_grad_norm
    )
    order = shuffled_steps(len(rankings), settings.prompts_per_step, settings.epochs, seed)
    state = TrainingState({Role.POLICY: updater})
    done, _ = checkpoints.resume(state)
    for step, indices in remaining_steps(order, done):
        chosen = [rankings[i] for i in indices]
        accumulate = partial(_accumulate, trunk, chosen, settings)
        metrics = _average_over_ordered(
            all_reduce_report(run_within_memory(trunk, accumulate, [updater])), chosen
        )
        grad_norm, learning_rate = updater.step()
        yield TrainingStep(
            step, steps, {**metrics, "grad_norm": grad_norm, "learning_rate": learning_rate}
        )
        checkpoints.save(step, state)


def preference_objective(log_ratios: Tensor, preferences: Tensor, settings: DPOSettings) -> Tensor:
    """Return the loss of one prompt's answers: K-wise DPO, or IPO.

    Args:
        log_ratios: log π(y) − log π_reference(y), in nats, (K,).
        preferences: As in `kwise_loss`, (K, K).
        settings: The kind of loss, β and label smoothing.

    Returns:
        Mean over the pairs: in nats for DPO, in nats² for IPO.
    """
    believed = smooth_labels(preferences, settings.label_smoothing)
    if settings.loss == "ipo":
        return ipo_loss(log_ratios, believed, settings.beta)
    return kwise_loss(settings.beta * log_ratios, believed)


def _accumulate(
    trunk: Trunk,
    rankings: Sequence[RankedCandidates],
    settings: DPOSettings,
) -> dict[str, float]:
    """Add the gradients of the mean loss over the step's prompts; return this rank's metrics.

    Accuracy and margin are sums over the rankings with an order, the others are means over all.
    """
    sums = MetricSums()
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    objective = partial(preference_objective, settings=settings)
    for group, batch in trunk.training_batches(sequences):
        # In the same batch, not cached from another one: bf16 rounding depends on a batch's shape,
        # which adds up to tenths of a nat over an answer.
        with torch.no_grad():
            reference = trunk.token_logprobs(Role.REFERENCE, batch, temperature=1.0)
        logprobs = trunk.token_logprobs(Role.POLICY, batch, temperature=1.0)
        own = batch_rankings(rankings, group, logprobs.device)
        log_ratios = (logprobs - reference).sum(dim=1)[own.places]
        loss = torch.vmap(objective)(log_ratios, own.preferences).sum() / len(rankings)
        loss.backward()
        rewards = settings.beta * log_ratios.detach()
        accuracies = torch.vmap(pairwise_accuracy)(rewards, own.preferences)
        margins = torch.vmap(_margin)(rewards, own.preferences)
        means = (log_ratios.detach() * own.is_real).sum(dim=1) / own.is_real.sum(dim=1)
        sums.add(
            loss=loss,
            accuracy=torch.where(own.has_order, accuracies, 0.0).sum(),
            margin=torch.where(own.has_order, margins, 0.0).sum(),
            log_ratio=means.sum() / len(rankings),
        )
    return dict.fromkeys(("loss", "accuracy", "margin", "log_ratio"), 0.0) | sums.read()


def _average_over_ordered(
    report: Mapping[str, float], rankings: Sequence[RankedCandidates]
) -> dict[str, float]:
    """Return the metrics with accuracy and margin as means over the rankings with an order."""
    rest = {name: value for name, value in report.items() if name not in ("accuracy", "margin")}
    figures = accuracy_figures(report["accuracy"], rankings)
    if figures["ordered"]:
        figures["margin"] = report["margin"] / figures["ordered"]
    return rest | figures


def _margin(rewards: Tensor, preferences: Tensor) -> Tensor:
    """Return the preferred answer's reward less the other's, mean over the pairs with an order."""
    is_preferred = preferences > preferences.T
    differences = rewards[:, None] - rewards[None, :]
    return (differences * is_preferred).sum() / is_preferred.sum()
