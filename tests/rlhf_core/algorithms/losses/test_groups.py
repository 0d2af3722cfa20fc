import math

import pytest
import torch

from rlhf_core.algorithms.losses.groups import (
    differing_groups,
    group_advantages,
    overlong_penalties,
)
from rlhf_core.errors import ShapeError


def test_advantages_are_the_distances_from_the_groups_mean():
    """1, 2, 6 have mean 3; 0, 0, 3 have mean 1. Dr. GRPO divides by nothing."""
    scores = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    found = group_advantages(scores, 3, divide_by_deviation=False)
    assert found.tolist() == [-2.0, -1.0, 3.0, -1.0, -1.0, 2.0]


def test_advantages_of_grpo_are_in_deviations_of_the_group():
    """−2, −1, 3 have variance 14 / 2 = 7; −1, −1, 2 have 6 / 2 = 3."""
    scores = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 3.0])
    found = group_advantages(scores, 3, divide_by_deviation=True).tolist()
    first, second = 7**0.5 + 1e-4, 3**0.5 + 1e-4
    expected = [-2 / first, -1 / first, 3 / first, -1 / second, -1 / second, 2 / second]
    assert found == pytest.approx(expected, abs=1e-6)


def test_two_answers_are_half_a_root_of_two_apart_from_their_mean():
    """0 and 1: ±0.5 over √(0.5² + 0.5²) = 0.70711; the group of 3 and 3 has no deviation."""
    found = group_advantages(torch.tensor([0.0, 1.0, 3.0, 3.0]), 2, divide_by_deviation=True)
    expected = 0.5 / (0.5**0.5 + 1e-4)
    assert found.tolist() == pytest.approx([-expected, expected, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("is_divided", [True, False])
def test_equal_scores_have_no_advantage(is_divided: bool):
    """Zero divided by a deviation of zero would be NaN, and stay in the weights."""
    found = group_advantages(torch.tensor([0.7, 0.7, 0.7, 0.7]), 4, is_divided)
    assert found.tolist() == pytest.approx([0.0] * 4, abs=1e-3)
    assert group_advantages(torch.full((4,), 2.0), 4, is_divided).tolist() == [0.0] * 4


def test_rounding_of_equal_rewards_is_not_blown_up():
    """Of scores 1e-7 apart the deviation is 1e-7 too, and without ε they would have ±0.7."""
    found = group_advantages(torch.tensor([0.5, 0.5 + 1e-7]), 2, divide_by_deviation=True)
    assert found.abs().max() < 2e-3


def test_an_unscored_answer_has_no_advantage_and_is_in_no_mean_or_deviation():
    """1, none, 3 have mean 2 and variance 2 / 1; a lone score has nothing to compare with."""
    none = math.nan
    scores = torch.tensor([1.0, none, 3.0, none, 5.0, none, none, none, none])
    found = group_advantages(scores, 3, divide_by_deviation=True).tolist()
    one = 1 / (2**0.5 + 1e-4)
    assert found == pytest.approx([-one, 0.0, one, *[0.0] * 6], abs=1e-6)
    found = group_advantages(scores, 3, divide_by_deviation=False).tolist()
    assert found == pytest.approx([-1.0, 0.0, 1.0, *[0.0] * 6], abs=1e-6)


def test_groups_differ_where_two_scored_answers_do():
    """Beyond rounding: 1e-7 is none, and neither is a score beside a missing one."""
    none = math.nan
    scores = [0.0, 1.0, 1.0, 1.0, 0.5, 0.5 + 1e-7, 1.0, none, none, none, -2.0, -2.1]
    found = differing_groups(torch.tensor(scores), 2)
    assert found.tolist() == [True, False, False, False, False, True]
    assert differing_groups(torch.tensor([1.0, none, 2.0]), 3).tolist() == [True]


def test_the_penalty_of_long_answers_by_hand():
    """Limit 20, buffer 4: 16 tokens cost nothing, 17 a quarter, 18 a half, 20 one."""
    lengths = torch.tensor([1, 15, 16, 17, 18, 19, 20])
    found = overlong_penalties(lengths, limit=20, buffer=4)
    assert found.tolist() == [0.0, 0.0, 0.0, -0.25, -0.5, -0.75, -1.0]


def test_a_buffer_of_the_whole_answer_charges_every_token():
    found = overlong_penalties(torch.tensor([1, 2, 4]), limit=4, buffer=4)
    assert found.tolist() == [-0.25, -0.5, -1.0]


@pytest.mark.parametrize(("answers", "samples"), [(4, 1), (5, 2)])
def test_a_group_needs_others_to_compare_with(answers: int, samples: int):
    with pytest.raises(ShapeError, match="a group compares"):
        group_advantages(torch.zeros(answers), samples, divide_by_deviation=True)
    with pytest.raises(ShapeError, match="a group compares"):
        differing_groups(torch.zeros(answers), samples)
