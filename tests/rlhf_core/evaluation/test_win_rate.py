import numpy as np
import pytest
from scipy import stats

from rlhf_core.evaluation.win_rate import interval, win_rate


def rate(margins, seed: int = 1):
    return win_rate(margins, confidence=0.95, resamples=2000, seed=seed)


def test_ties_count_half_and_prompts_count_alike():
    """Prompt one: a win and a loss, 1/2. Prompt two: a win and a tie, 3/4. Three: a loss, 0."""
    found = rate([[0.2, -0.1], [0.3, 0.0], [-0.5]])
    assert found.rate == pytest.approx((0.5 + 0.75 + 0.0) / 3)
    assert (found.prompts, found.comparisons, found.unscored) == (3, 5, 0)


def test_what_no_one_scored_is_counted_and_left_out():
    found = rate([[None, 0.2], [None, None], [-0.1, -0.2]])
    assert found.rate == pytest.approx(0.5)
    assert (found.prompts, found.comparisons, found.unscored) == (2, 6, 3)


def test_nothing_scored_gives_no_rate():
    found = rate([[None], [None]])
    assert (found.rate, found.low, found.high) == (None, None, None)
    assert found.unscored == 2


def test_swapping_sides_mirrors_the_rate():
    margins = [[0.2, -0.1], [0.3, 0.1], [-0.5, 0.0], [0.4, 0.2]]
    ours, theirs = rate(margins), rate([[-m for m in row] for row in margins])
    assert ours.rate == pytest.approx(1 - theirs.rate)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).normal(size=30).tolist()
    assert interval(values, 0.95, 500, seed=1) == interval(values, 0.95, 500, seed=1)
    assert interval(values, 0.95, 500, seed=1) != interval(values, 0.95, 500, seed=2)


def test_interval_is_about_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(0.6, 0.2, size=200).tolist()
    low, high = interval(values, 0.95, 5000, seed=1)
    width = 2 * 1.96 * np.std(values, ddof=1) / np.sqrt(200)
    assert high - low == pytest.approx(width, rel=0.1)
    assert low < np.mean(values) < high


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """80 % intervals of 60 experiments: between 65 % and 92 % of them hold the true mean."""
    generator = np.random.default_rng(3)
    hits = 0
    for seed in range(60):
        low, high = interval(generator.binomial(1, 0.6, 80).astype(float).tolist(), 0.8, 400, seed)
        hits += low <= 0.6 <= high
    assert stats.binom.ppf(0.005, 60, 0.8) <= hits <= stats.binom.ppf(0.995, 60, 0.8)


def test_equal_values_have_an_interval_of_no_width():
    assert interval([1.0, 1.0, 1.0], 0.95, 100, seed=1) == (1.0, 1.0)
    assert interval([0.25], 0.95, 100, seed=1) == (0.25, 0.25)


def test_more_answers_to_the_same_prompts_do_not_make_it_surer():
    """Resampling comparisons instead of prompts would: the interval would halve."""
    once = rate([[m] for m in (0.1, -0.1, 0.1, 0.1, -0.1, 0.1)])
    often = rate([[m] * 8 for m in (0.1, -0.1, 0.1, 0.1, -0.1, 0.1)])
    assert often.high - often.low == pytest.approx(once.high - once.low)
