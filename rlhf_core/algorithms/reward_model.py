"""The reward model: trained on rankings, normalised on reference answers, then only read."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import NONE_KEPT, Checkpoints, Standing, after
from rlhf_core.algorithms.losses.preference_loss import kwise_loss, pairs_in_order
from rlhf_core.algorithms.memory import within_memory
from rlhf_core.algorithms.optimisation import TrainingStep, Updater, shuffled_steps, step_count
from rlhf_core.algorithms.rankings import RankedCandidates, accuracy_figures
from rlhf_core.algorithms.reward_figures import reward_figures
from rlhf_core.algorithms.scoring import head_scores, score_sequences
from rlhf_core.config.tree import RewardModelSettings
from rlhf_core.distributed.ranks import all_reduce_number
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

SMALLEST_DEVIATION = 1e-6


def train_reward_model(
    trunk: Trunk,
    rankings: Sequence[RankedCandidates],
    settings: RewardModelSettings,
    seed: int,
    checkpoints: Checkpoints = NONE_KEPT,
    held_out: Sequence[RankedCandidates] = (),
) -> Iterator[TrainingStep]:
    """Fit the trunk's reward role and head with the K-wise loss, one optimizer step an item.

    Args:
        trunk: Without the role yet.
        rankings: With a preference each.
        settings: Of the training.
        seed: Of the role, the head and the order.
        checkpoints: Gone on from where one is there.
        held_out: Measured on, and not learnt from.

    Raises:
        TrainingError: If no ranking prefers any candidate to another.
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
    standing = Standing({Role.REWARD: updater})
    done, _ = checkpoints.resume(standing)
    for step, indices in after(order, done):
        chosen = [rankings[index] for index in indices]
        accumulate = partial(_accumulate, trunk, chosen, weights[indices], settings.margin)
        loss, in_order = map(all_reduce_number, within_memory(trunk, accumulate, [updater]))
        grad_norm, learning_rate = updater.step()
        metrics = {
            "loss": loss,
            **accuracy_figures(in_order, chosen),
            "grad_norm": grad_norm,
            "learning_rate": learning_rate,
        }
        if held_out and (step % settings.measure_every == 0 or step == steps):
            scores = [score_sequences(trunk, r.sequences, Role.REWARD) for r in held_out]
            metrics |= reward_figures(scores, held_out)
        yield TrainingStep(step, steps, metrics)
        checkpoints.save(step, standing)


def normalise(trunk: Trunk, references: Sequence[TokenSequence]) -> dict[str, float]:
    """Give the references mean 0 and deviation 1 by each head (arXiv:2203.02155, section 3.5).

    The loss sees differences of rewards only, so each head ends with a constant and a scale of its
    own; left in, they would pass for disagreement. The deviation also makes the KL coefficient mean
    the same from one reward model to the next. Both are folded into the head's weights, so that no
    copy of the reward model can lose them.

    Args:
        trunk: With role reward in place.
        references: At least one; of a single one the deviation stays as it is.

    Returns:
        Mean and deviation of the reward before, and, of several heads, by how much they disagree on
        the references from now on.
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
    """Sample deviation of each column; 1 where nothing differs, (columns,)."""
    if len(scores) == 1:
        return torch.ones(scores.shape[1])
    found = scores.std(dim=0)
    return torch.where(found > SMALLEST_DEVIATION, found, 1.0)


def bootstrap_weights(rankings: int, heads: int, seed: int) -> Tensor:
    """How much each ranking counts for each head, mean 1, (rankings, heads); 1 for a single head.

    The Bayesian bootstrap (Rubin 1981): heads that saw the data differently disagree where there
    was little of it.
    """
    if heads == 1:
        return torch.ones(rankings, 1)
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(rankings, heads).exponential_(generator=generator)


def _accumulate(
    trunk: Trunk, rankings: Sequence[RankedCandidates], weights: Tensor, margin: float
) -> tuple[float, float]:
    """Gradients of the mean loss over the step's prompts; that mean, and the shares in order.

    Of both, what this process has to add. The shares are summed over the rankings with an order.

    `weights` says how much each ranking counts for each head, (prompts, members).
    """
    loss_total = in_order = 0.0
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    owners = [number for number, ranking in enumerate(rankings) for _ in ranking.sequences]
    for group, batch in trunk.training_batches(sequences):
        rewards = trunk.head_scores(Role.REWARD, batch)
        loss = torch.zeros((), device=rewards.device)
        for number in {owners[index] for index in group}:
            own = rewards[[place for place, index in enumerate(group) if owners[index] == number]]
            preferences = rankings[number].preferences.to(rewards.device)
            margins = _scaled(rankings[number].margins, margin, rewards.device)
            losses = [kwise_loss(member, preferences, margins) for member in own.unbind(1)]
            weighted = torch.stack(losses) * weights[number].to(rewards.device)
            loss = loss + weighted.mean() / len(rankings)
            if rankings[number].has_order:
                in_order += pairs_in_order(own.detach().mean(dim=1), preferences).item()
        loss.backward()
        loss_total += loss.item()
    return loss_total, in_order


def _scaled(margins: Tensor | None, margin: float, device: torch.device) -> Tensor | None:
    return None if margins is None or margin == 0 else margin * margins.to(device)
