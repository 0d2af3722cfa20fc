import pytest

from rlhf_core.evaluation.text_figures import (
    alpha_figure,
    baseline_figures,
    common_figures,
    judge_figures,
)
from rlhf_core.evaluation.verdicts import Figure, TextVerdict
from rlhf_core.files.labelled import LabelledText
from rlhf_core.records import Outcome
from tests.facts import prompt

SILENT = TextVerdict(Outcome.ABSTAINS)


def texts(targets: list[float]) -> list[LabelledText]:
    """Each as long as its place, from 1."""
    return [LabelledText(prompt(str(n)), "a" * (n + 1), t) for n, t in enumerate(targets)]


def scores(*found: float | None) -> list[TextVerdict]:
    return [SILENT if score is None else TextVerdict(Outcome.SCORED, score) for score in found]


def values(figures: list[Figure]) -> dict[str, float]:
    return {figure.metric: figure.value for figure in figures}


def test_correlations_by_hand():
    """Ranks 1 2 3 4 against 1 3 2 4: ρ = 1 − 6 · 2 / 60; τ = (5 − 1) / 6; the scores are ranks."""
    found = values(judge_figures(texts([1, 2, 3, 4]), scores(0.1, 0.3, 0.2, 0.4), False))
    assert found["spearman"] == pytest.approx(0.8)
    assert found["pearson"] == pytest.approx(0.8)
    assert found["kendall"] == pytest.approx(2 / 3)
    assert "auc" not in found
    assert "ece" not in found


def test_auc_counts_the_pairs_in_order():
    """Right over wrong: 0.9 over 0.2 and 0.5, 0.4 over 0.2 only: 3 of 4."""
    found = values(judge_figures(texts([1, 0, 1, 0]), scores(0.9, 0.2, 0.4, 0.5), False))
    assert found["auc"] == pytest.approx(0.75)
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.36 + 0.25) / 4)


def test_the_length_baseline_stands_on_the_same_texts():
    """Lengths 1 to 3 fall in the order of the labels; the silent one would have spoilt it."""
    found = values(judge_figures(texts([1, 2, 3, 0]), scores(0.5, 0.4, 0.3, None), False))
    assert found["longer_spearman"] == pytest.approx(1)
    assert found["length_correlation"] == pytest.approx(-1)
    assert found["abstains"] == 1
    assert values(baseline_figures(texts([1, 2, 3])))["spearman"] == pytest.approx(1)


def test_a_constant_judge_has_no_correlation_and_says_so():
    found = values(judge_figures(texts([0, 1, 1]), scores(0.701, 0.7, 0.699), False))
    assert found["constant_share"] == 1
    assert "spearman" in found  # tiny differences still have an order
    assert "spearman" not in values(judge_figures(texts([0, 1]), scores(0.7, 0.7), False))


def test_judges_are_compared_on_what_all_of_them_scored():
    found = common_figures(
        texts([0, 1, 1]), {"ours": scores(0.9, 0.1, 0.8), "theirs": scores(None, 0.2, 0.3)}
    )
    assert found["ours"] == []  # both labels are 1 where both scored
    found = common_figures(
        texts([0, 1, 1, 0]),
        {"ours": scores(0.1, 0.9, 0.8, 0.2), "theirs": scores(0.3, None, 0.2, 0.1)},
    )
    assert [(f.metric, f.n) for f in found["ours"]] == [("spearman_common", 3), ("auc_common", 3)]
    assert values(found["ours"])["auc_common"] == 1
    assert values(found["theirs"])["auc_common"] == pytest.approx(0.5)


def test_alpha_is_of_ranks_not_of_scales():
    """A judge of half the range ranks alike: full agreement, were the values' own alpha lower."""
    found = alpha_figure({"ours": scores(0.2, 0.6, 1.0), "theirs": scores(0.1, 0.3, 0.5)})
    assert found[0].value == pytest.approx(1)
