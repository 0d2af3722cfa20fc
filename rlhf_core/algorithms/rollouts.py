"""Rollouts of the policy, and the models' outputs on them that PPO needs before its updates."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.policy_gradient import truncated_importance_weights
from rlhf_core.algorithms.losses.tensors import masked_mean, rows_where
from rlhf_core.algorithms.memory import run_within_memory
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.distributed.ranks import all_reduce
from rlhf_core.models.answers import AnswerReader
from rlhf_core.models.sequences import Batch, TokenSequence, pad
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.sampler import LOCAL, Sampler, limits_of

logger = logging.getLogger(__name__)

CELLS = ("logprobs", "entropy", "kl", "values")
"""Outputs of the models on each token."""
MAX_SAMPLING_GAP = {torch.float32: 1e-2, torch.bfloat16: 0.1}
"""Nats a token by precision; bf16 rounds the two passes differently, usually by 0.02."""


@dataclass(frozen=True)
class Rollout:
    """One sampled answer to the prompt with that index."""

    prompt_index: int
    tokens: TokenSequence
    text: str
    """The answer as judges see it, without the model's thoughts."""
    logprobs: tuple[float, ...]
    finish_reason: str
    engine: str = "local"
    """Name of the engine that sampled it."""

    @property
    def is_finished(self) -> bool:
        """True if the answer ended by itself, False if it was cut off."""
        return self.finish_reason == "eos"


@dataclass(frozen=True)
class RolloutStep(TrainingStep):
    """A step's metrics, and its answers."""

    rollouts: tuple[Rollout, ...] = ()
    scores: tuple[float, ...] = ()
    """Score of each answer; NaN without one."""
    kl: tuple[float, ...] = ()
    """KL of each answer from the reference, in nats."""
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Scores of each part of the reward by name, before weights; NaN without one."""
    signs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Signs that an answer is unlike what the reward model learnt from, by name; NaN if unknown."""


@dataclass(frozen=True)
class Experience:
    """The models' outputs on some rollouts before the first update; all (N, R), on the CPU."""

    sequences: tuple[TokenSequence, ...]
    mask: Tensor
    logprobs: Tensor
    entropy: Tensor
    kl: Tensor
    """log π − log π_reference of each sampled token: the k1 estimate."""
    values: Tensor
    """Values of the critic; 0 if there is none."""
    sampling_gap: float
    """Mean |Δ log p| between the sampling pass and the training pass over the same tokens."""
    weights: Tensor
    """Importance weight of each token, which its loss is multiplied by; 1 without weights."""


def roll_out(
    trunk: Trunk,
    prompts: Sequence[Sequence[int]],
    chosen: Sequence[int],
    seeds: Sequence[Sequence[int]],
    sampling: SamplingSettings,
    role: Role = Role.POLICY,
    sampler: Sampler = LOCAL,
) -> list[Rollout]:
    """Sample answers of a role to each chosen prompt.

    Args:
        trunk: Holds the role.
        prompts: Tokens of all prompts.
        chosen: Indices of the prompts to answer.
        seeds: For each chosen prompt, the seed of each of its answers.
        sampling: Temperature and length of the answers.
        role: The role that answers.
        sampler: Samples the tokens.

    Returns:
        The answers, prompt after prompt, in the order of the seeds.
    """
    ids = [prompts[index] for index in chosen]
    reader = AnswerReader(trunk.tokenizer, trunk.end_ids)
    answers = sampler.sample(trunk, role, ids, seeds, limits_of(trunk, sampling))
    rollouts = []
    for index, prompt_ids, samples in zip(chosen, ids, answers, strict=True):
        for answer in samples:
            said = reader.read(prompt_ids, answer.token_ids, answer.finish_reason)
            tokens = TokenSequence(tuple(prompt_ids), answer.token_ids)
            rollouts.append(
                Rollout(
                    index, tokens, said.text, answer.logprobs, said.finish_reason, sampler.engine
                )
            )
    return rollouts


