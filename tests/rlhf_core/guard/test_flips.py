"""Verdicts that turn if one side's answers are reworded."""

from random import Random

import pytest

from rlhf_core.guard.flips import Turns, flip_tests, turned


@pytest.mark.parametrize(
    ("before", "after", "by"),
    [(0.3, -0.1, 1.0), (-2.0, 5.0, 1.0), (0.3, 0.0, 0.5), (0.0, -0.1, 0.5), (0.1, 9.0, 0.0)],
)
def test_how_far_a_verdict_turned(before: float, after: float, by: float):
    assert turned(before, after) == by


def prompts(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def test_the_p_value_of_one_rewording_by_hand():
    """Five of eight prompts turned, all for the policy: 2 of 2⁵ sign flips are as one-sided."""
    ids = prompts(8)
    turns = Turns("j", "closing", dict.fromkeys(ids[:5], 1.0), {ids[7]: 0.0})
    (test,) = flip_tests([turns], ids, 0.05)
    assert test.p == pytest.approx(2 / 32)
    assert (test.policy_rate, test.baseline_rate, test.prompts) == (5 / 8, 0.0, 8)


def test_the_p_values_of_two_rewordings_by_hand():
    """Differences 1 1 1 and 1 1 −1 of the same three prompts: largest statistic 3 / √3 or 1 / √3.

    Four of the eight sign flips give one of the two rows equal signs; the second row's statistic,
    1 / √3, is reached by all.
    """
    ids = prompts(3)
    same = Turns("j", "closing", dict.fromkeys(ids, 1.0), {})
    mixed = Turns("j", "synonyms", dict.fromkeys(ids[:2], 1.0), {ids[2]: 1.0})
    first, second = flip_tests([same, mixed], ids, 0.05)
    assert (first.p, second.p) == (pytest.approx(4 / 8), 1.0)


def test_turns_of_both_sides_cancel_out():
    ids = prompts(6)
    both = dict.fromkeys(ids, 1.0)
    assert flip_tests([Turns("j", "closing", both, both)], ids, 0.05) == []
    assert flip_tests([], ids, 0.05) == []


def test_many_prompts_on_one_side_are_beyond_chance():
    """Sixteen of sixteen: 2 / 2¹⁶ of the sign flips, of which draws can show less than 1 in 10⁴."""
    ids = prompts(40)
    (test,) = flip_tests([Turns("j", "closing", {}, dict.fromkeys(ids[:16], 1.0))], ids, 0.003)
    assert test.p < 5e-4


def test_noise_turns_no_more_often_beyond_the_level_than_the_level():
    """50 sets of two judges, five rewordings and 24 prompts, where both sides turn at random.

    At 5 %, 2.5 are expected, and 8 or more have a chance of 0.3 %.
    """
    ids, rng, beyond = prompts(24), Random(3), 0
    for _ in range(50):
        turns = [
            Turns(judge, name, *({id: float(rng.random() < 0.3) for id in ids} for _ in range(2)))
            for judge in ("one", "two")
            for name in "abcde"
        ]
        beyond += any(test.p <= 0.05 for test in flip_tests(turns, ids, 0.5))
    assert beyond < 8
