"""The page of an experiment: its claims with their verdicts, its numbers and its charts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from flows.charts import svg as charts
from flows.experiments.experiment import Claim, Experiment, Measure
from flows.experiments.results import Row
from flows.experiments.verdicts import ClaimVerdict, SeedMean, judge_claim, mean_over_seeds
from flows.reports.pages import render
from rlhf_core.files.whole import whole_text

ByArm = Mapping[str, Mapping[int, float]]


def write_page(path: Path, experiment: Experiment, rows: Sequence[Row]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: File of the page.
        experiment: The experiment.
        rows: Its rows; arms and seeds may be missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        stream.write(experiment_page(experiment, rows))


def experiment_page(experiment: Experiment, rows: Sequence[Row]) -> str:
    """Return the page; arguments are those of `write_page`."""
    means = {measure.name: _means(experiment, measure, rows) for measure in experiment.measures}
    seeds = sorted({row.seed for row in rows})
    return render(
        "experiment.html",
        {
            "experiment": experiment,
            "verdicts": claim_verdicts(experiment, rows),
            "means": means,
            "charts": [
                Markup(_chart_of(experiment, measure, means[measure.name]))
                for measure in experiment.measures
                if any(means[measure.name].values())
            ],
            "curves": _curves(experiment, rows),
            "rows": rows,
            "seeds": ", ".join(map(str, seeds)) or "none yet",
            "missing": len(experiment.arms) * max(len(seeds), 1) - len(rows),
            "minutes": sum(row.seconds for row in rows) / 60,
            "places": {measure.name: measure.places for measure in experiment.measures},
            "labels": {measure.name: measure.label for measure in experiment.measures},
            "about": _about,
        },
    )


def claim_verdicts(experiment: Experiment, rows: Sequence[Row]) -> list[ClaimVerdict]:
    """Return the verdict on each claim of an experiment by its rows."""
    return [judge_claim(claim, values_of(claim.measure, rows)) for claim in experiment.claims]


def values_of(measure: str, rows: Sequence[Row]) -> ByArm:
    """Return the values of a measure by arm, then by seed; rows without it are left out."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        if measure in row.numbers:
            values[row.arm][row.seed] = row.numbers[measure]
    return values


def _means(
    experiment: Experiment, measure: Measure, rows: Sequence[Row]
) -> dict[str, SeedMean | None]:
    values = values_of(measure.name, rows)
    return {
        arm.name: mean_over_seeds(list(values.get(arm.name, {}).values()))
        for arm in experiment.arms
    }


def _about(claim: Claim) -> str:
    """Return the number that a claim is about, and the side on which it holds."""
    number = claim.arm if claim.other is None else f"{claim.arm} − {claim.other}"
    return f"{number}, {claim.direction} {claim.threshold:g}"


def _chart_of(
    experiment: Experiment, measure: Measure, means: Mapping[str, SeedMean | None]
) -> str:
    """Plot a measure with its intervals, one row an arm; the dashed line is the first arm."""
    intervals = [
        charts.Interval(
            name,
            mean.mean,
            mean.mean if mean.low is None else mean.low,
            mean.mean if mean.high is None else mean.high,
        )
        for name, mean in means.items()
        if mean is not None
    ]
    return charts.numbers(intervals, measure.label, intervals[0].value)


def _curves(experiment: Experiment, rows: Sequence[Row]) -> list[dict[str, Any]]:
    drawn = []
    for chart in experiment.charts:
        by_arm = {
            arm.name: [row.curves[chart.name] for row in rows
                       if row.arm == arm.name and row.curves.get(chart.name)]
            for arm in experiment.arms
        }  # fmt: skip
        shown = {name: curves for name, curves in by_arm.items() if curves}
        if shown:
            drawn.append(
                {"title": chart.title, "svg": Markup(charts.curves(shown, chart.x, chart.y))}
            )
    return drawn
