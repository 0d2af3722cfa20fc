"""Two reward models on the same held-out rankings: accuracies and p-values worked out by hand."""

import pytest
import torch

from flows.training.reward_comparison import judge_difference
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_comparison import (
    Accuracy,
    RewardDifference,
    compare_accuracy,
)
from rlhf_core.errors import TrainingError
from rlhf_core.models.sequences import TokenSequence

FIRST_WINS = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
TIE = torch.tensor([[0.0, 0.5], [0.5, 0.0]])
RIGHT, WRONG = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def ranking(prompt: int, preferences: torch.Tensor = FIRST_WINS) -> RankedCandidates:
    answers = tuple(TokenSequence((prompt,), (answer,)) for answer in (1, 2))
    return RankedCandidates(answers, preferences)


def test_the_difference_is_counted_by_prompt():
    """Prompt 7 has two rankings and counts once: new (1 + 0.5) / 2, old (0 + 0.5) / 2."""
    rankings = [ranking(7), ranking(7), ranking(8), ranking(9, TIE)]
    new = [RIGHT, torch.zeros(2), RIGHT, RIGHT]  # equal scores of a pair count half
    old = [WRONG, torch.zeros(2), RIGHT, RIGHT]
    found = compare_accuracy(new, old, rankings)
    assert found is not None
    assert (found.prompts, found.pairs) == (2, 3)
    assert (found.new.mean, found.old.mean) == (0.875, 0.625)
    # Of the 4 ways to swap within 2 prompts, the one of prompt 8 changes nothing: differences are
    # 0.25 twice and -0.25 twice.
    assert (found.p_better, found.p_worse) == (0.5, 1.0)
    assert found.new.low < 0.875 < found.new.high


def test_a_model_that_is_worse_on_every_prompt_is_surely_worse():
    """Of the 2^6 ways to swap, only the one that was seen is as bad: p = 1/64."""
    rankings = [ranking(prompt) for prompt in range(6)]
    found = compare_accuracy([WRONG] * 6, [RIGHT] * 6, rankings)
    assert found is not None
    assert found.p_worse == pytest.approx(1 / 64)
    assert found.p_better == 1.0


def test_equal_models_and_single_prompts_show_nothing():
    rankings = [ranking(prompt) for prompt in range(5)]
    equal = compare_accuracy([RIGHT] * 5, [RIGHT] * 5, rankings)
    single = compare_accuracy([RIGHT], [WRONG], rankings[:1])
    for found in (equal, single):
        assert found is not None
        assert (found.p_worse, found.p_better) == (1.0, 1.0)
    assert compare_accuracy([RIGHT], [WRONG], [ranking(1, TIE)]) is None


def test_a_score_that_is_not_finite_is_no_wrong_order():
    broken = torch.tensor([float("nan"), 0.0])
    with pytest.raises(TrainingError, match="the new reward model"):
        compare_accuracy([broken], [RIGHT], [ranking(1)])
    with pytest.raises(TrainingError, match="the last reward model"):
        compare_accuracy([RIGHT], [broken], [ranking(1)])


def test_many_prompts_are_swapped_at_random():
    """14 prompts, all but one better: 15 of 2^14 ways to swap are as good, p = 0.0009."""
    rankings = [ranking(prompt) for prompt in range(14)]
    found = compare_accuracy([RIGHT] * 13 + [WRONG], [WRONG] * 13 + [RIGHT], rankings)
    assert found is not None
    assert found.p_better == pytest.approx(15 / 2**14, abs=0.001)
    assert found.p_worse > 0.99


def difference(new: float, old: float, p_worse: float) -> RewardDifference:
    sides = [Accuracy(mean, 0.0, 1.0) for mean in (new, old)]
    return RewardDifference(10, 30, *sides, p_worse=p_worse, p_better=1 - p_worse)


@pytest.mark.parametrize(
    ("new", "old", "p_worse", "accepting"),
    [
        (0.5, 0.7, 0.01, {"none"}),
        (0.6, 0.7, 0.30, {"none", "not_worse"}),
        (0.7, 0.7, 0.50, {"none", "not_worse", "as_good"}),
        (0.8, 0.7, 0.80, {"none", "not_worse", "as_good"}),
        (0.9, 0.7, 0.99, {"none", "not_worse", "as_good", "better"}),
    ],
)
def test_each_rule_accepts_what_it_says(
    new: float, old: float, p_worse: float, accepting: set[str]
):
    rules = ("none", "not_worse", "as_good", "better")
    judged = {rule: judge_difference(difference(new, old, p_worse), rule) for rule in rules}
    assert {rule for rule, (accepted, _) in judged.items() if accepted} == accepting
    assert f"it orders {new:.1%} of 30 held-out pairs of 10 prompts" in judged["none"][1]


def test_pairs_without_a_preference_refuse_nothing():
    assert judge_difference(None, "better") == (
        True,
        "the pairs that both held out prefer no answer",
    )
