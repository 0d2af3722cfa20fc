"""The power of decisions, against binomial tails by hand."""

import pytest
from scipy.stats import binom

from rlhf_core.evaluation.bounds import lower_bound
from rlhf_core.evaluation.power import detectable_win_rate, least_prompts, least_win_rate


@pytest.mark.parametrize(
    ("prompts", "least"), [(0, None), (5, None), (6, 1.0), (12, 10 / 12), (20, 15 / 20)]
)
def test_the_least_share_that_shows_more_than_one_half(prompts: int, least: float | None):
    """Binomial tails at 1/2: 5 of 5 is 3.1 %, 6 of 6 1.6 %, 10 of 12 1.9 %, 15 of 20 2.1 %."""
    assert least_win_rate(prompts, 0.5, 0.025) == least


@pytest.mark.parametrize(("prompts", "above", "error_rate"), [(55, 0.5, 0.004), (200, 0.6, 2e-5)])
def test_it_is_the_least_share_whose_bound_passes(prompts: int, above: float, error_rate: float):
    least = least_win_rate(prompts, above, error_rate)
    assert least is not None
    wins = round(least * prompts)
    for won, passes in ((wins, True), (wins - 1, False)):
        groups = [[1.0]] * won + [[0.0]] * (prompts - won)
        assert (lower_bound(groups, error_rate) > above) == passes


def test_thresholds_at_the_ends():
    assert least_win_rate(4, 0.0, 0.025) == 0.25  # one win shows more than none
    assert least_win_rate(4, 1.0, 0.025) is None


def test_the_win_rate_that_is_promoted_four_times_of_five():
    """6 of 6 must be won: 0.8^(1/6). Of 20, 15: the chance of 15 or more is 0.8 there."""
    assert detectable_win_rate(6, 0.5, 0.025) == pytest.approx(0.8 ** (1 / 6))
    rate = detectable_win_rate(20, 0.5, 0.025)
    assert rate is not None
    assert sum(binom.pmf(k, 20, rate) for k in range(15, 21)) == pytest.approx(0.8)
    assert detectable_win_rate(5, 0.5, 0.025) is None


def test_the_fewest_prompts_that_can_show_anything():
    """1/2^5 is 3.1 %, 1/2^6 1.6 %; 1/2^16 is below 2·10^-5; 0.9^35 is 2.503 %, 0.9^36 2.25 %."""
    assert least_prompts(0.5, 0.025) == 6
    assert least_prompts(0.5, 0.05 / (50 * 51)) == 16
    assert least_prompts(0.9, 0.025) == 36
    assert least_prompts(0.0, 0.025) == 1
    assert least_prompts(1.0, 0.025) is None
