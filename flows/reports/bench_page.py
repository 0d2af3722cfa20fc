"""The page of a judge benchmark: each judge against the length baseline, with its charts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.charts import svg as charts
from judges.bench.results import JudgeResult, SetResult
from rlhf_core.evaluation.calibration import reliability
from rlhf_core.evaluation.verdicts import Figure
from rlhf_core.files.whole import whole_text


def write_page(path: Path, benchmark: str, results: Sequence[SetResult]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: File of the page.
        benchmark: Id of the benchmark.
        results: Results, one a labelled set.
    """
    environment = Environment(
        loader=PackageLoader("flows.reports"), autoescape=True, undefined=StrictUndefined
    )
    sets = [{"result": result, **_charts_of(result)} for result in results]
    page = environment.get_template("bench.html").render(benchmark=benchmark, sets=sets)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        stream.write(page)


def _charts_of(result: SetResult) -> dict[str, Any]:
    judges = [judge for judge in result.judges if judge.scores]
    return {
        "accuracies": _accuracies(result.judges),
        "position": _bars(judges, "same_slot", "same slot chosen after a swap"),
        "length": _bars(judges, "length_bias", "length bias: judge − labels"),
        "calibration": [
            (judge, Markup(charts.reliability(_curve(judge), "share that was right")))
            for judge in judges
            if judge.forecasts
        ],
        "distributions": [
            (judge, Markup(charts.histogram(judge.scores, _score_label(judge)))) for judge in judges
        ],
        "subsets": sorted({figure.facet for j in result.judges for figure in j.facets("accuracy")}),
        "attacks": sorted({f.facet for j in result.judges for f in j.facets("flip_rate")}),
        "agreement": "kappa" if result.has_pairs else "rank_agreement",
    }


def _accuracies(judges: Sequence[JudgeResult]) -> Markup | None:
    accuracies = [(judge.name, judge.figure("accuracy")) for judge in judges]
    rows = [interval for name, figure in accuracies for interval in _interval(name, figure)]
    return (
        Markup(charts.shares(rows, "accuracy (a tie counts half), with its 95 % interval"))
        if rows
        else None
    )


def _interval(name: str, figure: Figure | None) -> list[charts.Interval]:
    if figure is None or figure.low is None or figure.high is None:
        return []
    return [charts.Interval(name, figure.value, figure.low, figure.high)]


def _bars(judges: Sequence[JudgeResult], metric: str, label: str) -> Markup | None:
    rows = [(judge.name, value) for judge in judges if (value := judge.value(metric)) is not None]
    return Markup(charts.bars(rows, label)) if rows else None


def _curve(judge: JudgeResult) -> list[tuple[float, float, int]]:
    probabilities = [probability for probability, _ in judge.forecasts]
    bins = reliability(probabilities, [target for _, target in judge.forecasts])
    return [(point.probability, point.target, point.n) for point in bins]


def _score_label(judge: JudgeResult) -> str:
    return "probability of the first answer" if judge.compares else "score"
