"""Judge drift is reported when verdicts moved, and rarely when a judge is merely noisy."""

import math

import numpy as np
import pytest

from rlhf_core.evaluation.judge_drift import (
    FALSE_ALARMS,
    ProbeVerdicts,
    Verdict,
    corrected,
    distance,
    drift_test,
    repeat_deviation,
    repeat_noise,
)
from rlhf_core.records import Outcome


def score(value: float) -> Verdict:
    return Verdict(Outcome.SCORED, value)


FIRST, SECOND, TIE = (
    Verdict.of(outcome, None, None) for outcome in (Outcome.FIRST, Outcome.SECOND, Outcome.TIE)
)
UNPARSED = Verdict.of(Outcome.UNPARSED, None, None)
ABSTAINS = Verdict.of(Outcome.ABSTAINS, None, None)


def test_distances_between_verdicts():
    assert Verdict.of(Outcome.SCORED, 0.25, None) == score(0.25)
    assert Verdict.of(Outcome.FIRST, None, 0.75).value == 0.75
    assert distance(score(0.25), score(1.0)) == 0.75
    assert (distance(FIRST, SECOND), distance(FIRST, TIE), distance(FIRST, FIRST)) == (1, 0.5, 0)
    assert distance(score(0.5), UNPARSED) == distance(UNPARSED, ABSTAINS) == 1
    assert distance(UNPARSED, UNPARSED) == 0


@pytest.mark.parametrize("changed", [1, 2, 3, 5])
def test_p_of_a_judge_that_repeats_itself_is_twice_a_power_of_a_third(changed: int):
    """The exact p-value where k probes of a deterministic judge changed.

    The observed sum of distances is the largest of all, and an assignment reaches it only if it
    names the latest of each of the k: (1/3)^k. The shift's p-value is no smaller, and Bonferroni
    doubles it.
    """
    same = [ProbeVerdicts(FIRST, FIRST, FIRST)] * 10
    moved = [ProbeVerdicts(FIRST, FIRST, SECOND)] * changed
    found = drift_test([*same, *moved])
    assert found.p == pytest.approx(2 * (1 / 3) ** changed, rel=0.25, abs=4e-4)
    assert found.distance == pytest.approx(changed / (10 + changed))
    assert found.noise == 0
    assert found.shift == pytest.approx(-changed / (10 + changed))


def test_figures_by_hand():
    """The probe 0.2, 0.4 | 0.9 has distances 0.7 and 0.5, its own 0.2, and a shift of 0.6.

    The probe 0.5, 0.5 | unparsed has distances 1 and 1, its own 0, and no shift.
    """
    found = drift_test(
        [
            ProbeVerdicts(score(0.2), score(0.4), score(0.9)),
            ProbeVerdicts(score(0.5), score(0.5), UNPARSED),
        ]
    )
    assert found.distance == pytest.approx((0.6 + 1.0) / 2)
    assert found.noise == pytest.approx(0.1)
    assert found.shift == pytest.approx(0.6)
    # Both sums are the largest of nine assignments: p = 1/9 apart, 1/3 by shift.
    assert found.p == pytest.approx(2 / 9, abs=0.02)


def test_a_judge_that_says_the_same_has_not_drifted():
    found = drift_test([ProbeVerdicts(score(0.3), score(0.3), score(0.3))] * 32)
    figures = (found.p, found.distance, found.noise, found.shift)
    assert figures == pytest.approx((1.0, 0.0, 0.0, 0.0), abs=1e-12)


def test_deviation_between_two_verdicts_of_one_question():
    """Differences of 0.2 and 0: √(0.04 / 4) = 0.1. Simulated judges come to their own σ."""
    pairs = [(score(0.4), score(0.6)), (score(0.5), score(0.5)), (UNPARSED, score(0.1))]
    assert repeat_deviation(pairs) == pytest.approx(0.1)
    assert repeat_noise(pairs) == pytest.approx((0.2 + 0 + 1) / 3)
    assert repeat_deviation([(UNPARSED, score(0.5))]) is None
    rng = np.random.default_rng(1)
    drawn = [
        (score(m + rng.normal(0, 0.05)), score(m + rng.normal(0, 0.05))) for m in rng.random(4000)
    ]
    assert repeat_deviation(drawn) == pytest.approx(0.05, rel=0.05)


def noisy_scores(rng: np.random.Generator, shift: float = 0.0) -> list[ProbeVerdicts]:
    """Scores on a scale of ten steps, with a noise that differs by probe."""
    means, deviations = rng.random(32), rng.uniform(0, 0.3, 32)
    drawn = means[:, None] + deviations[:, None] * rng.standard_normal((32, 3))
    drawn[:, 2] += shift
    steps = np.clip(np.round(drawn, 1), 0, 1)
    return [ProbeVerdicts(*(score(float(value)) for value in row)) for row in steps]


def noisy_verdicts(rng: np.random.Generator, changed: float = 0.0) -> list[ProbeVerdicts]:
    """Verdicts between two, some unreadable, each drawn by the probe's own probability."""
    likely = rng.beta(0.2, 0.2, 32)
    latest = np.where(rng.random(32) < changed, 1 - likely, likely)

    def verdict(p: float) -> Verdict:
        if rng.random() < 0.05:
            return UNPARSED
        return FIRST if rng.random() < p else SECOND

    return [
        ProbeVerdicts(verdict(p), verdict(p), verdict(q))
        for p, q in zip(likely, latest, strict=True)
    ]


@pytest.mark.parametrize("noisy", [noisy_scores, noisy_verdicts])
def test_noise_alone_raises_no_more_alarms_than_stated(noisy):
    """500 cycles: a share above 1 % + 3 standard errors would refute the bound."""
    rng, cycles = np.random.default_rng(7), 500
    alarms = sum(drift_test(noisy(rng)).p <= FALSE_ALARMS for _ in range(cycles))
    bound = FALSE_ALARMS + 3 * math.sqrt(FALSE_ALARMS * (1 - FALSE_ALARMS) / cycles)
    assert alarms / cycles <= bound


def test_changes_are_found_under_noise():
    rng, cycles = np.random.default_rng(8), 100
    shifted = sum(drift_test(noisy_scores(rng, 0.2)).p <= FALSE_ALARMS for _ in range(cycles))
    replaced = sum(drift_test(noisy_verdicts(rng, 0.5)).p <= FALSE_ALARMS for _ in range(cycles))
    assert shifted >= 80
    assert replaced >= 60


def test_several_judges_share_the_bound():
    same = drift_test([ProbeVerdicts(FIRST, FIRST, FIRST)] * 8)
    moved = drift_test([ProbeVerdicts(FIRST, FIRST, SECOND)] * 8)
    assert corrected([same, moved]) == [1.0, pytest.approx(2 * moved.p)]
