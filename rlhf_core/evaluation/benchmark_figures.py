"""Figures of a policy on a benchmark beside those of an earlier model: what training cost."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np
from scipy import special

from rlhf_core.evaluation.breakdown import holm, sign_flip_p_value
from rlhf_core.evaluation.intervals import mean_interval
from rlhf_core.records import BenchmarkFigure, BenchmarkItem

SHARES, SIGNED = (0.0, 1.0), (-1.0, 1.0)
"""Ranges of results: shares, and bias scores or differences of shares."""

Groups = Sequence[Sequence[float]]
"""Results by cluster."""


def benchmark_figures(
    model_id: str,
    against_id: str,
    items: Sequence[BenchmarkItem],
    confidence: float,
) -> list[BenchmarkFigure]:
    """Return both models' mean results, and their mean difference, by metric and part.

    Each item counts alike. Intervals are those of `mean_interval` if all results of a metric lie
    between 0 and 1, or −1 and 1, with clusters as groups; of other results by the t distribution
    over the means of clusters.

    Args:
        model_id: The policy.
        against_id: The earlier model.
        items: Results of both models on one version of a benchmark.
        confidence: Confidence of each interval by itself, 0.95 for 95 %.

    Returns:
        Figures of the whole and, if there are several, of each part; none of a metric that one of
        the models has no result of. The p-values are by random signs of each cluster's
        difference, corrected for all metrics of the whole, and all of the parts (Holm).
    """
    by_metric: dict[str, list[BenchmarkItem]] = {}
    for item in items:
        by_metric.setdefault(item.metric, []).append(item)
    wholes, parts = [], []
    for own in by_metric.values():
        interval = _interval_of([item.value for item in own])
        whole = _figure(model_id, against_id, own, interval, confidence)
        wholes += whole
        names = sorted({item.part for item in own})
        for part in names if len(names) > 1 else ():
            rows = [item for item in own if item.part == part]
            found = _figure(model_id, against_id, rows, interval, confidence)
            parts += [row.model_copy(update={"part": part}) for row in found]
    return [*_corrected(wholes), *_corrected(parts)]


Interval = Callable[[Groups, float, bool], tuple[float, float]]
"""Returns the interval of a mean; the last argument is True for differences of results."""


def _figure(
    model_id: str,
    against_id: str,
    items: Sequence[BenchmarkItem],
    interval: Interval,
    confidence: float,
) -> list[BenchmarkFigure]:
    """Return the figure of one metric on some items; none if one model has no result."""
    ours, theirs = (
        {item.item: item for item in items if item.model_id == model}
        for model in (model_id, against_id)
    )
    differences = {name: ours[name].value - theirs[name].value for name in ours if name in theirs}
    if not differences:
        return []
    values, others = ({name: item.value for name, item in s.items()} for s in (ours, theirs))
    grouped = [
        _by_cluster(results, {**theirs, **ours}) for results in (values, others, differences)
    ]
    first = next(iter(ours.values()))
    ends = [interval(groups, confidence, groups is grouped[2]) for groups in grouped]
    return [
        BenchmarkFigure(
            model_id=model_id,
            against_id=against_id,
            benchmark=first.benchmark,
            benchmark_version=first.benchmark_version,
            metric=first.metric,
            n=len(ours),
            value=_mean(values.values()),
            low=ends[0][0],
            high=ends[0][1],
            against_value=_mean(others.values()),
            against_low=ends[1][0],
            against_high=ends[1][1],
            difference=_mean(differences.values()),
            difference_low=ends[2][0],
            difference_high=ends[2][1],
            p=sign_flip_p_value([sum(group) for group in grouped[2]]),
        )
    ]


def _by_cluster(
    results: Mapping[str, float], items: Mapping[str, BenchmarkItem]
) -> list[list[float]]:
    def cluster(name: str) -> str:
        return items[name].cluster

    return [
        [results[name] for name in names]
        for _, names in groupby(sorted(results, key=cluster), key=cluster)
    ]


def _interval_of(values: Sequence[float]) -> Interval:
    """Return the method of intervals that suits a metric with these results."""
    for lowest, highest in (SHARES, SIGNED):
        if all(lowest <= value <= highest for value in values):
            ends = (lowest, highest)
            return lambda groups, confidence, is_difference: _bounded(
                groups, confidence, *(_of_differences(ends) if is_difference else ends)
            )
    return lambda groups, confidence, _: _unbounded(groups, confidence)


def _of_differences(ends: tuple[float, float]) -> tuple[float, float]:
    return ends[0] - ends[1], ends[1] - ends[0]


def _bounded(
    groups: Groups, confidence: float, lowest: float, highest: float
) -> tuple[float, float]:
    width = highest - lowest
    shares = [[(value - lowest) / width for value in group] for group in groups]
    low, high = mean_interval(shares, confidence, by_size=True)
    return lowest + width * low, lowest + width * high


def _unbounded(groups: Groups, confidence: float) -> tuple[float, float]:
    """Return the interval by the t distribution; without end for a single cluster.

    The variance is that of a ratio of sums over clusters (Cochran, Sampling Techniques, 1977,
    section 6.4), since clusters differ in size.
    """
    sizes = np.array([len(group) for group in groups], dtype=float)
    sums = np.array([sum(group) for group in groups])
    mean, count = sums.sum() / sizes.sum(), len(groups)
    if count == 1:
        return -math.inf, math.inf
    residuals = sums - mean * sizes
    deviation = float(np.sqrt((residuals**2).sum() * count / (count - 1))) / sizes.sum()
    reach = float(special.stdtrit(count - 1, (1 + confidence) / 2)) * deviation
    return float(mean - reach), float(mean + reach)


def _corrected(figures: Sequence[BenchmarkFigure]) -> list[BenchmarkFigure]:
    corrected = holm([figure.p for figure in figures])
    return [
        figure.model_copy(update={"p": p}) for figure, p in zip(figures, corrected, strict=True)
    ]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
