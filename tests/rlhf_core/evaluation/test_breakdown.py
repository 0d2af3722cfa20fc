import numpy as np
import pytest
from scipy import stats

from rlhf_core.evaluation.breakdown import (
    PartResult,
    PartWinRate,
    holm,
    length_parts,
    paired_difference,
    sign_flip_p_value,
    win_rates_by_part,
)
from rlhf_core.evaluation.intervals import mean_interval


def results(**won: list[float]) -> list[PartResult]:
    """Return one comparison a prompt; the keyword is the mode."""
    return [
        PartResult(f"{mode}-{number}", {"mode": mode}, result)
        for mode, row in won.items()
        for number, result in enumerate(row)
    ]


def test_the_p_value_of_wins_and_losses_is_the_exact_sign_test():
    """Ties change nothing; 2 of 2^k sign patterns are as extreme as k wins of k."""
    assert sign_flip_p_value([0.5] * 6) == pytest.approx(2 / 2**6)
    assert sign_flip_p_value([0.5] * 6 + [0.0] * 5) == pytest.approx(2 / 2**6)
    assert sign_flip_p_value([-0.5] * 6) == pytest.approx(2 / 2**6)
    exact = stats.binomtest(9, 12).pvalue
    assert sign_flip_p_value([0.5] * 9 + [-0.5] * 3) == pytest.approx(exact)


def test_the_p_value_of_differences_by_hand():
    """Of the signs of 3, 2 and 1, sums of 4 or more: +++ = 6 and ++− = 4, and their mirrors."""
    assert sign_flip_p_value([3.0, 2.0, -1.0]) == pytest.approx(4 / 8)


def test_many_prompts_have_a_drawn_p_value():
    """Of 100, 60 wins: the exact sign test says 0.0569, and 9,999 draws are near."""
    drawn = sign_flip_p_value([0.5] * 60 + [-0.5] * 40)
    assert drawn == pytest.approx(stats.binomtest(60, 100).pvalue, abs=0.008)
    assert sign_flip_p_value([0.5] * 60 + [-0.5] * 40) == drawn


def test_one_prompt_shows_nothing():
    assert sign_flip_p_value([0.5]) == 1.0


def test_holm_by_hand():
    """0.01 · 4, 0.03 · 3 and then at least as much: 0.04 · 2 < 0.09; 0.9 · 1."""
    assert holm([0.03, 0.01, 0.9, 0.04]) == pytest.approx([0.09, 0.04, 0.9, 0.09])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_each_part_has_its_own_win_rate():
    """Ten wins of ten: p = 2 / 1024, times two parts; five of ten: p = 1."""
    found = win_rates_by_part(results(creative=[1.0] * 10, knowledge=[1.0, 0.0] * 5), 0.95)
    assert [(each.part, each.prompts, each.rate) for each in found] == [
        ("creative", 10, 1.0),
        ("knowledge", 10, 0.5),
    ]
    assert (found[0].low, found[0].high) == mean_interval([[1.0]] * 10, 0.95)
    assert [each.p for each in found] == pytest.approx([4 / 1024, 1.0], abs=1e-6)


def test_a_prompt_counts_once_however_often_it_was_answered():
    rows = [
        PartResult("a", {"mode": "creative"}, 1.0),
        *[PartResult("b", {"mode": "creative"}, 0.0)] * 3,
        PartResult("c", {"mode": "knowledge"}, 0.5),
    ]
    found = win_rates_by_part(rows, 0.95)
    assert [(each.prompts, each.rate) for each in found] == [(2, 0.5), (1, 0.5)]


def test_a_facet_with_one_part_is_left_out_and_corrects_nothing():
    rows = [
        row._replace(parts={**row.parts, "script": "Latin"})
        for row in results(creative=[1.0] * 10, knowledge=[1.0, 0.0] * 5)
    ]
    found = win_rates_by_part(rows, 0.95)
    assert {each.facet for each in found} == {"mode"}
    assert found[0].p == pytest.approx(4 / 1024, abs=1e-6)
    assert win_rates_by_part([], 0.95) == []


def test_equal_policies_rarely_stand_out_in_any_part():
    """Six parts of ten prompts, no difference: at most 5 % of 150 evaluations claim one."""
    generator = np.random.default_rng(1)

    def draw() -> list[PartWinRate]:
        won = generator.integers(0, 2, (6, 10)).astype(float)
        rows = [
            PartResult(f"{part}-{number}", {"topic": str(part)}, won[part, number])
            for part in range(6)
            for number in range(10)
        ]
        return win_rates_by_part(rows, 0.95)

    claims = [any(each.p < 0.05 for each in draw()) for _ in range(150)]
    assert np.mean(claims) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_terciles_by_hand():
    lengths = {"a": 5, "b": 1, "c": 3, "d": 9, "e": 7, "f": 2}
    assert length_parts(lengths) == {
        "b": "short", "f": "short", "c": "middle", "a": "middle", "e": "long", "d": "long",
    }  # fmt: skip
    assert set(length_parts({"a": 4, "b": 4, "c": 4}).values()) == {"middle"}
    # The ranks 1, 2 and 3 of four are 2 in the mean, and (2 − ½) · 3 / 4 is in the second third.
    equal = {"a": 4, "b": 4, "c": 4, "d": 9}
    assert list(length_parts(equal).values()) == ["middle", "middle", "middle", "long"]
    assert length_parts({}) == {}


def test_a_paired_difference_by_hand():
    """Five differences of 1: (d + 1) / 2 is 1, and 2 of 32 patterns of signs are as extreme."""
    ours = {str(number): [1.0] for number in range(5)} | {"only ours": [0.0]}
    theirs = {str(number): [0.0, 0.0] for number in range(5)}
    found = paired_difference(ours, theirs, 0.95)
    assert found is not None
    assert (found.prompts, found.difference, found.high) == (5, 1.0, 1.0)
    assert found.low == pytest.approx(2 * mean_interval([[1.0]] * 5, 0.95)[0] - 1)
    assert found.p == pytest.approx(2 / 32, abs=1e-6)


def test_a_paired_difference_sees_more_than_two_unpaired_win_rates():
    """Prompts are hard or easy for both policies; ours wins one in five that theirs loses."""
    theirs = {str(number): [float(number % 2)] for number in range(60)}
    ours = {key: [1.0 if int(key) % 5 == 0 else row[0]] for key, row in theirs.items()}
    found = paired_difference(ours, theirs, 0.95)
    assert found is not None
    assert found.difference == pytest.approx(0.1)
    low, high = (mean_interval(list(side.values()), 0.95) for side in (theirs, ours))
    assert found.high - found.low < (low[1] - low[0] + high[1] - high[0]) / 2


def test_equal_results_differ_by_nothing():
    same = {str(number): [1.0] for number in range(20)}
    found = paired_difference(same, same, 0.95)
    assert found is not None
    assert (found.difference, found.p) == (0.0, pytest.approx(1.0))
    assert found.low < 0 < found.high
    assert paired_difference({"a": [1.0]}, {"b": [1.0]}, 0.95) is None
