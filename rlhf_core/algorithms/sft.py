"""Supervised fine-tuning on demonstrations; the loss covers the answer, never the prompt."""

from collections.abc import Iterator, Sequence
from functools import partial

from rlhf_core.algorithms.checkpoints import (
    NO_CHECKPOINTS,
    Checkpoints,
    TrainingState,
    remaining_steps,
)
from rlhf_core.algorithms.memory import run_within_memory
from rlhf_core.algorithms.optimisation import (
    MetricSums,
    TrainingStep,
    Updater,
    shuffled_steps,
    step_count,
)
from rlhf_core.algorithms.selection import BestWeights, Trial
from rlhf_core.config.tree import SFTSettings
from rlhf_core.distributed.ranks import all_reduce_number
from rlhf_core.errors import TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

SELECTION_SCORE, SELECTION_KEPT = "selection_score", "selection_kept"


def train_sft(
    trunk: Trunk,
    demonstrations: Sequence[TokenSequence],
    settings: SFTSettings,
    seed: int,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    trial: Trial | None = None,
) -> Iterator[TrainingStep]:
    """Fit the trunk's SFT role to demonstrations.

    Args:
        trunk: Without the SFT role, which is added.
        demonstrations: At least one prompt with its answer.
        settings: Settings of the training.
        seed: Seed of the role, the order and the adapters' dropout.
        checkpoints: A checkpoint in them is resumed.
        trial: The role ends with the weights that score best in this trial; None keeps the last.

    Yields:
        A step for each optimizer step.

    Raises:
        TrainingError: If there is no demonstration, or a number is not finite.
    """
    if not demonstrations:
        raise TrainingError("no prompt of the training split has a reference answer to learn from")
    trunk.add_role(Role.SFT, seed)
    steps = step_count(len(demonstrations), settings.prompts_per_step, settings.epochs)
    parameters = trunk.parameters(Role.SFT)
    updater = Updater(parameters, settings.learning_rate, steps)
    best = BestWeights(parameters if trial is not None else ())
    order = shuffled_steps(len(demonstrations), settings.prompts_per_step, settings.epochs, seed)
    state = TrainingState({Role.SFT: updater, "best": best})
    done, _ = checkpoints.resume(state)
    for step, indices in remaining_steps(order, done):
        chosen = [demonstrations[i] for i in indices]
        accumulate = partial(
            accumulate_likelihood,
            trunk,
            Role.SFT,
            chosen,
            dropout_seed=seed_from(seed, "dropout", step),
        )
        loss = all_reduce_number(run_within_memory(trunk, accumulate, [updater]))
        grad_norm, learning_rate = updater.step()
        metrics = {"loss": loss, "grad_norm": grad_norm, "learning_rate": learning_rate}
        if trial is not None and trial.is_due(step, steps, steps // settings.epochs):
            scores = trial.score(trunk, Role.SFT, seed)
            metrics[SELECTION_SCORE] = scores.nanmean().item()
            metrics["selection_unscored"] = scores.isnan().float().mean().item()
            metrics[SELECTION_KEPT] = float(best.offer(scores))
        if step == steps:
            best.restore()
        yield TrainingStep(step, steps, metrics)
        checkpoints.save(step, state)


def accumulate_likelihood(
    trunk: Trunk,
    role: Role,
    sequences: Sequence[TokenSequence],
    weight: float = 1.0,
    dropout_seed: int | None = None,
) -> float:
    """Add the gradients of the mean −log p over all answer tokens.

    Args:
        trunk: Holds the role.
        role: The role that is trained.
        sequences: At least one sequence.
        weight: Multiplies the gradients, but not the returned mean.
        dropout_seed: Seed of the adapters' dropout; None is without.

    Returns:
        This rank's share of the mean, in nats a token.
    """
    answer_tokens = sum(len(sequence.response_ids) for sequence in sequences)
    sums = MetricSums()
    for number, (_, batch) in enumerate(trunk.training_batches(sequences)):
        with trunk.dropout(dropout_seed, number):
            loss = -trunk.token_logprobs(role, batch, temperature=1.0).sum() / answer_tokens
            (weight * loss).backward()
        sums.add(loss=loss)
    return sums.read().get("loss", 0.0)
