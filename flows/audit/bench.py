"""`solon judges bench`: how well judges agree with labels that people gave.

First the plan; then every judge and the length baseline on every labelled set; then the rows, the
page and the table. This is no stage of a cycle, and runs without Prefect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.cycle.cycle import new_run_id
from flows.cycle.ledger import StoreLedger
from flows.reports.bench_page import write_page
from flows.terminal.progress import Advance, progress
from judges.bench.results import PANEL, Extras, JudgeResult, SetResult, evaluate_judges
from judges.bench.runner import JudgeRun, question_count
from rlhf_core.config import Panel
from rlhf_core.endpoints.budget import Budget
from rlhf_core.errors import DataFileError
from rlhf_core.files.labelled import LabelledSet
from rlhf_core.files.labelled_reading import read_labelled
from rlhf_core.files.roles import parse_map
from rlhf_core.records import JudgeBenchmark
from rlhf_core.store import Store

CHARACTERS_PER_TOKEN = 4.0
"""Estimate for English text, used by the plan."""


@dataclass(frozen=True)
class Bench:
    """A benchmark to run: judges, labelled sets, and additional questions."""

    panel: Panel
    sets: Sequence[LabelledSet]
    extras: Extras = field(default_factory=Extras)


@dataclass(frozen=True)
class PlanRow:
    """The planned calls of one judge on one set."""

    judge: str
    data: str
    items: int
    calls: int
    local_tokens: float
    """Tokens through a model on this machine."""
    cost_usd: float


@dataclass(frozen=True)
class Benchmark:
    """The results of a benchmark."""

    id: str
    sets: list[SetResult]
    page: Path


def read_sets(
    paths: Sequence[Path | str], form: str | None, columns: Sequence[str], limit: int | None
) -> list[LabelledSet]:
    """Read labelled sets from files.

    Args:
        paths: The files.
        form: Name of their format; None detects it from the columns.
        columns: Names of columns, each written ROLE=COLUMN.
        limit: Number of items of each file, drawn by hash; None takes all.

    Returns:
        One set a file.

    Raises:
        InputError: If a column is malformed, or a file cannot be read; with the line.
    """
    names = parse_map(columns)
    return [read_labelled(path, form, names).sample(limit) for path in paths]


def plan_bench(bench: Bench) -> list[PlanRow]:
    """Return the planned calls of each judge on each set, with their cost.

    Raises:
        InputError: If anything in the config, the data or the models would stop the benchmark.
    """
    runs = [JudgeRun(settings) for settings in bench.panel.judges]
    for run in runs:
        run.check()
    for data in bench.sets:
        if bench.extras.injections and not data.pairs:
            raise DataFileError(
                f"{data.name} holds single texts; --injections attacks the worse answer of a pair"
            )
    return [_planned(run, data, bench) for data in bench.sets for run in runs]


def _planned(run: JudgeRun, data: LabelledSet, bench: Bench) -> PlanRow:
    calls = question_count(run.compares, data.pairs, data.texts)
    extras, orders = bench.extras, 2 if run.compares or data.pairs else 1
    calls += orders * min(extras.again, len(data))
    calls += orders * min(extras.injections, len(data)) * len(extras.attacks)
    entries = data.pairs or data.texts
    prompt = sum(len(entry.prompt.instruction) for entry in entries) / len(entries)
    answers = [len(text) for entry in entries for text in entry.texts]
    load = run.workload(
        prompt / CHARACTERS_PER_TOKEN, sum(answers) / len(answers) / CHARACTERS_PER_TOKEN
    )
    return PlanRow(
        run.name, data.name, len(data), calls, calls * load.tokens, calls * load.cost_usd
    )


def run_bench(bench: Bench, plan: Sequence[PlanRow], page: Path | None = None) -> Benchmark:
    """Run every judge on every set; store the figures and write the page.

    Args:
        bench: The benchmark.
        plan: Its plan.
        page: File of the page; None puts it among the artifacts.

    Returns:
        The results.

    Raises:
        EndpointError: If a remote model does not answer, before any judge is queried.
    """
    id = new_run_id()
    store = Store(bench.panel.store, id)
    results: list[SetResult] = []
    with progress("judging", sum(row.calls for row in plan)) as advance:
        meter = _Meter(advance)
        ledger = StoreLedger(store, Budget(bench.panel.budget), compute=bench.panel.compute)
        runs = [JudgeRun(s, ledger, meter.reader(s.name)) for s in bench.panel.judges]
        for run in runs:
            run.preflight()
        for data in bench.sets:
            results.append(evaluate_judges(data, runs, bench.extras))
            store.append(records(id, results[-1]))
    store.publish()
    path = page or bench.panel.artifacts / "benches" / f"{id}.html"
    write_page(path, id, results)
    return Benchmark(id, results, path)


class _Meter:
    """Advances the progress bar, and shows the cost so far beside it."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._cost_usd = 0.0

    def reader(self, judge: str) -> Callable[[int, float], None]:
        def read(count: int, cost_usd: float) -> None:
            self._cost_usd += cost_usd
            paid = f", {self._cost_usd:.4f} USD" if self._cost_usd else ""
            self._advance(count, f"{judge}{paid}")

        return read


def records(benchmark: str, result: SetResult) -> list[JudgeBenchmark]:
    """Return the figures of a set as rows."""
    together = JudgeResult(PANEL, "", False, result.together)
    return [
        JudgeBenchmark(
            benchmark=benchmark,
            judge=judge.name,
            judge_version=judge.version,
            data=result.data.name,
            items_hash=result.data.hash,
            **vars(figure),
        )
        for judge in [*result.judges, together]
        for figure in judge.figures
    ]


def summary(benchmark: Benchmark) -> dict[str, Any]:
    """Return all results as JSON values."""
    return {
        "benchmark": benchmark.id,
        "page": str(benchmark.page),
        "sets": [
            {
                "data": result.data.name,
                "items": len(result.data),
                "items_hash": result.data.hash,
                "left_out": dict(result.data.left_out),
                "unfit": dict(result.unfit),
                "alarms": [judge.alarm for judge in result.judges if judge.alarm],
                "together": [vars(figure) for figure in result.together],
                "judges": {
                    judge.name: {
                        "version": judge.version,
                        "figures": [vars(figure) for figure in judge.figures],
                    }
                    for judge in result.judges
                },
            }
            for result in benchmark.sets
        ],
    }
