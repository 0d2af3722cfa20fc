"""Coverage of the reported interval, and false promotions of the exact bound, by simulation.

`python -m tests.benchmarks coverage nightly` measures more; tests/benchmarks/RESULTS.md has it.
"""

import math

import pytest
from scipy import stats

from tests.benchmarks.coverage import CONDITIONS, PROMPTS, Condition, measure
from tests.benchmarks.nightly import false_promotions, power

QUICK = [
    Condition(8, 2, 0.5, 0.3, 4.0),
    Condition(20, 1, 0.6, 0.1, None),
    Condition(20, 2, 0.7, 0.0, 4.0),
    Condition(55, 4, 0.5, 0.1, 1.0),
    Condition(200, 2, 0.6, 0.3, 4.0),
    Condition(1000, 4, 0.7, 0.0, 1.0),
]


def noise(share: float, experiments: int) -> float:
    """Return 2.6 standard errors, so 99 %, of a share of experiments."""
    return 2.6 * math.sqrt(share * (1 - share) / experiments)


@pytest.mark.parametrize("condition", QUICK, ids=str)
def test_the_interval_covers_the_truth_as_often_as_it_says(condition: Condition):
    """93 to 97 %, but for chance."""
    found = measure(condition, 500, seed=1)
    assert 0.93 - noise(0.93, 500) <= found.coverage <= 0.97 + noise(0.97, 500)
    if condition.is_even:
        assert found.promoted <= 0.025 + noise(0.025, 500)


@pytest.mark.slow
@pytest.mark.parametrize("prompts", PROMPTS)
def test_coverage_at_every_number_of_prompts(prompts: int):
    """With 8 prompts of one answer each the results are too discrete for 97 %."""
    for condition in [c for c in CONDITIONS if c.prompts == prompts]:
        found = measure(condition, 1000, seed=1)
        if condition.is_usual:
            assert found.coverage >= 0.93 - noise(0.93, 1000), condition
            if prompts > 8:
                assert found.coverage <= 0.97 + noise(0.97, 1000), condition
        if condition.is_even:
            assert found.promoted <= 0.025 + noise(0.025, 1000), condition


@pytest.mark.parametrize("redrawn", [1.0, 0.1])
def test_fifty_nights_of_a_policy_that_is_no_better_rarely_promote_it(redrawn: float):
    """At 2.5 % in each cycle, independent ones would promote it in 1 - 0.975^50 = 72 % of runs."""
    spending, fixed = false_promotions(Condition(20, 2, 0.5, 0.1, 4.0), 100, redrawn, seed=1)
    assert spending <= 0.05 + noise(0.05, 100)
    assert fixed > spending


def test_later_decisions_have_less_power():
    """Of 200 outright results, decisions 1, 5, 20 and 50 take 115, 122, 127 and 130 wins."""
    found = power(Condition(200, 1, 0.6, 0.0, None), 300, seed=1)
    for decision, wins in ((1, 115), (5, 122), (20, 127), (50, 130)):
        exact = stats.binom.sf(wins - 1, 200, 0.6)
        assert found[f"decision {decision}"] == pytest.approx(exact, abs=noise(exact, 300))
    assert found["decision 1"] == found["2.5 %"]
