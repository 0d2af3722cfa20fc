import pytest

from rlhf_core.evaluation.win_rate import win_rate


def rate(margins):
    return win_rate(margins, confidence=0.95)


def test_ties_count_half_and_prompts_count_alike():
    """Prompt one: a win and a loss, 1/2. Prompt two: a win and a tie, 3/4. Three: a loss, 0."""
    found = rate([[0.2, -0.1], [0.3, 0.0], [-0.5]])
    assert found.rate == pytest.approx((0.5 + 0.75 + 0.0) / 3)
    assert (found.prompts, found.comparisons, found.unscored) == (3, 5, 0)


def test_what_no_one_scored_is_counted_and_left_out():
    found = rate([[None, 0.2], [None, None], [-0.1, -0.2]])
    assert found.rate == pytest.approx(0.5)
    assert (found.prompts, found.comparisons, found.unscored) == (2, 6, 3)


def test_nothing_scored_gives_no_rate():
    found = rate([[None], [None]])
    assert (found.rate, found.low, found.high) == (None, None, None)
    assert found.unscored == 2


def test_swapping_sides_mirrors_the_rate():
    margins = [[0.2, -0.1], [0.3, 0.1], [-0.5, 0.0], [0.4, 0.2]]
    ours, theirs = rate(margins), rate([[-m for m in row] for row in margins])
    assert ours.rate == pytest.approx(1 - theirs.rate)


def test_one_prompt_that_was_won_shows_next_to_nothing():
    found = rate([[0.2]])
    assert found.low < 0.01
    assert found.high == 1.0


def test_more_answers_to_the_same_prompts_do_not_make_it_surer():
    """Counting comparisons instead of prompts would: the interval would halve."""
    once = rate([[m] for m in (0.1, -0.1, 0.1, 0.1, -0.1, 0.1)])
    often = rate([[m] * 8 for m in (0.1, -0.1, 0.1, 0.1, -0.1, 0.1)])
    assert often.high - often.low == pytest.approx(once.high - once.low)
