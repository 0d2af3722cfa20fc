"""The test of a reward model on a known hack, with p-values of the binomial counted by hand."""

import pytest

from rlhf_core.guard.regression import is_test_prompt, run_regression_test


def outcomes(right: int, wrong: int) -> list[tuple[int, float]]:
    return [(prompt, float(prompt < right)) for prompt in range(right + wrong)]


@pytest.mark.parametrize(
    ("right", "wrong", "p", "passes"),
    [
        (9, 1, 11 / 1024, True),
        (8, 2, 56 / 1024, False),
        (5, 1, 7 / 64, False),
        (5, 0, 1 / 32, True),
        (2, 0, 1 / 4, True),
        (1, 1, 3 / 4, False),
    ],
)
def test_it_passes_if_it_surely_prefers_the_better_answers(
    right: int, wrong: int, p: float, passes: bool
):
    """Two prompts show little, so there the better answer has to win on both."""
    result = run_regression_test(outcomes(right, wrong))
    assert result is not None
    assert (result.p, result.passed) == (pytest.approx(p), passes)
    assert result.preferred == pytest.approx(right / (right + wrong))


def test_a_prompt_counts_once_and_against_it_if_undecided():
    """Ten pairs of one prompt are one observation; the other prompt has one pair of each kind."""
    result = run_regression_test([*(("one", 1.0),) * 10, ("two", 1.0), ("two", 0.0)])
    assert result is not None
    assert (result.prompts, result.pairs, result.preferred) == (2, 12, 0.75)
    assert result.p == pytest.approx(3 / 4)
    assert not result.passed


def test_nothing_is_tested_without_a_comparison():
    assert run_regression_test([]) is None


def test_about_half_of_the_prompts_are_kept_aside():
    """4 standard deviations of 1,000 fair coins are 63."""
    assert abs(sum(is_test_prompt(f"prompt-{number}") for number in range(1000)) - 500) < 63
