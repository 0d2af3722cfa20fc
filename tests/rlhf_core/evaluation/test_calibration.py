import math

import pytest

from rlhf_core.evaluation.calibration import (
    STEEPEST,
    Bin,
    Scaling,
    brier_score,
    expected_calibration_error,
    fit_scaling,
    reliability,
)

SURE = [0.9] * 4
THREE_OF_FOUR = [1.0, 1.0, 1.0, 0.0]


def test_the_curve_holds_means_of_the_bins_that_have_any():
    """0.1 and 0.15 share a bin of two, 1.0 falls into the last; of five, three stay empty."""
    found = reliability([0.1, 0.15, 1.0], [0.0, 1.0, 1.0], bins=5)
    assert found == [Bin(2, 0.125, 0.5), Bin(1, 1.0, 1.0)]


def test_ece_weighs_bins_by_their_size():
    """Gaps |0.9 − 3/4| = 0.15 for four and |0.2 − 1| = 0.8 for one: (4 · 0.15 + 0.8) / 5."""
    found = expected_calibration_error([*SURE, 0.2], [*THREE_OF_FOUR, 1.0])
    assert found == pytest.approx((4 * 0.15 + 0.8) / 5)


def test_ece_sees_the_direction_of_each_bin():
    """Too high in one bin and too low in the other do not cancel: 0.4 and 0.4."""
    assert expected_calibration_error([0.9, 0.1], [0.5, 0.5]) == pytest.approx(0.4)


def test_brier_is_the_mean_squared_error():
    """(3 · 0.1² + 0.9²) / 4."""
    assert brier_score(SURE, THREE_OF_FOUR) == pytest.approx(0.21)
    assert brier_score([0.5, 0.5], [0.0, 1.0]) == pytest.approx(0.25)


def test_temperature_scaling_finds_the_share_that_came_true():
    """σ(slope · logit 0.9) = 3/4 where slope = ln 3 / ln 9 = 1/2."""
    found = fit_scaling(SURE, THREE_OF_FOUR, has_bias=False)
    assert found.slope == pytest.approx(0.5, abs=1e-4)
    assert found.bias == 0.0
    assert found.apply([0.9, 0.5]) == pytest.approx([0.75, 0.5], abs=1e-4)


def test_a_bias_is_learnt_where_it_is_wanted():
    """At probability 1/2 only the bias acts: σ(ln 3) = 3/4."""
    found = fit_scaling([0.5] * 4, THREE_OF_FOUR, has_bias=True)
    assert found.bias == pytest.approx(math.log(3), abs=1e-4)


def test_a_judge_that_is_wrong_is_flattened_not_turned_round():
    assert fit_scaling(SURE, [0.0] * 4, has_bias=False).slope == pytest.approx(0.0, abs=1e-4)


def test_a_judge_that_is_always_right_has_a_slope():
    found = fit_scaling(SURE, [1.0] * 4, has_bias=False).slope
    assert 1 < found <= STEEPEST


def test_certainty_stays_finite():
    assert Scaling(1.0).apply([0.0, 1.0]) == pytest.approx([1e-4, 1 - 1e-4])
