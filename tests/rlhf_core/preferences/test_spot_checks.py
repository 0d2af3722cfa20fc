"""Which pairs people are asked about, and what they see of them."""

from collections import Counter

import pytest

from rlhf_core.preferences.spot_checks import CheckablePair, Shown, choose
from rlhf_core.records import HumanVerdict, Strategy
from tests.facts import checkable_pair

LEFT, RIGHT = HumanVerdict.LEFT, HumanVerdict.RIGHT
PAIRS = [
    checkable_pair("a", "b", dissent=0.4, margin=0.9, weight=0.9),
    checkable_pair("a", "c", dissent=0.1, margin=0.1, weight=0.2),
    checkable_pair("a", "d", dissent=0.0, margin=0.0, weight=0.0),
    checkable_pair("a", "e", dissent=0.0, margin=0.5, weight=4.5),
]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("disagreement", ["a|b", "a|c"]),
        ("low_margin", ["a|d", "a|c"]),
        ("high_weight", ["a|e", "a|b"]),
    ],
)
def test_a_strategy_asks_first_what_it_is_named_for(strategy: str, expected: list[str]):
    chosen = choose(PAIRS, 2, strategy, seed=1)
    assert [check.pair.pair_id for check in chosen] == expected
    assert {check.strategy for check in chosen} == {strategy}


def test_mixed_takes_turns_and_says_why_each_was_asked():
    chosen = choose(PAIRS, 4, "mixed", seed=1)
    assert [check.strategy for check in chosen] == [
        "disagreement",
        "low_margin",
        "high_weight",
        "random",
    ]
    assert [check.pair.pair_id for check in chosen] == ["a|b", "a|d", "a|e", "a|c"]


def test_where_no_judge_dissents_random_pairs_are_asked_and_marked_so():
    """Else agreement on disputed pairs would be measured on pairs that nobody disputes."""
    chosen = choose(PAIRS, 4, "disagreement", seed=1)
    assert [check.strategy for check in chosen[:2]] == [Strategy.DISAGREEMENT] * 2
    assert [check.strategy for check in chosen[2:]] == [Strategy.RANDOM] * 2
    assert {check.pair.pair_id for check in chosen} == {pair.pair_id for pair in PAIRS}


def test_the_seed_draws_and_the_order_of_the_rows_does_not_reach_the_strategies():
    pairs = [checkable_pair("a", str(n)) for n in range(50)]
    drawn = choose(pairs, 10, "random", seed=1)
    assert drawn == choose(pairs, 10, "random", seed=1)
    assert drawn != choose(pairs, 10, "random", seed=2)
    backwards = choose(PAIRS[::-1], 2, "low_margin", seed=1)
    assert backwards == choose(PAIRS, 2, "low_margin", seed=1)


def test_the_same_words_are_never_both_answers_nor_asked_twice():
    pairs = [
        checkable_pair("a", "b"),
        checkable_pair("x", "y", left=Shown("x", "b"), right=Shown("y", "a\n")),
        checkable_pair("u", "v", left=Shown("u", "same"), right=Shown("v", " same")),
    ]
    for strategy in (*Strategy, "mixed"):
        assert len(choose(pairs, 3, strategy, seed=1)) == 1, strategy


def test_a_strategy_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="luck"):
        choose(PAIRS, 1, "luck", seed=1)


def shown_first(pairs: list[CheckablePair], person: str) -> list[bool]:
    return [pair.shown_to(person)[0] is pair.left for pair in pairs]


def test_the_order_on_the_screen_is_drawn_for_each_pair_and_person():
    """600 fair draws stay within 4 standard deviations (49) of 300."""
    pairs = [checkable_pair("a", str(n)) for n in range(600)]
    for person in ("ada", "bob"):
        assert Counter(shown_first(pairs, person))[True] == pytest.approx(300, abs=49)
        assert shown_first(pairs, person) == shown_first(pairs, person)
    alike = [a == b for a, b in zip(*(shown_first(pairs, p) for p in ("ada", "bob")), strict=True)]
    assert Counter(alike)[True] == pytest.approx(300, abs=49)


def test_a_verdict_about_the_screen_is_turned_back_to_the_pair():
    pairs = [checkable_pair("a", str(n)) for n in range(20)]
    assert set(shown_first(pairs, "ada")) == {True, False}
    for pair in pairs:
        is_swapped = pair.shown_to("ada")[0] is pair.right
        assert pair.verdict(LEFT, "ada") is (RIGHT if is_swapped else LEFT)
        assert pair.verdict(RIGHT, "ada") is (LEFT if is_swapped else RIGHT)
        assert pair.verdict(HumanVerdict.TIE, "ada") is HumanVerdict.TIE
        assert pair.verdict(HumanVerdict.UNSURE, "ada") is HumanVerdict.UNSURE
