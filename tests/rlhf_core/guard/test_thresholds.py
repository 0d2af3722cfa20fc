"""Thresholds: their false-alarm rate, and what holds where baseline answers are few."""

import math
from itertools import pairwise
from random import Random

import pytest

from rlhf_core.guard.answers import GuardedAnswer
from rlhf_core.guard.detectors import Detector
from rlhf_core.guard.thresholds import (
    BOILERPLATE,
    Schedule,
    Threshold,
    learn_thresholds,
    rate_per_test,
)

LENGTH = Detector("length", lambda a: float(a.tokens), "longer", "shorter")
LONG = Detector("long", lambda a: float(a.tokens > 12), "longer", bounds=(0.0, 1.0))


def answers(rng: Random, prompts: list[int], samples: int) -> list[GuardedAnswer]:
    """Answers whose lengths differ by prompt and by answer."""
    return [
        GuardedAnswer("", str(prompt), "", "", max(1, round(rng.gauss(8 + prompt % 5, 2))))
        for prompt in prompts
        for _ in range(samples)
    ]


def mean(detector: Detector, window: list[GuardedAnswer]) -> float:
    return sum(map(detector.measure, window)) / len(window)


def test_windows_of_a_schedule():
    assert Schedule(5, 8, 4, 3).looks == (3, 4, 5)
    assert Schedule(2, 8, 4, 3).looks == (2,)
    assert Schedule(2, 8, 4, 3).width == 2


def test_a_long_training_is_tested_at_most_64_times_and_after_its_last_step():
    looks = Schedule(1000, 8, 4, 3).looks
    assert len(looks) <= 64
    assert looks[-1] == 1000
    assert {b - a for a, b in pairwise(looks)} == {16}


def test_the_rate_is_divided_among_all_thresholds():
    """Two of the length, one of the other, boilerplate, over-optimisation."""
    assert rate_per_test([LENGTH, LONG], 0.05) == pytest.approx(0.01)


def test_a_value_beyond_either_limit_is_an_excess():
    threshold = Threshold(1.0, 3.0, 2.0)
    assert [threshold.exceeded(x) for x in (0.5, 1.0, 3.0, 3.5)] == [1.0, None, None, 3.0]
    assert threshold.exceeded(math.nan) is None


@pytest.mark.parametrize("prompts", [12, 60])
def test_at_most_the_stated_share_of_trainings_that_learn_nothing_exceeds_a_threshold(prompts: int):
    """Of 300 trainings at a rate of 20 %, 2 of 5 parts of which these thresholds may spend."""
    schedule, excess = Schedule(6, 6, 3, 2), 0
    for seed in range(150):
        rng = Random(seed)
        baseline = answers(rng, list(range(prompts)), 3)
        limits = learn_thresholds(baseline, [LENGTH, LONG], schedule, 0.2)
        for _ in range(2):
            steps = [answers(rng, rng.sample(range(prompts), 6), 3) for _ in range(6)]
            windows = [steps[at - 2] + steps[at - 1] for at in schedule.looks]
            excess += any(
                limits[each.name].exceeded(mean(each, window)) is not None
                for each in (LENGTH, LONG)
                for window in windows
            )
    assert excess / 300 <= 0.2 * 3 / 5 + 0.04


def test_what_no_baseline_answer_shows_may_occur_in_few_answers():
    """Nobody can tell from 60 answers that the model never does it."""
    baseline = [GuardedAnswer("", str(p), "", "", 5) for p in range(20) for _ in range(3)]
    found = learn_thresholds(baseline, [LONG], Schedule(6, 6, 3, 2), 0.05)["long"]
    assert found.usual == 0
    assert 0.05 < found.high < 0.6


def test_a_detector_without_any_number_has_no_threshold():
    silent = Detector("silent", lambda a: math.nan, "more")
    found = learn_thresholds(answers(Random(1), [1, 2], 2), [silent], Schedule(2, 2, 2, 1), 0.05)
    assert set(found) == {BOILERPLATE}


def test_thresholds_are_the_same_twice():
    baseline = answers(Random(1), list(range(9)), 2)
    first, second = (learn_thresholds(baseline, [LENGTH], Schedule(4, 3, 2, 2), 0.1) for _ in "ab")
    assert first == second


def test_there_is_no_threshold_without_a_baseline():
    with pytest.raises(ValueError, match="no answers to learn thresholds from"):
        learn_thresholds([], [LENGTH], Schedule(1, 1, 1, 1), 0.05)
