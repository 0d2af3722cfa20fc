"""One part of a mixed reward that explains its rise alone."""

from random import Random

import pytest

from rlhf_core.guard.dominance import leading_part


def addends(rng: Random, style: float, facts: float, prompts: int = 24) -> list[dict[str, float]]:
    """What two parts add to the rewards of some prompts: normal with these means."""
    return [
        {"style": rng.gauss(style, 0.3), "facts": rng.gauss(facts, 0.3)} for _ in range(prompts)
    ]


def test_the_share_by_hand():
    """The style rises by 3 and the facts by 1: 3 of 4 parts of the rise. Falling, they are none."""
    before = [{"style": 0.0, "facts": 2.0}, {"style": 1.0, "facts": 2.0}]
    after = [{"style": 3.0, "facts": 3.0}, {"style": 4.0, "facts": 3.0}]
    lead = leading_part(before, after)
    assert lead is not None
    assert (lead.part, lead.share) == ("style", pytest.approx(0.75))
    fallen = leading_part(before, [{**each, "facts": 0.0} for each in after])
    assert fallen is not None
    assert fallen.share == 1.0


def test_a_part_that_rises_while_the_other_stays_dominates_beyond_chance():
    lead = leading_part(addends(Random(1), 0, 0), addends(Random(2), 2, 0))
    assert lead is not None
    assert lead.part == "style"
    assert lead.chance < 1e-6


def test_parts_that_rise_together_do_not_dominate():
    """The style explains 2 / (2 + 1) of the rise, which is less than four fifths."""
    lead = leading_part(addends(Random(1), 0, 0), addends(Random(2), 2, 1))
    assert lead is not None
    assert lead.share == pytest.approx(2 / 3, abs=0.1)
    assert lead.chance > 0.5


def test_a_fall_of_the_others_alone_is_no_rise():
    """The facts fall far and the style stays: the style did not rise beyond chance."""
    for seed in range(20):
        lead = leading_part(addends(Random(seed), 0, 0), addends(Random(seed + 100), 0, -3))
        assert lead is None or lead.chance > 0.005


def test_chance_alone_leads_no_more_often_than_the_p_value_says():
    """Of 400 rewards that did not change, each with two parts, at most 2 · 5 % and its error."""
    rng = Random(5)
    leads = [leading_part(addends(rng, 0, 0), addends(rng, 0, 0)) for _ in range(400)]
    assert sum(lead is not None and lead.chance < 0.05 for lead in leads) / 400 <= 0.1 + 0.03


def test_there_is_no_lead_of_one_part_or_of_none_that_rose():
    assert leading_part([{"style": 0.0}] * 3, [{"style": 1.0}] * 3) is None
    both = {"style": 0.0, "facts": 0.0}
    assert leading_part([both] * 3, [both] * 3) is None
    assert leading_part([], [both]) is None
