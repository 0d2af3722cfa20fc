"""The curve of the held-out score over KL, and the test that it fell."""

import math

import pytest

from rlhf_core.guard.overoptimisation import GoldCurve, chance_of_rise, fit_gold_curve


def test_the_curves_are_those_of_the_paper():
    """arXiv:2210.10760: d (α − β log d) for RL, d (α − β d) for best of n; d = √KL = 2."""
    assert GoldCurve("rl", 1.0, 0.5).score(4.0) == pytest.approx(2 * (1 - 0.5 * math.log(2)))
    assert GoldCurve("best_of_n", 1.0, 0.25).score(4.0) == pytest.approx(2 * (1 - 0.5))
    assert GoldCurve("rl", 1.0, 0.5).score(0.0) == 0


def test_peaks_by_calculus():
    """α − β log d − β = 0 at d = e^(α/β − 1) = e; α − 2 β d = 0 at d = 2."""
    assert GoldCurve("rl", 2.0, 1.0).peak_kl == pytest.approx(math.e**2)
    assert GoldCurve("best_of_n", 1.0, 0.25).peak_kl == pytest.approx(4.0)
    assert GoldCurve("rl", 1.0, 0.0).peak_kl is None
    assert GoldCurve("best_of_n", -1.0, 0.5).peak_kl is None


@pytest.mark.parametrize("form", ["rl", "best_of_n"])
def test_the_fit_finds_the_curve_that_made_the_points(form: str):
    curve = GoldCurve(form, 0.7, 0.2)  # type: ignore[arg-type]
    kl = [-0.1, 0.5, 1.0, 4.0, 9.0, 25.0]
    gains = [math.nan if x < 0 else curve.score(x) for x in kl]
    fitted = fit_gold_curve(kl, gains, curve.form)
    assert fitted is not None
    assert (fitted.alpha, fitted.beta) == pytest.approx((0.7, 0.2))


def test_two_distances_show_no_curve():
    assert fit_gold_curve([1.0, 4.0, 4.0], [0.1, 0.2, 0.3]) is None


def test_welch_by_hand():
    """Means 1 and 3, variances 1 and 1, n = 3: t² = 6 with 4 degrees of freedom.

    With 4 degrees P(T > t) = ½ − ½ x (1 + (1 − x²) / 2), x = t / √(4 + t²) = √0.6.
    """
    p = 0.5 - 0.5 * math.sqrt(0.6) * (1 + 0.4 / 2)
    assert chance_of_rise([0.0, 1.0, 2.0], [2.0, 3.0, 4.0]) == pytest.approx(p, abs=1e-6)
    assert chance_of_rise([2.0, 3.0, 4.0], [0.0, 1.0, 2.0]) == pytest.approx(1 - p, abs=1e-6)


def test_too_few_values_show_nothing():
    assert chance_of_rise([1.0], [2.0, 3.0]) == 1
    assert chance_of_rise([1.0, 1.0], [2.0, 2.0]) == 0
    assert chance_of_rise([1.0, 1.0], [1.0, 1.0]) == 1
