"""Fine-tuning on the best of n answers by a reward (arXiv:2304.06767).

All answers are drawn before the first update, so they are the initial policy's. The training
imitates its best-of-n distribution, whose KL from the initial policy is bounded beforehand.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import (
    NO_CHECKPOINTS,
    Checkpoints,
    DrawnSequences,
    TrainingState,
    remaining_steps,
)
from rlhf_core.algorithms.memory import run_within_memory
from rlhf_core.algorithms.optimisation import (
    TrainingStep,
    Updater,
    ordered_steps,
    shuffled_steps,
    step_count,
)
from rlhf_core.algorithms.rewards import Reward, as_rewards, reward_metrics, rollout_step
from rlhf_core.algorithms.rollouts import (
    Rollout,
    cap_unfinished_scores,
    finished_mask,
    roll_out,
    unscored_shares,
)
from rlhf_core.algorithms.scoring import sequence_logprobs
from rlhf_core.algorithms.sft import accumulate_likelihood
from rlhf_core.config.training import BestOfNSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.distributed.ranks import all_reduce_number
from rlhf_core.errors import TrainingError
from rlhf_core.identity import seed_from
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.sampler import LOCAL, Sampler

NOTHING_TO_LEARN = (
    "none of {} prompts has an answer that ended and has a score, so there is nothing to learn "
    "from; raise sampling.max_new_tokens, or look at `SELECT finish_reason, count(*), count(score) "
    "FROM rollouts GROUP BY finish_reason`"
)


def best_of_n_kl(n: int) -> float:
    """Return an upper bound on the KL of the best of n answers from one answer, in nats.

    log n − (n−1)/n (arXiv:2112.09332, section 3.3); the bound is met if no two answers score equal.
    """
    return math.log(n) - (n - 1) / n


def train_best_of_n(
    trunk: Trunk,
    prompts: Sequence[Sequence[int]],
    reward: Reward,
    settings: BestOfNSettings,
    sampling: SamplingSettings,
    seed: int,
    checkpoints: Checkpoints = NO_CHECKPOINTS,
    sampler: Sampler = LOCAL,
) -> Iterator[TrainingStep]:
    """Draw answers to all prompts, then fine-tune the policy role on the best answer to each.

    Args:
        trunk: Holds the policy role.
        prompts: Tokens of each prompt.
        reward: Scores a batch of rollouts.
        settings: Settings of the training.
        sampling: Temperature and length of the answers.
        seed: Seed of all answers, of the order of the updates and of the adapters' dropout.
        checkpoints: A checkpoint in them is resumed, in the drawing phase or after it.
        sampler: Samples the answers.

    Yields:
        A step for each batch of answers, and one for each update.

    Raises:
        TrainingError: If a number is not finite, the reference changed, or no answer can be learnt.
    """
    trunk.require_reference()
    per_step = settings.prompts_per_step
    draws, updates = (step_count(len(prompts), per_step, n) for n in (1, settings.epochs))
    best = DrawnSequences()
    parameters = trunk.parameters(Role.POLICY)
    updater = Updater(parameters, settings.learning_rate, updates, settings.max_grad_norm)
    state = TrainingState({Role.POLICY: updater, "best": best})
    done, _ = checkpoints.resume(state)
    for step, chosen in remaining_steps(ordered_steps(len(prompts), per_step), done):
        seeds = [[seed_from(seed, index, n) for n in range(settings.n)] for index in chosen]
        rollouts = roll_out(trunk, prompts, chosen, seeds, sampling, Role.POLICY, sampler)
        rewards = as_rewards(reward(rollouts))
        scores = cap_unfinished_scores(rewards.total, rollouts, settings.missing_eos_score)
        kept = _best(rollouts, scores, settings.n, settings.missing_eos_score is not None)
        best += kept
        metrics = _describe(rollouts, scores, settings.n, len(kept)) | reward_metrics(rewards)
        kl = _distances(trunk, rollouts, sampling.temperature)
        yield rollout_step(step, draws + updates, metrics, rollouts, scores, kl, rewards)
        checkpoints.save(step, state)
    if not best:
        raise TrainingError(NOTHING_TO_LEARN.format(len(prompts)))
    updates = updater.steps = step_count(len(best), per_step, settings.epochs)
    order = shuffled_steps(len(best), per_step, settings.epochs, seed)
    for update, rows in remaining_steps(order, done - draws):
        masks = seed_from(seed, "dropout", update)
        metrics = _imitate(trunk, updater, [best[row] for row in rows], masks)
        yield TrainingStep(draws + update, draws + updates, metrics)
        checkpoints.save(draws + update, state)


def _imitate(
    trunk: Trunk, updater: Updater, answers: Sequence[TokenSequence], dropout_seed: int
) -> dict[str, float]:
    """Make one optimizer step towards some answers and return its metrics."""
    accumulate = partial(
        accumulate_likelihood, trunk, Role.POLICY, answers, dropout_seed=dropout_seed
    )
    loss = all_reduce_number(run_within_memory(trunk, accumulate, [updater]))
    norm, learning_rate = updater.step()
    return {"loss": loss, "grad_norm": norm, "learning_rate": learning_rate}


def _best(
    rollouts: Sequence[Rollout], scores: Tensor, n: int, must_end: bool = True
) -> list[TokenSequence]:
    """Return the highest-scoring answer to each prompt that has one to learn from.

    Args:
        rollouts: B answers, those to one prompt side by side.
        scores: Score of each answer, NaN without one, (B,).
        n: Number of answers to each prompt.
        must_end: True to never learn an answer that was cut off, which would teach not to end.
    """
    is_learnable = ~scores.isnan() & (finished_mask(rollouts) | (not must_end))
    known = torch.where(is_learnable, scores, -math.inf).view(-1, n)
    return [
        rollouts[prompt * n + int(own.argmax())].tokens
        for prompt, own in enumerate(known)
        if own.max() > -math.inf
    ]


def _distances(trunk: Trunk, rollouts: Sequence[Rollout], temperature: float) -> Tensor:
    """Return log π − log π_reference of each answer, (B,); not 0 if a policy is resumed."""
    sequences = [rollout.tokens for rollout in rollouts]
    # Both from the same kind of pass, since in bf16 the sampling pass is rounded differently.
    policy, reference = (
        sequence_logprobs(trunk, role, sequences, temperature)
        for role in (Role.POLICY, Role.REFERENCE)
    )
    return policy - reference


def _describe(rollouts: Sequence[Rollout], scores: Tensor, n: int, learnt: int) -> dict[str, float]:
    """Return the metrics of a batch of answers, of which `learnt` were chosen to be learnt."""
    prompts = len(rollouts) // n
    metrics = {
        "kl_bound": best_of_n_kl(n),
        "eos_rate": finished_mask(rollouts).float().mean().item(),
        "left_out": 1 - learnt / prompts,
        **unscored_shares(scores, rollouts),
    }
    is_scored = ~scores.isnan()
    if is_scored.any():
        highest = torch.where(is_scored, scores, -math.inf).view(-1, n).amax(dim=1)
        metrics["score"] = scores[is_scored].mean().item()
        metrics["best_score"] = highest[highest > -math.inf].mean().item()
    return metrics
