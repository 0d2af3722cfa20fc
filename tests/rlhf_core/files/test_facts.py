from dataclasses import replace

from rlhf_core.files.labelled import LabelledPair, LabelledSet
from tests.facts import prompt

PAIRS = tuple(LabelledPair(prompt(str(n)), "a", "b", 1.0) for n in range(40))


def test_a_pair_is_the_same_in_either_order():
    pair = PAIRS[0]
    turned = replace(pair, first="b", second="a", target=0.0)
    assert turned.id == pair.id
    assert turned.in_drawn_order() == pair.in_drawn_order()
    assert LabelledSet("x", (turned,)).hash == LabelledSet("x", (pair,)).hash


def test_a_sample_is_the_same_however_the_file_is_sorted():
    forwards, backwards = LabelledSet("x", PAIRS), LabelledSet("x", PAIRS[::-1])
    assert forwards.sample(7).pairs == backwards.sample(7).pairs
    assert len(forwards.sample(7)) == 7


def test_a_larger_sample_holds_the_smaller_one():
    whole = LabelledSet("x", PAIRS)
    assert set(whole.sample(9).pairs) > set(whole.sample(5).pairs)
    assert whole.sample(None) is whole
    assert whole.sample(100) is whole


def test_the_hash_is_of_the_questions_and_their_labels():
    whole = LabelledSet("x", PAIRS)
    assert LabelledSet("other name", PAIRS[::-1]).hash == whole.hash
    assert LabelledSet("x", (replace(PAIRS[0], target=0.0), *PAIRS[1:])).hash != whole.hash
    assert LabelledSet("x", PAIRS[1:]).hash != whole.hash
