import math

import pytest
import torch

from rlhf_core.algorithms.rankings import RankedCandidates, accuracy_figures, hold_out
from rlhf_core.algorithms.reward_figures import length_correlation, reward_figures
from rlhf_core.models.sequences import TokenSequence
from tests.rlhf_core.algorithms.planted import planted_rankings


def ranking(*lengths: int) -> RankedCandidates:
    """Return a ranking of answers of given lengths, each better than the next."""
    answers = tuple(TokenSequence((1, 2), tuple(range(3, 3 + length))) for length in lengths)
    return RankedCandidates(answers, torch.ones(len(lengths), len(lengths)).triu(diagonal=1))


def test_figures_of_two_pairs_by_hand():
    """Differences of log 3 and −log 3: one is right, with predicted probabilities 0.75 and 0.25."""
    scores = [torch.tensor([math.log(3), 0.0]), torch.tensor([0.0, math.log(3)])]
    found = reward_figures(scores, [ranking(3, 3), ranking(3, 3)])
    assert found["holdout_accuracy"] == pytest.approx(0.5)
    assert found["holdout_loss"] == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)
    # In both orders, predictions of 0.75 are right half the time, and so are those of 0.25.
    assert found["holdout_calibration_error"] == pytest.approx(0.25, abs=1e-6)
    assert found["holdout_length_correlation"] == 0.0


TIED = RankedCandidates(ranking(1, 2).sequences, torch.tensor([[0.0, 0.5], [0.5, 0.0]]))


def test_accuracy_is_of_the_rankings_that_have_an_order():
    """Ten rankings are in order and ten are ties: ten of ten are right, not half of twenty."""
    scores = [torch.tensor([1.0, -1.0])] * 20
    found = reward_figures(scores, [ranking(1, 2)] * 10 + [TIED] * 10)
    assert found["holdout_accuracy"] == 1.0
    assert (found["holdout_ordered"], found["holdout_unordered"]) == (10.0, 10.0)
    # Right: log(1 + e⁻²) = 0.126928. A tie: the mean of that and log(1 + e²) = 2.126928.
    assert found["holdout_loss"] == pytest.approx((0.126928 + 1.126928) / 2, abs=1e-6)


def test_of_ties_alone_there_is_no_accuracy():
    found = reward_figures([torch.tensor([1.0, -1.0])], [TIED])
    assert "holdout_accuracy" not in found
    assert (found["holdout_ordered"], found["holdout_unordered"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("in_order", "rankings", "expected"),
    [
        (1.5, [ranking(1, 2), ranking(1, 2), TIED], (0.75, 2.0, 1.0)),
        (0.0, [TIED], (None, 0.0, 1.0)),
    ],
)
def test_a_step_says_of_how_many_rankings_its_accuracy_is(in_order, rankings, expected):
    found = accuracy_figures(in_order, rankings)
    assert (found.get("accuracy"), found["ordered"], found["unordered"]) == expected


@pytest.mark.parametrize(("sign", "expected"), [(1, 1.0), (-1, -1.0)])
def test_length_is_compared_within_a_prompt(sign: int, expected: float):
    """The second prompt's answers are all longer, which does not distinguish them."""
    rankings = [ranking(1, 2, 3), ranking(11, 12, 13)]
    scores = [sign * torch.tensor([1.0, 2.0, 3.0]) + offset for offset in (5.0, -5.0)]
    assert length_correlation(scores, rankings) == pytest.approx(expected, abs=1e-6)


def test_held_out_prompts_are_whole_and_always_the_same():
    rankings = planted_rankings(200, 1)
    learnt, held = hold_out(rankings, 0.2)
    assert len(learnt) + len(held) == 200
    assert 20 < len(held) < 60
    again, _ = hold_out(rankings[::-1], 0.2)
    assert {r.sequences for r in again} == {r.sequences for r in learnt}
    assert hold_out(rankings, 0.0) == (rankings, [])


def test_nothing_is_held_out_where_nothing_would_be_left():
    rankings = planted_rankings(3, 1)
    assert hold_out(rankings, 0.9999999) == (rankings, [])
