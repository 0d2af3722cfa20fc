"""Rolling out the policy, and everything PPO must know of the answers before it updates."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.tensors import masked_mean, rows_where
from rlhf_core.algorithms.memory import within_memory
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.distributed.ranks import all_reduce
from rlhf_core.models.sequences import Batch, TokenSequence, pad
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.models.turn_end import strip_end
from rlhf_core.sampling.local import SamplingLimits, sample_on_all_ranks

logger = logging.getLogger(__name__)

MAX_SAMPLING_GAP = {torch.float32: 1e-2, torch.bfloat16: 0.1}
"""Nats a token, by precision: bf16 rounds the two passes differently, by 0.02 as a rule."""


@dataclass(frozen=True)
class Rollout:
    """One answer to the prompt with that index."""

    prompt_index: int
    tokens: TokenSequence
    text: str
    logprobs: tuple[float, ...]
    finish_reason: str

    @property
    def is_finished(self) -> bool:
        """Whether it ended by itself, and was not cut off."""
        return self.finish_reason == "eos"


@dataclass(frozen=True)
class RolloutStep(TrainingStep):
    """A step's metrics, and the answers behind them."""

    rollouts: tuple[Rollout, ...] = ()
    scores: tuple[float, ...] = ()
    """Not-a-number where an answer has no score."""
    kl: tuple[float, ...] = ()
    """Of each answer, in nats."""
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """What the scores are made of; not-a-number where a part had no opinion."""


@dataclass(frozen=True)
class Experience:
    """What the models say of some rollouts before the first update; all (N, R), on the CPU."""

    sequences: tuple[TokenSequence, ...]
    mask: Tensor
    logprobs: Tensor
    entropy: Tensor
    kl: Tensor
    """log π − log π_reference of each sampled token: the k1 estimate."""
    values: Tensor
    """The critic's; 0 where there is none."""
    sampling_gap: float
    """Mean |Δ log p| between the sampling pass and the training pass over the same tokens."""


def roll_out(
    trunk: Trunk,
    prompts: Sequence[Sequence[int]],
    chosen: Sequence[int],
    seeds: Sequence[Sequence[int]],
    sampling: SamplingSettings,
    role: Role = Role.POLICY,
) -> list[Rollout]:
    """Answers of the role to each chosen prompt, one a seed, prompt after prompt."""
    limits = SamplingLimits(
        sampling.max_new_tokens, sampling.temperature, trunk.end_ids, trunk.pad_id
    )
    ids = [prompts[index] for index in chosen]
    with trunk.acting_as(role) as model, trunk.compute.autocast():
        answers = sample_on_all_ranks(model, ids, seeds, limits, trunk.compute.forward_tokens)
    return [
        Rollout(
            index,
            TokenSequence(tuple(prompt_ids), answer.token_ids),
            _text(trunk, answer.token_ids),
            answer.logprobs,
            answer.finish_reason,
        )
        for index, prompt_ids, samples in zip(chosen, ids, answers, strict=True)
        for answer in samples
    ]


def _text(trunk: Trunk, token_ids: Sequence[int]) -> str:
    """The words of an answer, without the token that ended it."""
    words = strip_end(token_ids, trunk.end_ids)
    return str(trunk.tokenizer.decode(words, skip_special_tokens=True)).strip()


def finished_scores(scores: Tensor, rollouts: Sequence[Rollout], missing: float | None) -> Tensor:
    """Return scores in which no unfinished answer is better than a finished one, (B,).

    It has the least of three: its own score, where it has one; `missing`; and the lowest score of
    the finished answers to its prompt, or of the batch where its prompt has none. A constant alone
    would not do: rewards have no fixed scale, and finished answers may all lie below it.

    Args:
        scores: Not-a-number where an answer has none, (B,).
        rollouts: The answers, B.
        missing: An unfinished answer scores at most this; None leaves the scores as they are.
    """
    if missing is None:
        return scores
    is_finished = finished(rollouts)
    counted = torch.where(is_finished & ~scores.isnan(), scores, math.inf)
    own = torch.where(scores.isnan(), math.inf, scores).clamp(max=missing)
    prompts = torch.tensor([rollout.prompt_index for rollout in rollouts])
    lowest = torch.empty_like(scores)
    for prompt in prompts.unique():
        is_own = prompts == prompt
        least = counted[is_own].min()
        lowest[is_own] = least if least < math.inf else counted.min()
    return torch.where(is_finished, scores, torch.minimum(own, lowest))


def finished(rollouts: Sequence[Rollout]) -> Tensor:
    """Return which answers ended by themselves, (B,)."""
    return torch.tensor([rollout.is_finished for rollout in rollouts])


def unscored_share(scores: Tensor, rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Return the shares of answers, and of prompts with all of their answers, without a score.

    Args:
        scores: Not-a-number where an answer has none, (B,).
        rollouts: The answers, B.
    """
    is_unscored = scores.isnan()
    prompts = {rollout.prompt_index for rollout in rollouts}
    scored = {rollouts[row].prompt_index for row in rows_where(~is_unscored)}
    shares = {
        "unscored": is_unscored.float().mean().item(),
        "unscored_prompts": len(prompts - scored) / len(prompts),
    }
    if is_unscored.any():
        logger.warning(
            "%d of %d answers have no score, and with them all answers to %d of %d prompts: "
            "nothing is learnt from them",
            int(is_unscored.sum()),
            len(rollouts),
            len(prompts - scored),
            len(prompts),
        )
    return shares


@torch.no_grad()
def experience(
    trunk: Trunk,
    rollouts: Sequence[Rollout],
    plan: Sequence[Sequence[int]],
    temperature: float,
) -> Experience:
    """Policy, reference and critic, if any, on every rollout, in the plan's minibatches.

    Micro-batches are those of the updates, so before the first of them log-probabilities are equal
    to the bit.
    """
    sequences = tuple(rollout.tokens for rollout in rollouts)
    mask = pad([[1] * len(s.response_ids) for s in sequences], 0).bool()

    def look() -> dict[str, Tensor]:
        cells = {name: torch.zeros(mask.shape) for name in ("logprobs", "entropy", "kl", "values")}
        for rows in plan:
            for group, batch in trunk.training_batches([sequences[row] for row in rows]):
                places = torch.tensor(rows)[group]
                for name, cell in _observe(trunk, batch, temperature).items():
                    cells[name][places, : cell.shape[1]] = cell.cpu()
        return cells

    cells = {name: all_reduce(cell) for name, cell in within_memory(trunk, look).items()}
    drawn = pad([rollout.logprobs for rollout in rollouts], 0.0)
    gap = masked_mean((cells["logprobs"] - drawn).abs(), mask).item()
    if gap > MAX_SAMPLING_GAP[trunk.compute.dtype]:
        logger.warning("sampling and training disagree by %.3f nats a token", gap)
    return Experience(sequences, mask, **cells, sampling_gap=gap)


def _observe(trunk: Trunk, batch: Batch, temperature: float) -> dict[str, Tensor]:
    hidden = trunk.hidden_states(Role.POLICY, batch)
    logprobs, entropy = trunk.logprobs_and_entropy_from(hidden, Role.POLICY, batch, temperature)
    reference = trunk.token_logprobs(Role.REFERENCE, batch, temperature)
    observed = {"logprobs": logprobs, "entropy": entropy, "kl": logprobs - reference}
    if Role.CRITIC in trunk.heads:
        observed["values"] = trunk.token_values(Role.CRITIC, batch)
    elif Role.POLICY in trunk.heads:
        observed["values"] = trunk.values_from(hidden, Role.POLICY, batch)
    return observed