def cap_unfinished_scores(
    scores: Tensor, rollouts: Sequence[Rollout], missing: float | None
) -> Tensor:
    """Cap the scores of unfinished answers, so that none scores above a finished answer.

    An unfinished answer gets the minimum of three numbers: its own score, if it has one; `missing`;
    and the lowest score of the finished answers to its prompt, or of the batch if the prompt has
    none. A constant alone does not suffice: rewards have no fixed scale, and all finished answers
    may score below it.

    Args:
        scores: Score of each answer, NaN without one, (B,).
        rollouts: The B answers.
        missing: Highest score of an unfinished answer; None leaves the scores unchanged.

    Returns:
        The capped scores, (B,).
    """
    if missing is None:
        return scores
    is_finished = finished_mask(rollouts)
    counted = torch.where(is_finished & ~scores.isnan(), scores, math.inf)
    own = torch.where(scores.isnan(), math.inf, scores).clamp(max=missing)
    prompts = torch.tensor([rollout.prompt_index for rollout in rollouts])
    lowest = torch.empty_like(scores)
    for prompt in prompts.unique():
        is_own = prompts == prompt
        least = counted[is_own].min()
        lowest[is_own] = least if least < math.inf else counted.min()
    return torch.where(is_finished, scores, torch.minimum(own, lowest))


def finished_mask(rollouts: Sequence[Rollout]) -> Tensor:
    """Return a mask of the answers that ended by themselves, (B,)."""
    return torch.tensor([rollout.is_finished for rollout in rollouts])


def unscored_shares(scores: Tensor, rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Return the share of unscored answers, and of prompts with unscored answers only.

    Args:
        scores: Score of each answer, NaN without one, (B,).
        rollouts: The B answers.
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
            "%d of %d answers have no score, among them all answers to %d of %d prompts: "
            "nothing is learnt from them",
            int(is_unscored.sum()),
            len(rollouts),
            len(prompts - scored),
            len(prompts),
        )
    return shares


@torch.no_grad()
def collect_experience(
    trunk: Trunk,
    rollouts: Sequence[Rollout],
    plan: Sequence[Sequence[int]],
    temperature: float,
    weights_up_to: float | None = None,
) -> Experience:
    """Compute policy, reference and critic, if there is one, on every rollout.

    The micro-batches are those of the updates, so before the first update log-probabilities are
    equal to the bit.

    Args:
        trunk: Holds the policy, and the critic's role or head.
        rollouts: The N answers.
        plan: Rows of each minibatch, which together cover all answers.
        temperature: The temperature that the answers were sampled at.
        weights_up_to: Cap of the importance weights; None weights all tokens by 1.

    Returns:
        The outputs, summed over ranks, so the same on each.
    """
    sequences = tuple(rollout.tokens for rollout in rollouts)
    mask = pad([[1] * len(s.response_ids) for s in sequences], 0).bool()

    def observe() -> Tensor:
        cells = torch.zeros(len(CELLS), *mask.shape)
        for rows in plan:
            for group, batch in trunk.training_batches([sequences[row] for row in rows]):
                places = torch.tensor(rows)[group]
                observed = _observe(trunk, batch, temperature).cpu()
                cells[:, places, : observed.shape[2]] = observed
        return cells

    observed = all_reduce(run_within_memory(trunk, observe))
    cells = dict(zip(CELLS, observed, strict=True))
    drawn = pad([rollout.logprobs for rollout in rollouts], 0.0)
    gap = masked_mean((cells["logprobs"] - drawn).abs(), mask).item()
    if gap > MAX_SAMPLING_GAP[trunk.compute.dtype]:
        logger.warning("sampling and training disagree by %.3f nats a token", gap)
    weights = torch.ones(mask.shape)
    if weights_up_to is not None:
        weights = truncated_importance_weights(cells["logprobs"], drawn, mask, weights_up_to)
    return Experience(sequences, mask, **cells, sampling_gap=gap, weights=weights)


def _observe(trunk: Trunk, batch: Batch, temperature: float) -> Tensor:
    """Return the models' outputs on a micro-batch in the order of `CELLS`, (4, n, R)."""
    hidden = trunk.hidden_states(Role.POLICY, batch)
    logprobs, entropy = trunk.logprobs_and_entropy_from(hidden, Role.POLICY, batch, temperature)
    reference = trunk.token_logprobs(Role.REFERENCE, batch, temperature)
    if Role.CRITIC in trunk.heads:
        values = trunk.token_values(Role.CRITIC, batch)
    elif Role.POLICY in trunk.heads:
        values = trunk.values_from(hidden, Role.POLICY, batch)
    else:
        values = torch.zeros_like(logprobs)
    # In one tensor, so that the host waits for the device once.
    return torch.stack([logprobs, entropy, logprobs - reference, values.float()])
