"""Training of the reward model on rankings, and its normalisation on reference answers."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import (
    NO_CHECKPOINTS,
    Checkpoints,
    TrainingState,
    remaining_steps,
)
from rlhf_core.algorithms.losses.preference_loss import kwise_loss, pairwise_accuracy
from rlhf_core.algorithms.memory import run_within_memory
from rlhf_core.algorithms.optimisation import (
    MetricSums,
    TrainingStep,
    Updater,
    shuffled_steps,
    step_count,
)
from rlhf_core.algorithms.rankings import RankedCandidates, accuracy_figures, batch_rankings
from rlhf_core.algorithms.reward_figures import reward_figures
from rlhf_core.algorithms.scoring import head_scores, score_rankings
from rlhf_core.config.tree import RewardModelSettings
from rlhf_core.distributed.ranks import all_reduce_number
from rlhf_core.errors import TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

SMALLEST_DEVIATION = 1e-6


def train_reward_model(
    trunk: Trunk,
    rankings: Sequence[RankedCandidates],
    settings: RewardModelSettings,
    seed: int,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    held_out: Sequence[RankedCandidates] = (),
) -> Iterator[TrainingStep]:
    """Fit the trunk's reward role and head with the K-wise loss.

    Args:
        trunk: Without the reward role, which is added.
        rankings: Rankings with at least one preference each.
        settings: Settings of the training.
        seed: Seed of the role, the head, the bootstrap weights, the order and the adapters'
            dropout.
        checkpoints: A checkpoint in them is resumed.
        held_out: Rankings to measure on, which are not trained on.

    Yields:
        A step for each optimizer step.

    Raises:
        TrainingError: If there is no ranking, or a number is not finite.
    """
    if not rankings:
        raise TrainingError(
            "no ranking holds a preference to learn from: every pair is tied or unscored; look at "
            "`SELECT outcome, count(*) FROM pairs GROUP BY outcome`"
        )
    trunk.add_role(Role.REWARD, seed, settings.heads)
    weights = bootstrap_weights(len(rankings), settings.heads, seed)
    steps = step_count(len(rankings), settings.prompts_per_step, settings.epochs)
    updater = Updater(trunk.parameters(Role.REWARD), settings.learning_rate, steps)
    order = shuffled_steps(len(rankings), settings.prompts_per_step, settings.epochs, seed)
    state = TrainingState({Role.REWARD: updater})
    done, _ = checkpoints.resume(state)
    for step, indices in remaining_steps(order, done):
        chosen = [rankings[index] for index in indices]
        masks = seed_from(seed, "dropout", step)
        accumulate = partial(_accumulate, trunk, chosen, weights[indices], settings.margin, masks)
        loss, in_order = map(all_reduce_number, run_within_memory(trunk, accumulate, [updater]))
        grad_norm, learning_rate = updater.step()
        metrics = {
            "loss": loss,
            **accuracy_figures(in_order, chosen),
            "grad_norm": grad_norm,
            "learning_rate": learning_rate,
        }
        if held_out and (step % settings.measure_every == 0 or step == steps):
            metrics |= reward_figures(score_rankings(trunk, held_out), held_out)
        yield TrainingStep(step, steps, metrics)
        checkpoints.save(step, state)


def normalise(trunk: Trunk, references: Sequence[TokenSequence]) -> dict[str, float]:
    """Give each head mean 0 and deviation 1 on the references (arXiv:2203.02155, section 3.5).

    The loss depends only on differences of rewards, so each head ends with its own constant and
    scale, which would pass for disagreement. A fixed deviation also gives the KL coefficient the
    same meaning for every reward model. Mean and deviation are folded into the head's weights, so
    that no copy of the reward model can lose them.

    Args:
        trunk: Holds the reward role.
        references: At least one sequence; with a single one the deviation is not changed.

    Returns:
        Mean and deviation of the reward before; with several heads, also their mean disagreement on
        the references after, as a standard deviation.
    """
    each = head_scores(trunk, references, Role.REWARD)
    means, deviations = each.mean(dim=0), _deviations(each)
    trunk.heads[Role.REWARD].rescale(means, deviations)
    reward = each.mean(dim=1, keepdim=True)
    figures = {
        "reference_mean": reward.mean().item(),
        "reference_deviation": _deviations(reward).item(),
    }
    if each.shape[1] > 1:
        apart = ((each - means) / deviations).std(dim=1, correction=0)
        figures["reference_disagreement"] = apart.mean().item()
    return figures


def _deviations(scores: Tensor) -> Tensor:
    """Return the sample deviation of each column, (columns,); 1 if all values are equal."""
    if len(scores) == 1:
        return torch.ones(scores.shape[1])
    deviations = scores.std(dim=0)
    return torch.where(deviations > SMALLEST_DEVIATION, deviations, 1.0)


def bootstrap_weights(rankings: int, heads: int, seed: int) -> Tensor:
    """Return the weight of each ranking for each head, by the Bayesian bootstrap (Rubin, 1981).

    Heads that weigh the data differently disagree where there is little of it.

    Args:
        rankings: Number of rankings.
        heads: Number of heads.
        seed: Seed of the weights.

    Returns:
        Weights of expected value 1, (rankings, heads); exactly 1 for a single head.
    """
    if heads == 1:
        return torch.ones(rankings, 1)
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(rankings, heads).exponential_(generator=generator)


def _accumulate(
    trunk: Trunk,
    rankings: Sequence[RankedCandidates],
    weights: Tensor,
    margin: float,
    dropout_seed: int,
) -> tuple[float, float]:
    """Add the gradients of the mean loss over the step's prompts.

    Args:
        trunk: Holds the reward role.
        rankings: The rankings of the step.
        weights: Weight of each ranking for each head, (prompts, members).
        margin: Scale of the rankings' margins; 0 ignores them.
        dropout_seed: Seed of the adapters' dropout.

    Returns:
        This rank's share of the mean loss, and of the sum, over the rankings with an order, of the
        share of their pairs in order.
    """
    sums = MetricSums()
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    for number, (group, batch) in enumerate(trunk.training_batches(sequences)):
        with trunk.dropout(dropout_seed, number):
            rewards = trunk.head_scores(Role.REWARD, batch)
            own = batch_rankings(rankings, group, rewards.device)
            ranked = rewards[own.places]
            losses = torch.vmap(_member_losses)(ranked, own.preferences, margin * own.margins)
            weighted = losses * weights[own.numbers].to(rewards.device)
            loss = weighted.mean(dim=1).sum() / len(rankings)
            loss.backward()
        accuracies = torch.vmap(pairwise_accuracy)(ranked.detach().mean(dim=2), own.preferences)
        sums.add(loss=loss, in_order=torch.where(own.has_order, accuracies, 0.0).sum())
    found = sums.read()
    return found.get("loss", 0.0), found.get("in_order", 0.0)


def _member_losses(rewards: Tensor, preferences: Tensor, margins: Tensor) -> Tensor:
    """Return the loss of each member of the head, (members,), on rewards, (K, members)."""
    return torch.vmap(kwise_loss, in_dims=(1, None, None))(rewards, preferences, margins)
