"""The wear of a held-out set, by hand."""

from rlhf_core.config.evaluation import PromotionSettings
from rlhf_core.evaluation.wear import Wear, describe_wear, wear_of


def test_half_of_the_prompts_say_how_often_a_set_decided():
    """Three of four prompts took part in 12 decisions, one is fresh."""
    assert wear_of(4, [(12, 0.3)] * 3) == Wear(4, 12, 0.3)
    assert wear_of(4, [(12, 0.3)]) == Wear(4, 0, 0.0)  # three fresh ones: the set begins anew
    assert wear_of(0, []) == Wear(0, 0, 0.0)
    assert wear_of(1, [(60, 1.5)]) == Wear(1, 60, 1.0)  # a chance is at most 1


def test_the_wear_is_told_with_what_is_left_and_what_can_show():
    """Of 20 prompts, decision 1 takes 15 wins (2.07 %) and decision 2, at 0.83 %, 16 (0.59 %)."""
    settings = PromotionSettings()
    assert describe_wear(Wear(20, 0, 0.0), settings) == ""
    assert describe_wear(Wear(20, 1, 0.025), settings) == (
        "1 decision on these 20 held-out prompts may have promoted a policy that is no better with "
        "a chance of at most 2.50%; 2.50% is left; the next decision, with 99.2% confidence, can "
        "show a win rate of 80.0% or more; as many fresh prompts could show 75.0%"
    )


def test_a_worn_set_can_show_nothing():
    """Decision 50 on 12 prompts: 1/2^12 is 2.4·10^-4, and its error rate 0.05 / 2550."""
    told = describe_wear(Wear(12, 49, 0.049), PromotionSettings(min_prompts=6))
    assert told.startswith("49 decisions on these 12 held-out prompts")
    assert "0.10% is left" in told
    assert told.endswith("can show nothing; as many fresh prompts could show 83.3%")
    lone = describe_wear(Wear(3, 1, 0.025), PromotionSettings(min_prompts=6))
    assert lone.endswith("can show nothing, and so can as many fresh prompts")
