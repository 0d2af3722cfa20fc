"""The guard on the signs of a reward model: its heads part, answers are new to it, a part leads."""

from dataclasses import replace
from random import Random

import pytest

from rlhf_core.guard.answers import GuardedAnswer
from rlhf_core.guard.dominance import DOMINANT_PART
from rlhf_core.guard.monitor import Alarm, Guard
from rlhf_core.guard.thresholds import Schedule
from tests.rlhf_core.guard.policies import Policy, baseline

SCHEDULE = Schedule(steps=8, prompts=8, samples=4, window=2)


def signed(answers: list[GuardedAnswer], rng: Random, shift: float, gain: float = 0.0):
    """Answers whose signs are normal about 1 + shift; the part style adds as much."""
    return [
        replace(
            answer,
            disagreement=abs(rng.gauss(1 + shift, 0.2)),
            distance=abs(rng.gauss(1 + shift, 0.2)),
            addends={"style": rng.gauss(shift, 0.2), "facts": rng.gauss(0, 0.2)},
            held_out_gain=gain,
        )
        for answer in answers
    ]


@pytest.fixture(scope="module")
def guard() -> Guard:
    usual = signed(baseline(Random(0), 48, 4), Random(1), 0)
    return Guard(usual, SCHEDULE, 0.05, parts=2)


def alarms(guard: Guard, growth: float, gain: float = 0.0, seed: int = 7) -> list[Alarm]:
    """All alarms of a training in which the signs grow by so much a step."""
    guard.restart()
    rng, raised = Random(seed), []
    for step in range(1, SCHEDULE.steps + 1):
        drawn = Policy().step(rng, step, rng.sample(range(48), 8), 4)
        look = guard.observe(signed(drawn, rng, growth * (step - 1), gain))
        raised += look.alarms if look else ()
    return raised


def test_signs_that_grow_without_a_gain_are_alarms(guard: Guard):
    raised = alarms(guard, 0.2)
    assert {alarm.detector for alarm in raised} == {"disagreement", "distance", DOMINANT_PART}
    (reason, *_) = [alarm.reason for alarm in raised if alarm.detector == DOMINANT_PART]
    assert "'style' explains" in reason
    assert "no better" in reason


def test_the_evidence_is_the_answers_to_which_the_part_adds_most(guard: Guard):
    last = [alarm for alarm in alarms(guard, 0.2) if alarm.detector == DOMINANT_PART][-1]
    window = [*guard.answers(SCHEDULE.steps - 1), *guard.answers(SCHEDULE.steps)]
    wanted = sorted(window, key=lambda answer: -answer.addends["style"])[:8]
    assert last.evidence == tuple(answer.id for answer in wanted)


def test_signs_that_grow_with_a_gain_are_none(guard: Guard):
    assert alarms(guard, 0.2, gain=0.1) == []


def test_signs_that_stay_are_none(guard: Guard):
    assert [alarm for seed in range(4) for alarm in alarms(guard, 0.0, seed=seed)] == []


def test_a_sign_that_no_baseline_answer_has_takes_no_part_of_the_rate(guard: Guard):
    """Three thresholds more: of two signs, and of the leading part."""
    plain = Guard(baseline(Random(0), 4, 2), Schedule(1, 2, 2, 1), 0.05)
    assert not {"disagreement", "distance"} & set(plain.thresholds)
    assert 0.05 / guard.rate == pytest.approx(0.05 / plain.rate + 3)
