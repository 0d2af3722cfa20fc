"""Error rates of the decisions on one held-out set, by hand and by simulation."""

import pytest

from rlhf_core.evaluation.bounds import lower_bound
from rlhf_core.evaluation.spending import bound_win_rate, confidence_in_words, level_of


def test_the_error_rates_by_hand_and_their_sum():
    """5 % · (1/2, 1/6, 1/12, …); of K decisions together 5 % · (1 - 1/(K + 1))."""
    levels = [level_of(k, 0.05) for k in range(1, 1001)]
    assert levels[:4] == pytest.approx([0.025, 0.05 / 6, 0.05 / 12, 0.0025])
    assert sum(levels[:4]) == pytest.approx(0.04)
    assert sum(levels) == pytest.approx(0.05 * 1000 / 1001)


def test_the_bound_is_that_of_the_scored_prompts_at_the_level_of_the_decision():
    """A win and a tie, two losses, a prompt without an opinion; the second decision of 5 %."""
    margins = [[0.3, 0.0], [-0.2, -0.1], [None, None], [0.9, None]]
    known = bound_win_rate(margins, decision=2, total=0.05)
    assert (known.decision, known.prompts) == (2, 3)
    assert known.error_rate == pytest.approx(0.05 / 6)
    assert known.bound == lower_bound([[1.0, 0.5], [0.0, 0.0], [1.0]], known.error_rate)
    assert bound_win_rate([[None]], decision=1, total=0.05).bound is None


def test_a_confidence_never_reads_as_certainty():
    told = [confidence_in_words(level_of(k, 0.05)) for k in (1, 3, 10, 50)]
    assert told == ["97.5%", "99.6%", "99.95%", "99.998%"]
    assert confidence_in_words(0.1) == "90.0%"
