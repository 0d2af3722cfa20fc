"""Supervised fine-tuning on reference answers: the loss sees the answer, never the prompt."""

from collections.abc import Iterator, Sequence

from rlhf_core.algorithms.optimisation import TrainingStep, Updater, shuffled_steps, step_count
from rlhf_core.config.tree import SFTSettings
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence, collate, microbatches
from rlhf_core.models.trunk import Role, Trunk


def train_sft(
    trunk: Trunk, demonstrations: Sequence[TokenSequence], settings: SFTSettings, seed: int
) -> Iterator[TrainingStep]:
    """Fit the trunk's SFT adapter, one optimizer step an item.

    Raises:
        TrainingError: If there is nothing to learn from.
    """
    if not demonstrations:
        raise TrainingError("no prompt of the training split has a reference answer to learn from")
    trunk.add_role(Role.SFT, seed)
    steps = step_count(len(demonstrations), settings.prompts_per_step, settings.epochs)
    updater = Updater(trunk.parameters(Role.SFT), settings.learning_rate, steps)
    order = shuffled_steps(len(demonstrations), settings.prompts_per_step, settings.epochs, seed)
    for step, indices in enumerate(order, start=1):
        loss = _accumulate(trunk, [demonstrations[index] for index in indices])
        grad_norm, learning_rate = updater.step()
        metrics = {"loss": loss, "grad_norm": grad_norm, "learning_rate": learning_rate}
        yield TrainingStep(step, steps, metrics)


def _accumulate(trunk: Trunk, sequences: Sequence[TokenSequence]) -> float:
    """Gradients of the mean loss over all answer tokens of the step; that mean, in nats."""
    answer_tokens = sum(len(sequence.response_ids) for sequence in sequences)
    total = 0.0
    for group in microbatches(sequences, trunk.compute.tokens_per_microbatch):
        batch = collate([sequences[i] for i in group], trunk.pad_id, trunk.compute.device)
        logprobs = trunk.token_logprobs(Role.SFT, batch, temperature=1.0)
        loss = -logprobs.sum() / answer_tokens
        loss.backward()
        total += loss.item()
    return total
