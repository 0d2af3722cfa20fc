"""Length-controlled win rates: by hand, and on simulated results whose truth is known."""

import math

import numpy as np
import pytest
from scipy.special import expit

from rlhf_core.evaluation import length_control
from rlhf_core.evaluation.length_control import LengthControlled, length_controlled_win_rate

UNEVEN = [1.0] * 30 + [0.0] * 10


def rate_of(
    results: list[float], differences: list[float], clusters: list[int] | None = None
) -> LengthControlled:
    found = length_controlled_win_rate(results, differences, clusters or list(range(len(results))))
    assert found is not None
    return found


def simulated(
    theta: float, effect: float, shift: float, prompts: int, seed: int
) -> LengthControlled:
    """A policy whose answers are `shift` deviations longer, judged by P(win) = σ(θ + φ tanh)."""
    generator = np.random.default_rng(seed)
    differences = 300 * generator.normal(shift, 1, prompts)
    chance = expit(theta + effect * np.tanh(differences / 300))
    results = (generator.random(prompts) < chance).astype(float)
    return rate_of(results.tolist(), differences.tolist())


def test_equal_lengths_leave_the_win_rate_unchanged():
    assert rate_of(UNEVEN, [0.0] * 40).rate == pytest.approx(0.75, abs=1e-6)


def test_lengths_without_an_effect_leave_the_win_rate_unchanged():
    """Wins and losses are alike in length, so φ = 0 solves both equations."""
    assert rate_of(UNEVEN, [5.0, -5.0] * 20).rate == pytest.approx(0.75, abs=1e-6)
    assert rate_of(UNEVEN, [5.0, -5.0] * 20).length_effect == pytest.approx(0.0, abs=1e-6)


def test_two_lengths_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Three quarters of longer answers win, half of the shorter: θ ± φt = ln 3 and 0.

    So θ = ln 3 / 2 without a prior, whatever t is, and the rate is √3 / (1 + √3).
    """
    monkeypatch.setattr(length_control, "PRIOR_DEVIATION", 1e6)
    results = [1.0, 1.0, 1.0, 0.0] * 10 + [1.0, 0.0] * 20
    found = rate_of(results, [100.0] * 40 + [-100.0] * 40)
    assert found.rate == pytest.approx(math.sqrt(3) / (1 + math.sqrt(3)), abs=1e-5)


def test_the_interval_of_equal_lengths_by_hand():
    """30 of 40: se of the log-odds is √(40/39 / (40 · ¾ · ¼)), t of 39 degrees is 2.022691."""
    found = rate_of(UNEVEN, [0.0] * 40)
    reach = 2.022691 * math.sqrt(40 / 39 / 7.5)
    ends = [1 / (1 + math.exp(-math.log(3) - sign * reach)) for sign in (-1, 1)]
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-5)


def test_a_policy_that_wins_only_by_length_gets_half():
    found = simulated(theta=0.0, effect=2.0, shift=0.7, prompts=4000, seed=1)
    assert found.rate == pytest.approx(0.5, abs=0.06)
    assert found.low < 0.5 < found.high


def test_a_policy_that_wins_in_spite_of_its_length_gets_more():
    """σ(1) = 0.731 at equal lengths; its short answers lose."""
    found = simulated(theta=1.0, effect=2.0, shift=-0.7, prompts=4000, seed=2)
    assert found.rate == pytest.approx(0.731, abs=0.04)


def test_both_sides_are_treated_alike():
    generator = np.random.default_rng(3)
    results = generator.choice([0.0, 0.5, 1.0], 60)
    lengths = generator.normal(50, 100, 60)
    ours, theirs = (
        rate_of(list(sign_results), list(sign * lengths))
        for sign_results, sign in ((results, 1), (1 - results, -1))
    )
    assert ours.rate == pytest.approx(1 - theirs.rate, abs=1e-6)
    assert (ours.low, ours.high) == pytest.approx((1 - theirs.high, 1 - theirs.low), abs=1e-6)


def test_a_repeated_answer_tells_nothing_new():
    """Each comparison twice within its prompt: the same rate and the same interval."""
    generator = np.random.default_rng(4)
    results = generator.choice([0.0, 1.0], 50).tolist()
    lengths = generator.normal(0, 100, 50).tolist()
    once = rate_of(results, lengths)
    twice = rate_of(results * 2, lengths * 2, [*range(50), *range(50)])
    assert twice.prompts == 50
    # The deviation of the lengths divides by N − 1, so it differs by half a percent.
    assert twice.rate == pytest.approx(once.rate, abs=2e-3)
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.01)


def test_an_always_longer_policy_is_uncertain():
    """All answers are much longer: nothing says what it would win with others."""
    longer = simulated(theta=0.5, effect=1.5, shift=4.0, prompts=400, seed=5)
    mixed = simulated(theta=0.5, effect=1.5, shift=0.0, prompts=400, seed=5)
    assert longer.high - longer.low > 5 * (mixed.high - mixed.low)


@pytest.mark.parametrize(
    ("results", "differences"),
    [
        ([1.0, 0.0] * 3, [3.0, -2.0] * 3),
        ([1.0] * 40, [3.0, -2.0] * 20),
        (UNEVEN, [100.0] * 40),
        ([], []),
    ],
    ids=["few prompts", "all won", "always longer by as much", "nothing"],
)
def test_what_cannot_be_told_is_none(results: list[float], differences: list[float]):
    assert length_controlled_win_rate(results, differences, range(len(results))) is None


@pytest.mark.parametrize(
    ("prompts", "theta", "effect", "shift"), [(8, 0.0, 1.6, 0.5), (55, 0.5, 1.6, 0.5)]
)
def test_the_interval_covers_the_truth(prompts: int, theta: float, effect: float, shift: float):
    """95 % of 300 experiments within 3 standard errors, or more with few prompts."""
    generator = np.random.default_rng(6)
    covered = fitted = 0
    for _ in range(300):
        differences = 300 * generator.normal(shift, 1, prompts)
        chance = expit(theta + effect * np.tanh(differences / 300))
        results = (generator.random(prompts) < chance).astype(float)
        found = length_controlled_win_rate(results.tolist(), differences.tolist(), range(prompts))
        if found is not None:
            fitted += 1
            covered += found.low <= expit(theta) <= found.high
    assert fitted > 280
    assert covered / fitted > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 300)
