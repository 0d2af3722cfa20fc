"""The guard on simulated policies: ten planted hacks, and trainings that learn honestly or nothing.

tests/benchmarks/guard.py plants the same hacks in the reward of a real training.
"""

from dataclasses import replace
from random import Random

import pytest

from rlhf_core.guard.answers import GuardedAnswer
from rlhf_core.guard.monitor import OVEROPTIMISED, Guard, Look
from rlhf_core.guard.thresholds import Schedule
from tests.rlhf_core.guard.policies import HACKS, Policy, baseline, guarded

PROMPTS, SAMPLES, STEPS = 64, 4, 12
CATCHES = {
    "longer": "length",
    "shorter": "length",
    "magic phrase": "boilerplate",
    "repetition": "repetition",
    "flattery": "aimed_at_judge",
    "forged verdict": "aimed_at_judge",
    "topic": "boilerplate",
    "format": "markup",
    "language": "language",
    "refusal": "refusal",
}
SPEED = 0.08
"""Share of the answers that a hack takes over in each step."""
WORSE = -0.01


@pytest.fixture(scope="module")
def guard() -> Guard:
    return Guard(baseline(Random(0), PROMPTS, SAMPLES), Schedule(STEPS, 8, SAMPLES, 3), 0.05)


def looks(guard: Guard, policy: Policy, seed: int) -> list[Look]:
    """All looks at a training; each starts from the same thresholds."""
    guard.restart()
    rng, order, found = Random(seed), list[int](), []
    for step in range(1, STEPS + 1):
        if len(order) < 8:
            order = rng.sample(range(PROMPTS), PROMPTS)
        prompts, order = order[:8], order[8:]
        look = guard.observe(policy.step(rng, step, prompts, SAMPLES))
        found += [look] if look else []
    return found


def first_alarm(found: list[Look]) -> Look | None:
    return next((look for look in found if look.alarms), None)


@pytest.mark.parametrize("hack", HACKS)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_planted_hack_is_caught_by_its_detector(guard: Guard, hack: str, seed: int):
    look = first_alarm(looks(guard, Policy(HACKS[hack], SPEED, WORSE), seed))
    assert look is not None
    assert CATCHES[hack] in {alarm.detector for alarm in look.alarms}


@pytest.mark.slow
def test_at_most_one_alarm_in_twenty_trainings_that_learn_nothing(guard: Guard):
    found = [looks(guard, Policy(), seed) for seed in range(100, 120)]
    assert sum(first_alarm(each) is not None for each in found) <= 1


def test_at_most_one_alarm_in_twenty_trainings_that_drift_and_become_better(guard: Guard):
    """Longer answers that the held-out judge likes: length leaves its range, and no alarm rises."""
    better = Policy(HACKS["longer"], SPEED, 0.04)
    found = [looks(guard, better, seed) for seed in range(200, 220)]
    assert any(look.values["length"] > guard.thresholds["length"].high for look in found[0])
    assert sum(first_alarm(each) is not None for each in found) <= 1


def test_text_aimed_at_the_judge_is_an_alarm_whatever_the_judge_says(guard: Guard):
    look = first_alarm(looks(guard, Policy(HACKS["flattery"], SPEED, 0.1), 3))
    assert look is not None
    assert look.held_out_gain is not None
    assert look.held_out_gain > 0
    assert [alarm.detector for alarm in look.alarms] == ["aimed_at_judge"]


def test_drift_without_an_opinion_of_the_judge_is_an_alarm(guard: Guard):
    """Nobody says that the answers are better."""
    guard.restart()
    longer = Policy(HACKS["longer"], 1.0)
    prompts = list(range(8))
    for step in (1, 2, 3, 4):
        answers = longer.step(Random(step), step, prompts, SAMPLES)
        look = guard.observe([replace(a, held_out_gain=float("nan")) for a in answers])
    assert look is not None
    assert look.held_out_gain is None
    (alarm,) = look.alarms
    assert alarm.detector == "length"
    assert alarm.value > alarm.threshold
    assert "the held-out judge has no opinion" in alarm.reason


def test_an_alarm_names_the_answers_that_show_it_best(guard: Guard):
    look = first_alarm(looks(guard, Policy(HACKS["longer"], SPEED, WORSE), 1))
    assert look is not None
    tokens = {a.id: a.tokens for at in (2, 1, 0) for a in guard.answers(look.step - at)}
    assert [tokens[id] for id in look.alarms[0].evidence] == sorted(tokens.values())[:-9:-1]


def test_the_reason_quotes_the_boilerplate(guard: Guard):
    look = first_alarm(looks(guard, Policy(HACKS["magic phrase"], SPEED, WORSE), 1))
    assert look is not None
    (alarm,) = [a for a in look.alarms if a.detector == "boilerplate"]
    assert "shining example" in alarm.reason


def test_gains_are_measured_from_the_first_step(guard: Guard):
    guard.restart()
    for reward in (1.0, 2.0, 6.0):
        answers = [replace(a, reward=reward, held_out_gain=0.5, kl=reward) for a in _usual(reward)]
        look = guard.observe(answers)
    assert look is not None
    assert look.reward_gain == pytest.approx(3.0 - 1.0)
    assert look.held_out_gain == pytest.approx(0.5)
    assert look.kl == pytest.approx(3.0)


def test_a_reward_that_rises_while_the_held_out_score_falls_is_over_optimisation(guard: Guard):
    """The answers read as before; the score rises to 0.6 and falls to 0.2, still a gain."""
    guard.restart()
    gains = [0.0, 0.3, 0.6, 0.6, 0.6, 0.5, 0.4, 0.2, 0.2, 0.2]
    raised = []
    for step, gain in enumerate(gains, start=1):
        rng = Random(step)
        look = guard.observe(
            [
                replace(a, reward=rng.gauss(step, 0.1), held_out_gain=rng.gauss(gain, 0.05))
                for a in _usual(step)
            ]
        )
        raised += [(step, a) for a in (look.alarms if look else ())]
    assert {a.detector for _, a in raised} == {OVEROPTIMISED}
    step, alarm = raised[0]
    assert step in (8, 9)
    assert "since step 5" in alarm.reason
    assert alarm.value < alarm.threshold


def test_a_score_that_falls_while_the_reward_stays_is_no_over_optimisation(guard: Guard):
    guard.restart()
    for step, gain in enumerate([0.6] * 5 + [0.1] * 5, start=1):
        rng = Random(step)
        look = guard.observe(
            [replace(a, reward=rng.gauss(0, 0.1), held_out_gain=gain) for a in _usual(step)]
        )
        assert look is None or not look.alarms


def _usual(seed: float) -> list[GuardedAnswer]:
    return Policy().step(Random(seed), 1, list(range(8)), SAMPLES)


def test_answers_of_the_first_policy_are_like_the_baseline():
    """The simulated policy starts as the model of the baseline, or every test here is void."""
    one = guarded("", 1, "The end.", Random(1))
    assert (one.prompt_id, one.tokens) == ("prompt 0001", 3)
