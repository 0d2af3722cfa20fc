"""The answers of one step of an online training: the next prompts, their answers, their scores.

With dynamic sampling (arXiv:2503.14476, section 3.2) a step goes on to further prompts until enough
of them have answers that differ in score.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import torch
from torch import Tensor

from rlhf_core.algorithms.losses.groups import differing_groups, overlong_penalties
from rlhf_core.algorithms.optimisation import endless_steps
from rlhf_core.algorithms.policy_update import OnlineTraining
from rlhf_core.algorithms.rewards import Reward, Rewards, as_rewards, join_rewards
from rlhf_core.algorithms.rollouts import Rollout, cap_unfinished_scores, roll_out
from rlhf_core.config.training import GRPOSettings
from rlhf_core.identity import seed_from
from rlhf_core.models.trunk import Role

logger = logging.getLogger(__name__)


class PromptStream:
    """Prompts in an endless, shuffled order; each is used once before any is used again.

    Args:
        prompts: Tokens of each prompt.
        seed: Seed of the order.
        taken: Number of prompts that were taken before.
    """

    def __init__(self, prompts: Sequence[Sequence[int]], seed: int, taken: int = 0) -> None:
        self.prompts = prompts
        self.seed = seed
        self.taken = taken
        """Number of prompts taken so far."""
        order = chain.from_iterable(endless_steps(len(prompts), 1, seed))
        self._rest = islice(order, taken, None)

    def take(self, count: int) -> list[int]:
        """Return the indices of the next prompts."""
        self.taken += count
        return list(islice(self._rest, count))


@dataclass(frozen=True)
class DrawnAnswers:
    """The N answers of one step, those to one prompt side by side, and their scores."""

    rollouts: list[Rollout]
    rewards: Rewards
    scores: Tensor
    """Rewards after all limits and penalties; NaN for an unscored answer, (N,)."""
    is_learnable: Tensor
    """True for answers to learn from, which are scored and in no dropped group, (N,)."""
    rounds: int
    """Rounds of sampling."""


def draw_answers(
    training: OnlineTraining, prompts: PromptStream, reward: Reward, step: int
) -> DrawnAnswers:
    """Sample and score the answers of one step.

    Args:
        training: State of the training.
        prompts: Stream that the step's prompts are taken from.
        reward: Scores a batch of rollouts.
        step: Number of the step, on which the seeds of the answers depend.

    Returns:
        The answers of all rounds of sampling, also those that are not learnt from.
    """
    settings = training.settings
    samples, wanted = settings.samples_per_prompt, settings.prompts_per_step
    rollouts: list[Rollout] = []
    batches: list[Rewards] = []
    missing = wanted
    while missing > 0 and len(batches) < settings.sampling_rounds:
        place, chosen = len(rollouts) // samples, prompts.take(missing)
        seeds = [
            [seed_from(prompts.seed, step, place + offset, n) for n in range(samples)]
            for offset in range(missing)
        ]
        new = roll_out(
            training.trunk,
            prompts.prompts,
            chosen,
            seeds,
            training.sampling,
            Role.POLICY,
            training.sampler,
        )
        batches.append(as_rewards(reward(new)))
        rollouts += new
        rewards = join_rewards(batches)
        scores = _scores(training, rollouts, rewards)
        is_learnable = _learnable(training, scores)
        missing = wanted - int(is_learnable.view(-1, samples).any(dim=1).sum())
    return DrawnAnswers(rollouts, rewards, scores, is_learnable, len(batches))


def group_metrics(training: OnlineTraining, drawn: DrawnAnswers) -> dict[str, float]:
    """Return GRPO's metrics of a step's groups and lengths; other algorithms have none."""
    settings = training.settings
    if not isinstance(settings, GRPOSettings):
        return {}
    differs = differing_groups(drawn.scores, settings.samples_per_prompt)
    metrics = {"groups_without_variance": 1 - differs.float().mean().item()}
    if settings.drops_equal_groups:
        learnt, wanted = int(differs.sum()), settings.prompts_per_step
        metrics |= {"groups_learnt": float(learnt), "sampling_rounds": float(drawn.rounds)}
        if learnt < wanted:
            logger.warning(
                "only %d of %d prompts have answers that differ in score, after %d rounds of "
                "sampling and %d prompts: the step learns from those",
                learnt,
                wanted,
                drawn.rounds,
                len(differs),
            )
    if settings.overlong_buffer is not None:
        penalties = _overlong(training, drawn.rollouts, settings.overlong_buffer)
        metrics["overlong"] = (penalties < 0).float().mean().item()
    return metrics


def _scores(training: OnlineTraining, rollouts: Sequence[Rollout], rewards: Rewards) -> Tensor:
    """Return the scores of some answers: rewards, clipped, less what their lengths cost, (N,)."""
    settings, scores = training.settings, rewards.total
    if settings.clip_score is not None:
        scores = scores.clamp(-settings.clip_score, settings.clip_score)
    if isinstance(settings, GRPOSettings) and settings.overlong_buffer is not None:
        scores = scores + _overlong(training, rollouts, settings.overlong_buffer)
    return cap_unfinished_scores(scores, rollouts, settings.missing_eos_score)


def _overlong(training: OnlineTraining, rollouts: Sequence[Rollout], buffer: int) -> Tensor:
    lengths = torch.tensor([len(rollout.tokens.response_ids) for rollout in rollouts])
    return overlong_penalties(lengths, training.sampling.max_new_tokens, buffer)


def _learnable(training: OnlineTraining, scores: Tensor) -> Tensor:
    """Return a mask of the answers to learn from, (N,)."""
    settings, is_scored = training.settings, ~scores.isnan()
    if not settings.drops_equal_groups:
        return is_scored
    differs = differing_groups(scores, settings.samples_per_prompt)
    return is_scored & differs.repeat_interleave(settings.samples_per_prompt)
