"""The guard before promotion: the detectors on held-out answers, and judges that were misled."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flows.guard.answers import Signs, guarded_candidates
from rlhf_core.config import Config
from rlhf_core.evaluation.exploitation import judges_misled
from rlhf_core.evaluation.promotion import EVEN
from rlhf_core.guard.monitor import Alarm, Guard, Look
from rlhf_core.guard.thresholds import Schedule
from rlhf_core.records import PROXY, Candidate, Evaluation, Prompt

Answers = Mapping[str, Sequence[Candidate]]
MISLED = "misled"
"""A misled judge raises the alarm `misled_NAME`."""


def look_before_promotion(
    config: Config,
    prompts: Sequence[Prompt],
    policy: Answers,
    baseline: Answers,
    evaluations: Sequence[Evaluation],
    trained_on: Sequence[Evaluation],
    signs: Signs,
) -> Look:
    """Return the guard's look at the held-out answers of a policy, beside those of its baseline.

    The thresholds come from the baseline's answers, resampled by prompt. The held-out judge is the
    one that decides; its gain is the win rate less one half.

    Args:
        config: Config of the run.
        prompts: The held-out prompts; at least one was answered.
        policy: Answers of the policy, by prompt id.
        baseline: Answers of the baseline, by prompt id.
        evaluations: All evaluations of these answers, the deciding one first.
        trained_on: Those by the reward model and the judges that the policy was trained on.
        signs: What the reward model shows of both sides' answers beside its scores.
    """
    deciding, by_id = evaluations[0], {prompt.id: prompt for prompt in prompts}
    gain = math.nan if deciding.win_rate is None else deciding.win_rate - EVEN
    samples = config.evaluation.samples_per_prompt
    usual = guarded_candidates((c for group in baseline.values() for c in group), by_id, signs)
    guard = Guard(usual, Schedule(1, len(prompts), samples, 1), config.guard.false_alarms)
    answers = guarded_candidates((c for group in policy.values() for c in group), by_id, signs)
    look = guard.observe([replace(each, held_out_gain=gain, kl=deciding.kl) for each in answers])
    assert look is not None, "the only step is tested"
    misled = [_misled(each, deciding) for each in judges_misled(deciding, trained_on)]
    return replace(look, reward_gain=_reward_gain(evaluations), alarms=(*look.alarms, *misled))


def _misled(judge: Evaluation, deciding: Evaluation) -> Alarm:
    assert judge.win_rate_low is not None, "a judge without an opinion is not misled"
    reason = (
        f"{MISLED}: {judge.judge!r}, which the policy was trained on, is sure that it wins "
        f"(at least {judge.win_rate_low:.1%}), and by {deciding.judge!r} it wins "
        f"{deciding.win_rate:.1%}"
    )
    return Alarm(f"{MISLED}_{judge.judge}", judge.win_rate_low, EVEN, reason, ())


def _reward_gain(evaluations: Sequence[Evaluation]) -> float | None:
    """Return the reward model's mean score of the policy less that of the baseline."""
    for each in evaluations:
        if each.role == PROXY and None not in (each.policy_score, each.baseline_score):
            return float(each.policy_score or 0) - float(each.baseline_score or 0)
    return None
