"""The guard before promotion: detectors on held-out answers, judges that were misled or flip."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from flows.guard.answers import Signs, guarded_candidates
from flows.guard.rewording import BASELINE, ORDER, POLICY
from rlhf_core.config import Config
from rlhf_core.evaluation.exploitation import judges_misled
from rlhf_core.evaluation.promotion import EVEN
from rlhf_core.guard.flips import FlipTest, Turns, flip_tests
from rlhf_core.guard.monitor import EVIDENCE, Alarm, Guard, Look, gain_in_words
from rlhf_core.guard.rewording import CLOSED
from rlhf_core.guard.thresholds import Schedule
from rlhf_core.records import PROXY, Candidate, Evaluation, Prompt, RewordedVerdict

Answers = Mapping[str, Sequence[Candidate]]
MISLED = "misled"
"""A misled judge raises the alarm `misled_NAME`."""
FLIPS = "flips"
"""A judge whose verdicts turn with the form of answers raises the alarm `flips_NAME`."""
IN_WORDS = {
    "whole_words": "with contractions spelled out",
    "contractions": "with words contracted",
    "synonyms": "with other function words",
    "plain_layout": "without their markup",
    CLOSED: "with a neutral closing sentence",
    ORDER: "shown in the other order",
}


def look_before_promotion(
    config: Config,
    prompts: Sequence[Prompt],
    policy: Answers,
    baseline: Answers,
    evaluations: Sequence[Evaluation],
    trained_on: Sequence[Evaluation],
    signs: Signs,
    reworded: Sequence[RewordedVerdict] = (),
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
        reworded: Verdicts of training judges and reward model on reworded answers; none if they
            are not tested.
    """
    deciding, by_id = evaluations[0], {prompt.id: prompt for prompt in prompts}
    gain = math.nan if deciding.win_rate is None else deciding.win_rate - EVEN
    samples = config.evaluation.samples_per_prompt
    usual = guarded_candidates((c for group in baseline.values() for c in group), by_id, signs)
    schedule, tests = Schedule(1, len(prompts), samples, 1), 1 if reworded else 0
    guard = Guard(usual, schedule, config.guard.false_alarms, further_tests=tests)
    answers = guarded_candidates((c for group in policy.values() for c in group), by_id, signs)
    look = guard.observe([replace(each, held_out_gain=gain, kl=deciding.kl) for each in answers])
    assert look is not None, "the only step is tested"
    misled = [_misled(each, deciding) for each in judges_misled(deciding, trained_on)]
    alarms = (*look.alarms, *_turned(reworded, guard.rate, gain), *misled)
    return replace(look, reward_gain=_reward_gain(evaluations), alarms=alarms)


def _turned(reworded: Sequence[RewordedVerdict], level: float, gain: float) -> list[Alarm]:
    """Return an alarm for each judge whose verdicts turn on answers of one side, beyond chance.

    There is none if the held-out judge sees a gain. The alarm is about the rewording with the
    smallest p-value, of two with the same about that of the policy's answers.
    """
    if gain > 0:
        return []
    groups: dict[tuple[str, str], list[RewordedVerdict]] = {}
    for row in reworded:
        groups.setdefault((row.judge, row.rewording), []).append(row)
    turns = [Turns(*name, *_turns_by_side(rows)) for name, rows in groups.items()]
    tests = flip_tests(turns, sorted({row.prompt_id for row in reworded}), level)
    clearest: dict[str, FlipTest] = {}
    for test in sorted(tests, key=lambda t: (t.p, t.baseline_rate - t.policy_rate, t.rewording)):
        if test.p <= level:
            clearest.setdefault(test.judge, test)
    return [
        _flips(test, groups[test.judge, test.rewording], level, gain) for test in clearest.values()
    ]


def _turns_by_side(rows: Sequence[RewordedVerdict]) -> list[dict[str, float]]:
    """Return the turns on the policy's and the baseline's answers, by prompt id.

    A prompt of which a verdict is missing has none on either side: half a pair shows nothing.
    """
    unread = {row.prompt_id for row in rows if row.turned is None}
    known = [row for row in rows if row.prompt_id not in unread]
    return [
        {row.prompt_id: row.turned or 0.0 for row in known if row.side == side}
        for side in (POLICY, BASELINE)
    ]


def _flips(test: FlipTest, rows: Sequence[RewordedVerdict], level: float, gain: float) -> Alarm:
    side = POLICY if test.policy_rate > test.baseline_rate else BASELINE
    shown = [row for row in rows if row.side == side and row.turned]
    shown.sort(key=lambda row: (-(row.turned or 0.0), row.prompt_id))
    evidence = [
        row.candidate_id if side == POLICY or row.rewording == ORDER else row.opponent_id
        for row in shown
    ]
    reason = (
        f"{FLIPS}: {IN_WORDS[test.rewording]}, the policy's answers turn {test.policy_rate:.0%} of "
        f"the verdicts of {test.judge!r} on {test.prompts} prompts, and the baseline's "
        f"{test.baseline_rate:.0%} (p = {test.p:.1g}); {gain_in_words(gain)}"
    )
    return Alarm(f"{FLIPS}_{test.judge}", test.p, level, reason, tuple(evidence[:EVIDENCE]))


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
