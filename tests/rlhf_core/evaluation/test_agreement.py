import pytest

from rlhf_core.evaluation.agreement import cohen_kappa, interval, krippendorff_alpha, nominal

N = None
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
"""Four observers of twelve units ("Computing Krippendorff's alpha-reliability", 2011)."""


def test_kappa_takes_chance_off():
    """Of 50: 20 both yes, 15 both no, 5 and 10 apart. Observed 0.7; chance 0.5·0.6 + 0.5·0.4."""
    ours = [1] * 25 + [0] * 25
    theirs = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(ours, theirs) == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_kappa_of_two_judges_who_never_vary_is_none():
    assert cohen_kappa([1, 1], [1, 1]) is None
    assert cohen_kappa([], []) is None


def test_kappa_of_judges_who_always_disagree_is_minus_one():
    """Observed 0, chance 1/2: (0 − 1/2) / (1 − 1/2)."""
    assert cohen_kappa([1, -1], [-1, 1]) == pytest.approx(-1)


def test_alpha_of_two_observers():
    """14 zeros, 6 ones, 4 units apart: 1 − 19 · 4 / (14 · 6); section A of the paper."""
    ours = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    theirs = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    found = krippendorff_alpha(list(zip(ours, theirs, strict=True)), nominal)
    assert found == pytest.approx(1 - 19 * 4 / 84)


def test_alpha_with_silent_observers_is_the_papers():
    """Section C prints 0.743 for values without an order, and 0.849 for numbers."""
    units = list(zip(*KRIPPENDORFF, strict=True))
    assert krippendorff_alpha(units, nominal) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(units, interval) == pytest.approx(0.849, abs=5e-4)


def test_alpha_is_none_where_nothing_varies():
    assert krippendorff_alpha([(1, 1), (1, 1)], nominal) is None
    assert krippendorff_alpha([(1, None), (0, None)], nominal) is None
