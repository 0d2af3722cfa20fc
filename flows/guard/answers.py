"""Rows of the store as the guard reads them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

from rlhf_core.algorithms.reward_reader import DISAGREEMENT, DISTANCE
from rlhf_core.config.training import RewardSettings
from rlhf_core.guard.answers import GuardedAnswer
from rlhf_core.records import PROXY, Candidate, Mode, Prompt, RolloutRecord

Signs = Mapping[str, Mapping[str, float]]
"""Signs of answers by candidate id, then by name (rlhf_core/algorithms/reward_reader.py)."""

IN_TRAINING = "rollout"
"""Value of `sampling` of candidates that are answers of a training."""


def guarded_candidates(
    candidates: Iterable[Candidate], prompts: Mapping[str, Prompt], signs: Signs
) -> list[GuardedAnswer]:
    """Return candidates as the guard reads them.

    Args:
        candidates: Answers of one model.
        prompts: Their prompts, by id.
        signs: What the reward model shows of them; none of an answer that it has not read.
    """
    return [
        GuardedAnswer(
            candidate.id,
            candidate.prompt_id,
            prompts[candidate.prompt_id].instruction,
            candidate.text,
            candidate.completion_tokens,
            math.nan if candidate.logprobs is None else -sum(candidate.logprobs),
            disagreement=signs.get(candidate.id, {}).get(DISAGREEMENT, math.nan),
            distance=signs.get(candidate.id, {}).get(DISTANCE, math.nan),
        )
        for candidate in candidates
    ]


def guarded_rollouts(
    rollouts: Sequence[RolloutRecord],
    prompts: Mapping[str, Prompt],
    entropy: float,
    gains: Sequence[float],
    reward: RewardSettings,
) -> list[GuardedAnswer]:
    """Return the answers of one step of a training as the guard reads them.

    Args:
        rollouts: The answers.
        prompts: Their prompts, by id.
        entropy: Mean entropy of the step, in nats a token; it stands for the surprisal of each
            answer, which is its estimate.
        gains: The held-out judge's gain of each answer.
        reward: The reward that scored them.
    """
    return [
        GuardedAnswer(
            rollout.id,
            rollout.prompt_id,
            prompts[rollout.prompt_id].instruction,
            rollout.text or "",
            rollout.completion_tokens,
            entropy * rollout.completion_tokens,
            _or_nan(rollout.score),
            rollout.kl,
            gain,
            _addends(rollout, prompts[rollout.prompt_id].mode, reward),
            _or_nan(rollout.disagreement),
            _or_nan(rollout.distance),
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


def reward_parts(reward: RewardSettings) -> dict[str, tuple[float, frozenset[Mode]]]:
    """Return the weight of each part of a reward, and the modes that it applies to, by name."""
    parts = {judge.name: (judge.weight, frozenset(judge.modes)) for judge in reward.judges}
    parts[PROXY] = (reward.reward_model, frozenset(Mode))
    return {name: part for name, part in parts.items() if part[0] > 0}


def _addends(rollout: RolloutRecord, mode: Mode, reward: RewardSettings) -> dict[str, float]:
    """Return what each part adds to the reward of an answer; nothing if one has no score."""
    scores: dict[str, float] = json.loads(rollout.parts or "{}")
    parts = reward_parts(reward)
    if any(mode in modes and name not in scores for name, (_, modes) in parts.items()):
        return {}
    return {
        name: weight * scores[name] if mode in modes else 0.0
        for name, (weight, modes) in parts.items()
    }


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else number
