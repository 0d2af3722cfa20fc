"""The wear of a held-out set, by hand: 2.5 % a decision at 95 % confidence, added up."""

import pytest

from rlhf_core.evaluation.wear import Wear, describe_wear, wear_of


def test_half_of_the_prompts_say_how_often_a_set_decided():
    """Three of four prompts took part in 12 decisions, one is fresh."""
    assert wear_of(4, [(12, 0.3)] * 3) == Wear(4, 12, 0.3)
    assert wear_of(4, [(12, 0.3)]) == Wear(4, 0, 0.0)  # three fresh ones: the set begins anew
    assert wear_of(0, []) == Wear(0, 0, 0.0)
    assert wear_of(1, [(60, 1.5)]) == Wear(1, 60, 1.0)  # a chance is at most 1


def test_the_wear_is_told_with_the_bound_and_the_limit():
    assert describe_wear(Wear(60, 0, 0.0), 10) == ""
    assert describe_wear(Wear(60, 1, 0.025), 10) == (
        "1 decision on these 60 held-out prompts: the chance of at least one false promotion is at "
        "most 2.5%; the set is spent after 10"
    )
    told = describe_wear(Wear(60, 12, 0.3), 10)
    assert told.startswith("12 decisions on these 60 held-out prompts: ")
    assert "at most 30.0%; THE HELD-OUT SET IS SPENT (promotion.decisions_per_holdout = 10)" in told


def test_the_bound_holds_for_policies_that_are_no_better():
    """A coin decides each of 20 prompts, and the lower end promotes 15 wins: k · P at the most."""
    import numpy as np

    from rlhf_core.evaluation.intervals import mean_interval

    generator, histories, decisions = np.random.default_rng(1), 300, 12
    ends = [mean_interval([[1.0]] * won + [[0.0]] * (20 - won), 0.95)[0] for won in range(21)]
    wins = generator.binomial(20, 0.5, (histories, decisions))
    false = np.mean([any(ends[won] > 0.5 for won in history) for history in wins])
    assert false <= 12 * 0.025 + 2 * np.sqrt(0.3 * 0.7 / histories)
    assert false == pytest.approx(1 - (1 - 0.0207) ** 12, abs=0.08)  # P(15 or more of 20) = 0.0207
