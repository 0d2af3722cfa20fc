import pytest

from rlhf_core.evaluation.pair_figures import (
    agreement_figures,
    alpha_figure,
    baseline_figures,
    baseline_verdicts,
    common_figures,
    flips,
    judge_figures,
)
from rlhf_core.evaluation.verdicts import Figure, PairVerdict, pair_verdict
from rlhf_core.files.labelled import LabelledPair
from rlhf_core.records import Outcome
from tests.facts import prompt

SILENT = PairVerdict(Outcome.UNPARSED)


def pair(name: str, first: str = "a", second: str = "bb", target: float = 1.0) -> LabelledPair:
    return LabelledPair(prompt(name), first, second, target, subset=name[0])


def says(first: float, second: float) -> PairVerdict:
    return pair_verdict(first, second, None)


def values(figures: list[Figure], facet: str = "") -> dict[str, float]:
    return {figure.metric: figure.value for figure in figures if figure.facet == facet}


PAIRS = [
    pair("x1", "long one", "b", 1.0),
    pair("x2", "a", "long one", 1.0),
    pair("y1", "a", "long one", 0.0),
    pair("y2", "same", "size", 1.0),
    pair("y3", "a", "long one", 0.5),
]
VERDICTS = [says(0.9, 0.1), says(0.2, 0.8), says(0.4, 0.4), SILENT, says(0.7, 0.3)]
"""Right; wrong, for the longer; a tie; unparsed; an opinion where the label has none."""


def test_a_tie_is_half_an_unparsed_verdict_nothing_and_a_label_without_choice_no_test():
    """Right, wrong, tie: (1 + 0 + 1/2) / 3; without the tie 1/2."""
    found = judge_figures(PAIRS, VERDICTS, compares=False)
    accuracy = next(figure for figure in found if figure.metric == "accuracy")
    assert (accuracy.value, accuracy.n) == (pytest.approx(0.5), 3)
    decided = next(figure for figure in found if figure.metric == "accuracy_decided")
    assert (decided.value, decided.n) == (pytest.approx(0.5), 2)
    counts = values(found)
    assert [counts[name] for name in ("asked", "scored", "tie", "unparsed")] == [5, 4, 1, 1]


def test_the_length_baseline_stands_on_the_same_pairs():
    """Of the three scored, longer is right, wrong, right; of all four labelled, equal is half."""
    assert values(judge_figures(PAIRS, VERDICTS, False))["longer_accuracy"] == pytest.approx(2 / 3)
    assert values(baseline_figures(PAIRS))["accuracy"] == pytest.approx(2.5 / 4)


def test_length_bias_is_against_the_labels():
    """Decided: x1 and x2. The judge takes the longer both times, the labels once."""
    found = values(judge_figures(PAIRS, VERDICTS, False))
    assert (found["longer_preferred"], found["longer_labelled"]) == (1.0, 0.5)
    assert found["length_bias"] == pytest.approx(0.5)


def test_a_judge_of_length_alone_is_worth_what_length_is():
    found = values(judge_figures(PAIRS, baseline_verdicts(PAIRS), compares=False))
    assert found["accuracy"] == found["longer_accuracy"]
    assert found["longer_preferred"] == 1.0


def test_accuracy_is_given_by_subset():
    found = judge_figures(PAIRS, VERDICTS, compares=False)
    assert values(found, "x")["accuracy"] == pytest.approx(0.5)
    assert values(found, "y")["accuracy"] == pytest.approx(0.5)


def test_position_is_measured_only_of_judges_that_compare():
    """The answer shown first wins in both orders of both pairs."""
    verdicts = [says(0.8, 0.6), says(0.7, 0.9)]
    found = values(judge_figures(PAIRS[:2], verdicts, compares=True))
    assert (found["first_slot"], found["same_slot"], found["consistency"]) == (1, 1, 0)
    assert found["constant_share"] == 1
    alone = values(judge_figures(PAIRS[:2], verdicts, compares=False))
    assert "same_slot" not in alone
    assert alone["constant_share"] == pytest.approx(0.25)


def test_judges_are_compared_on_what_all_of_them_scored():
    """The second judge is silent on the first pair; on the others both are wrong, then right."""
    ours = [says(1, 0), says(0, 1), says(0, 1)]
    theirs = [SILENT, says(0, 1), says(0, 1)]
    found = common_figures(PAIRS[:3], {"ours": ours, "theirs": theirs})
    assert [(f.value, f.n) for f in found["ours"]] == [(0.5, 2)]
    assert [(f.value, f.n) for f in found["theirs"]] == [(0.5, 2)]


def test_kappa_and_alpha_count_only_what_both_scored():
    """Same, apart, same on the three that both scored; first is said by 2/3 and by 1/3."""
    ours = [says(1, 0), says(1, 0), says(0, 1), SILENT]
    theirs = [says(1, 0), says(0, 1), says(0, 1), says(1, 0)]
    kappa = agreement_figures({"ours": ours, "theirs": theirs})["ours", "theirs"]
    # Observed 2/3; chance 2/3 · 1/3 + 1/3 · 2/3 = 4/9.
    assert (kappa.value, kappa.n) == (pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9)), 3)
    # Three of either value; one unit apart: 1 − 5 · 2 / (2 · 3 · 3).
    assert alpha_figure({"ours": ours, "theirs": theirs})[0].value == pytest.approx(1 - 10 / 18)


def test_a_flip_turns_a_right_verdict_to_the_worse_answer():
    """Turned; untouched; only weakened to a tie; wrong before, so no test; now silent."""
    pairs = [
        pair(name, target=target) for name, target in zip("abcde", [1, 0, 1, 1, 1], strict=True)
    ]
    before = [says(1, 0), says(0, 1), says(1, 0), says(0, 1), says(1, 0)]
    after = [says(0, 1), says(0, 1), says(1, 1), says(0, 1), SILENT]
    assert flips(pairs, before, after)[0] == [1, 0, 0]


def test_calibration_is_learnt_on_other_prompts_than_it_is_reported_on():
    """Sure at 0.9 and right in 3 of 4: half the slope, and nearly nothing left of the gap."""
    pairs = [pair(f"p{n}", target=float(n % 4 != 0)) for n in range(400)]
    found = {f.metric: f for f in judge_figures(pairs, [says(0.9, 0.1)] * 400, compares=False)}
    assert found["calibration_slope"].n + found["ece_before"].n == 400
    assert found["ece"].value == pytest.approx(0.15)
    assert found["calibration_slope"].value == pytest.approx(0.5, abs=0.1)
    assert found["ece_after"].value < 0.07 < found["ece_before"].value
