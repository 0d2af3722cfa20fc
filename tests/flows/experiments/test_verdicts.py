"""Verdicts on claims, by hand."""

import pytest

from flows.experiments.experiment import Claim
from flows.experiments.verdicts import judge_claim, mean_over_seeds

ABOVE = Claim("a is above b", "m", "a", "b")
BELOW = Claim("a is below b", "m", "a", "b", "below")


def by_arm(*differences: float) -> dict[str, dict[int, float]]:
    """Values of two arms whose differences are these, with another level for each seed."""
    other = {seed: 10.0 * seed for seed, _ in enumerate(differences)}
    return {"a": {seed: other[seed] + d for seed, d in enumerate(differences)}, "b": other}


def test_the_interval_is_students():
    """Mean 2, deviation 1, three seeds: 2 ± 4.302653 / √3."""
    found = mean_over_seeds([1.0, 2.0, 3.0])
    assert found is not None
    assert found.low == pytest.approx(2 - 2.484138, abs=1e-5)
    assert found.high == pytest.approx(2 + 2.484138, abs=1e-5)


def test_a_claim_is_undecided_while_its_interval_holds_the_threshold():
    assert judge_claim(ABOVE, by_arm(1.0, 2.0, 3.0)).outcome == "undecided"


def test_a_claim_holds_or_fails_with_its_whole_interval():
    """2 ± 0.248 lies above 0, so `above` held and `below` did not; the level of a seed cancels."""
    assert judge_claim(ABOVE, by_arm(1.9, 2.0, 2.1)).outcome == "held"
    assert judge_claim(BELOW, by_arm(1.9, 2.0, 2.1)).outcome == "did not hold"
    assert judge_claim(BELOW, by_arm(-1.9, -2.0, -2.1)).outcome == "held"


def test_a_threshold_moves_the_side():
    far = Claim("by more than 2.5", "m", "a", "b", threshold=2.5)
    assert judge_claim(far, by_arm(1.9, 2.0, 2.1)).outcome == "did not hold"


def test_one_seed_decides_nothing():
    verdict = judge_claim(ABOVE, by_arm(5.0))
    assert verdict.outcome == "undecided"
    assert verdict.found is not None
    assert verdict.found.mean == 5.0
    assert verdict.found.low is None


def test_only_seeds_of_both_arms_are_compared():
    values = {"a": {1: 3.0, 2: 9.0}, "b": {1: 1.0}}
    found = judge_claim(ABOVE, values).found
    assert found is not None
    assert (found.mean, found.n) == (2.0, 1)


def test_a_claim_about_one_arm_needs_no_other():
    alone = Claim("a is above a half", "m", "a", threshold=0.5)
    assert judge_claim(alone, {"a": {1: 0.9, 2: 0.91, 3: 0.89}}).outcome == "held"
    assert judge_claim(alone, {}).found is None
