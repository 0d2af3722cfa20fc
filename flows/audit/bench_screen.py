"""The plan and the results of a benchmark as tables on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.audit.bench import Benchmark, PlanRow
from judges.bench.results import JudgeResult, SetResult

COSTS = ("ECE → mended", "per second", "USD")
PAIRS = (
    "judge",
    "scored",
    "accuracy",
    "longer wins",
    "decided",
    "common",
    "same slot",
    "length bias",
)
TEXTS = ("judge", "scored", "Spearman", "length's", "Pearson", "Kendall", "AUC", "common")


def print_plan(rows: Sequence[PlanRow], to: Console) -> None:
    """Print the planned calls and costs of each judge on each set."""
    table = Table("data", "judge", "items", "calls", "tokens here", "US dollars")
    for row in rows:
        tokens = f"{row.local_tokens:,.0f}" if row.local_tokens else ""
        cells = (
            row.data,
            row.judge,
            f"{row.items:,}",
            f"{row.calls:,}",
            tokens,
            _usd(row.cost_usd),
        )
        table.add_row(*(Text(cell) for cell in cells))
    calls, cost = sum(row.calls for row in rows), sum(row.cost_usd for row in rows)
    table.add_row("", "in all", "", f"{calls:,}", "", f"{cost:.2f}")
    to.print(table)


def print_outcome(benchmark: Benchmark, to: Console) -> None:
    """Print the results of a benchmark, one table a labelled set."""
    for result in benchmark.sets:
        to.print(Text(f"\n{result.data.name}: {_describe(result)}", style="bold"))
        for alarm in (judge.alarm for judge in result.judges):
            if alarm:
                to.print(Text(f"alarm: {alarm}", style="red"))
        for name, reason in result.unfit.items():
            to.print(Text(f"not run: {name} {reason}"))
        table = Table(*(PAIRS if result.has_pairs else TEXTS), *COSTS)
        for judge in result.judges:
            cells = _pair_cells(judge) if result.has_pairs else _text_cells(judge)
            table.add_row(*(Text(cell) for cell in cells))
        to.print(table)
        for figure in result.together:
            to.print(f"Krippendorff's {figure.metric} of the judges: {figure.value:.3f}")
    to.print(f"page: {benchmark.page}", soft_wrap=True, highlight=False)


def _describe(result: SetResult) -> str:
    left_out = [f"{count} left out: {why}" for why, count in result.data.left_out.items()]
    kind = "pairs" if result.has_pairs else "texts"
    return "; ".join([f"{len(result.data)} {kind}", *left_out])


def _pair_cells(judge: JudgeResult) -> list[str]:
    accuracy = judge.figure("accuracy")
    interval = f" ({accuracy.low:.2f}–{accuracy.high:.2f})" if accuracy else ""
    return [
        *_counts(judge),
        _number(judge, "accuracy") + interval,
        _number(judge, "longer_accuracy"),
        _number(judge, "accuracy_decided"),
        _with_n(judge, "accuracy_common"),
        _number(judge, "same_slot"),
        _number(judge, "length_bias"),
        *_costs(judge),
    ]


def _text_cells(judge: JudgeResult) -> list[str]:
    shown = ("spearman", "longer_spearman", "pearson", "kendall", "auc")
    return [
        *_counts(judge),
        *(_number(judge, metric) for metric in shown),
        _with_n(judge, "spearman_common"),
        *_costs(judge),
    ]


def _counts(judge: JudgeResult) -> list[str]:
    scored, asked = judge.value("scored") or 0, judge.value("asked") or 0
    return [judge.name, f"{scored:.0f} of {asked:.0f}"]


def _costs(judge: JudgeResult) -> list[str]:
    speed = judge.value("items_per_second")
    shown = f"{speed:.3g}" if speed else ""
    cost = _usd(judge.value("cost_usd") or 0.0)
    ece = " → ".join(n for n in (_number(judge, "ece_before"), _number(judge, "ece_after")) if n)
    return [ece, shown, cost]


def _number(judge: JudgeResult, metric: str) -> str:
    value = judge.value(metric)
    return "" if value is None else f"{value:.3f}"


def _with_n(judge: JudgeResult, metric: str) -> str:
    figure = judge.figure(metric)
    return "" if figure is None else f"{figure.value:.3f} (n {figure.n})"


def _usd(amount: float) -> str:
    return f"{amount:.4f}" if amount else ""
