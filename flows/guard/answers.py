"""Rows of the store as the guard reads them."""

import math
from collections.abc import Iterable, Mapping, Sequence

from rlhf_core.guard.answers import GuardedAnswer
from rlhf_core.records import Candidate, Prompt, RolloutRecord

IN_TRAINING = "rollout"
"""Value of `sampling` of candidates that are answers of a training."""


def guarded_candidates(
    candidates: Iterable[Candidate], prompts: Mapping[str, Prompt]
) -> list[GuardedAnswer]:
    """Return candidates as the guard reads them.

    Args:
        candidates: Answers of one model.
        prompts: Their prompts, by id.
    """
    return [
        GuardedAnswer(
            candidate.id,
            candidate.prompt_id,
            prompts[candidate.prompt_id].instruction,
            candidate.text,
            candidate.completion_tokens,
            math.nan if candidate.logprobs is None else -sum(candidate.logprobs),
        )
        for candidate in candidates
    ]


def guarded_rollouts(
    rollouts: Sequence[RolloutRecord],
    prompts: Mapping[str, Prompt],
    entropy: float,
    gains: Sequence[float],
) -> list[GuardedAnswer]:
    """Return the answers of one step of a training as the guard reads them.

    Args:
        rollouts: The answers.
        prompts: Their prompts, by id.
        entropy: Mean entropy of the step, in nats a token; it stands for the surprisal of each
            answer, which is its estimate.
        gains: The held-out judge's gain of each answer.
    """
    return [
        GuardedAnswer(
            rollout.id,
            rollout.prompt_id,
            prompts[rollout.prompt_id].instruction,
            rollout.text or "",
            rollout.completion_tokens,
            entropy * rollout.completion_tokens,
            math.nan if rollout.score is None else rollout.score,
            rollout.kl,
            gain,
        )
        for rollout, gain in zip(rollouts, gains, strict=True)
    ]


def as_candidate(rollout: RolloutRecord) -> Candidate:
    """Return an answer of a training as a candidate, which judges are shown and rankings hold."""
    return Candidate(
        prompt_id=rollout.prompt_id,
        model_id=rollout.model_id,
        sampling=IN_TRAINING,
        temperature=1.0,
        max_new_tokens=rollout.completion_tokens,
        seed=rollout.step,
        sample_index=-1 - rollout.row,  # before every baseline answer: forward shows it first
        text=rollout.text or "",
        finish_reason=rollout.finish_reason,
        prompt_tokens=0,
        completion_tokens=rollout.completion_tokens,
    )
