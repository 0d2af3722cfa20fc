"""Benchmarks of two models beside each other, by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from rlhf_core.evaluation.benchmark_figures import benchmark_figures
from rlhf_core.evaluation.intervals import mean_interval
from rlhf_core.records import BenchmarkFigure, BenchmarkItem


def items(
    model_id: str,
    values: list[float | None],
    metric: str = "accuracy",
    parts: str = "",
    clusters: str = "",
) -> list[BenchmarkItem]:
    """Return an item for each value that is not None."""
    return [
        BenchmarkItem(
            model_id=model_id,
            benchmark="b",
            benchmark_version="v",
            item=str(place),
            part=parts[place] if parts else "",
            cluster=clusters[place] if clusters else str(place),
            metric=metric,
            value=value,
        )
        for place, value in enumerate(values)
        if value is not None
    ]


def figures(*groups: list[BenchmarkItem]) -> dict[tuple[str, str], BenchmarkFigure]:
    rows = benchmark_figures("policy", "sft", [item for group in groups for item in group], 0.95)
    return {(row.metric, row.part): row for row in rows}


def test_shares_and_their_paired_difference():
    """Accuracy falls from 8 of 10 to 4 of 10: four of the five that changed, p = 2 · 1/16."""
    before = [1.0] * 8 + [0.0] * 2
    after = [1.0] * 4 + [0.0] * 6
    (row,) = figures(items("sft", before), items("policy", after)).values()
    assert (row.n, row.value, row.against_value) == (10, 0.4, 0.8)
    assert row.difference == pytest.approx(-0.4)
    assert (row.low, row.high) == pytest.approx(mean_interval([[v] for v in after], 0.95))
    halves = [[(a - b + 1) / 2] for a, b in zip(after, before, strict=True)]
    low, high = mean_interval(halves, 0.95)
    assert (row.difference_low, row.difference_high) == pytest.approx((2 * low - 1, 2 * high - 1))
    assert row.p == pytest.approx(2 / 16)


def test_each_item_counts_alike_and_a_cluster_varies_as_one():
    """Nine items of one template are right, one of another is not: a mean of 0.9, not of 0.5."""
    values, clusters = [1.0] * 9 + [0.0], "a" * 9 + "b"
    (row,) = figures(
        items("sft", values, clusters=clusters), items("policy", values, clusters=clusters)
    ).values()
    assert row.value == pytest.approx(0.9)
    assert (row.low, row.high) == pytest.approx(
        mean_interval([[1.0] * 9, [0.0]], 0.95, by_size=True)
    )
    assert row.high - row.low > 0.5


def test_parts_are_shown_where_there_are_several():
    found = figures(
        items("sft", [1.0, 1.0, 1.0, 1.0], parts="aabb"),
        items("policy", [1.0, 1.0, 0.0, 0.0], parts="aabb"),
    )
    assert {part: row.difference for (_, part), row in found.items()} == {
        "": -0.5,
        "a": 0.0,
        "b": -1.0,
    }
    assert [row.n for row in found.values()] == [4, 2, 2]


def test_bias_scores_lie_between_minus_one_and_one():
    found = figures(
        items("sft", [-1.0, -1.0, 0.0], "bias"), items("policy", [1.0, 1.0, 0.0], "bias")
    )
    row = found["bias", ""]
    assert (row.value, row.against_value) == pytest.approx((2 / 3, -2 / 3))
    assert -1 <= row.low < row.value < row.high <= 1
    assert -2 <= row.difference_low < row.difference == pytest.approx(4 / 3)
    assert row.difference_high <= 2


def test_the_difference_is_over_items_that_both_have():
    """An Unknown answer has no bias score, and each model has its own."""
    found = figures(
        items("sft", [1.0, None, 1.0], "bias"), items("policy", [-1.0, 1.0, None], "bias")
    )
    row = found["bias", ""]
    assert (row.n, row.value, row.against_value, row.difference) == (2, 0.0, 1.0, -2.0)


def test_other_numbers_have_the_interval_of_the_t_distribution():
    after, before = [3.0, 5.0, 10.0, 2.0], [4.0, 4.0, 8.0, 2.0]
    row = figures(items("sft", before, "words"), items("policy", after, "words"))["words", ""]
    error = np.std(after, ddof=1) / math.sqrt(4)
    reach = stats.t.ppf(0.975, 3) * error
    assert (row.low, row.high) == pytest.approx((5 - reach, 5 + reach))


def test_p_values_are_corrected_for_the_metrics_of_the_whole():
    """Ten losses have p = 2/1024, for two metrics; the other does not change."""
    found = figures(
        items("sft", [1.0] * 10),
        items("policy", [0.0] * 10),
        items("sft", [1.0] * 10, "other"),
        items("policy", [1.0] * 10, "other"),
    )
    assert found["accuracy", ""].p == pytest.approx(2 * 2 / 1024)
    assert found["other", ""].p == 1.0


def test_a_metric_of_one_model_alone_has_no_figure():
    assert figures(items("sft", [1.0]), items("policy", [0.0], "other")) == {}
