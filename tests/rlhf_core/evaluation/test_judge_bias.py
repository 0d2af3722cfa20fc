import pytest

from rlhf_core.evaluation.judge_bias import (
    chooses_first_slot,
    constant_share,
    prefers_longer,
    repeats_answer,
    repeats_slot,
)

ORDERS = [(0.7, 0.6), (0.7, 0.2), (0.5, 0.5), (0.3, 0.4), (0.5, 0.9)]
"""First slot twice; one answer in both; a tie in both; second slot twice; a tie, then a choice."""


def test_the_first_slot_is_counted_over_both_orders_and_ties_are_not():
    assert chooses_first_slot(ORDERS) == [1, 1, 1, 0, 0, 0, 1]


def test_the_same_slot_after_a_swap_is_another_answer():
    assert repeats_slot(ORDERS) == [1, 0, 0, 1, 0]
    assert repeats_answer(ORDERS) == [0, 1, 1, 0, 0]


def test_the_longer_answer_is_found_on_either_side():
    """Longer first and chosen; longer second and not; a tie and equal lengths do not count."""
    margins, lengths = [0.2, 0.3, 0.0, 0.5, -0.1], [(9, 2), (1, 4), (3, 1), (5, 5), (2, 8)]
    assert prefers_longer(margins, lengths) == [1, 0, 1]


def test_constancy_is_the_share_of_the_most_frequent_value():
    assert constant_share([1, 1, 1, -1]) == pytest.approx(0.75)
    assert constant_share([]) is None
