"""The reward model: trained on rankings, normalised on reference answers, then only read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import NONE_KEPT, Checkpoints, Standing, after
from rlhf_core.algorithms.optimisation import TrainingStep, Updater, shuffled_steps, step_count
from rlhf_core.algorithms.preference_loss import kwise_loss, pairs_in_order
from rlhf_core.config.tree import RewardModelSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence, collate, microbatches
from rlhf_core.models.trunk import Role, Trunk

SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True)
class RankedCandidates:
    """The candidates of one prompt and which is better than which.

    `preferences[i, j]` is the probability that candidate i is better than j, 0 where the pair is
    tied or unscored, (K, K).
    """

    sequences: tuple[TokenSequence, ...]
    preferences: Tensor


def train_reward_model(
    trunk: Trunk,
    rankings: Sequence[RankedCandidates],
    settings: RewardModelSettings,
    seed: int,
    checkpoints: Checkpoints = NONE_KEPT,
) -> Iterator[TrainingStep]:
    """Fit the trunk's reward adapter and head with the K-wise loss, one optimizer step an item.

    Args:
        trunk: Without the role yet.
        rankings: With a preference each.
        settings: Of the training.
        seed: Of the adapter, the head and the order.
        checkpoints: Gone on from where one is there.

    Raises:
        TrainingError: If no ranking prefers any candidate to another.
    """
    if not rankings:
        raise TrainingError(
            "no ranking holds a preference to learn from: every pair is tied or unscored; look at "
            "`SELECT outcome, count(*) FROM pairs GROUP BY outcome`"
        )
    trunk.add_role(Role.REWARD, seed)
    steps = step_count(len(rankings), settings.prompts_per_step, settings.epochs)
    updater = Updater(trunk.parameters(Role.REWARD), settings.learning_rate, steps)
    order = shuffled_steps(len(rankings), settings.prompts_per_step, settings.epochs, seed)
    standing = Standing({Role.REWARD: updater})
    done, _ = checkpoints.resume(standing)
    for step, indices in after(order, done):
        loss, accuracy = _accumulate(trunk, [rankings[index] for index in indices])
        grad_norm, learning_rate = updater.step()
        metrics = {
            "loss": loss,
            "accuracy": accuracy,
            "grad_norm": grad_norm,
            "learning_rate": learning_rate,
        }
        yield TrainingStep(step, steps, metrics)
        checkpoints.save(step, standing)


def normalise(trunk: Trunk, references: Sequence[TokenSequence]) -> tuple[float, float]:
    """Give the references mean 0 and deviation 1 (arXiv:2203.02155, section 3.5).

    Folded into the head's weights, so that no copy of the reward model can lose it. The deviation
    makes the KL coefficient mean the same from one reward model to the next.

    Returns:
        Mean and deviation before.
    """
    scores = score_sequences(trunk, references, Role.REWARD)
    deviation = scores.std().item() if len(scores) > 1 else 0.0
    deviation = deviation if deviation > SMALLEST_DEVIATION else 1.0
    trunk.heads[Role.REWARD].rescale(scores.mean().item(), deviation)
    return scores.mean().item(), deviation


@torch.no_grad()
def score_sequences(trunk: Trunk, sequences: Sequence[TokenSequence], role: Role) -> Tensor:
    """The head's number for each sequence, (N,), on the CPU."""
    scores = torch.zeros(len(sequences))
    for group in microbatches(sequences, trunk.compute.forward_tokens):
        batch = collate([sequences[i] for i in group], trunk.pad_id, trunk.compute.device)
        scores[group] = trunk.sequence_scores(role, batch).cpu()
    return scores


def _accumulate(trunk: Trunk, rankings: Sequence[RankedCandidates]) -> tuple[float, float]:
    """Gradients of the mean loss over the step's prompts; that mean, and the share in order."""
    loss_total = accuracy_total = 0.0
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    owners = [number for number, ranking in enumerate(rankings) for _ in ranking.sequences]
    for group in microbatches(sequences, trunk.compute.tokens_per_microbatch):
        batch = collate([sequences[i] for i in group], trunk.pad_id, trunk.compute.device)
        rewards = trunk.sequence_scores(Role.REWARD, batch)
        loss = torch.zeros((), device=rewards.device)
        for number in {owners[index] for index in group}:
            own = rewards[[place for place, index in enumerate(group) if owners[index] == number]]
            preferences = rankings[number].preferences.to(rewards.device)
            loss = loss + kwise_loss(own, preferences) / len(rankings)
            accuracy_total += pairs_in_order(own.detach(), preferences).item() / len(rankings)
        loss.backward()
        loss_total += loss.item()
    return loss_total, accuracy_total
