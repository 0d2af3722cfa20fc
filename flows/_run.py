"""Running cycles from the command line: the plan first, then the stages, then what came of it."""

import logging
from typing import Any

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console
from rich.table import Table

from flows._cycle import Cycle, ended_cycles, new_run_id
from flows._progress import console
from flows.pipeline import pipeline
from flows.plan import Plan, plan_run
from flows.report import report_path
from rlhf_core.config import Config
from rlhf_core.records import Evaluation
from rlhf_core.store import Store, queries

LOGGERS = ("flows", "judges", "rlhf_core")


def run_cycles(config: Config, cycles: int, is_quiet: bool) -> dict[str, int]:
    """Bring a config to so many ended cycles; the rows that were added, by table."""
    ended = ended_cycles(config)
    if ended >= cycles:
        return {}
    found = plan_run(config)
    if not is_quiet:
        _log_to_console()
        print_plan(found, console)
    before = Store(config.store).counts()
    # Heartbeats tell a server about crashes; here the store does, and each would cost a second.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        for number in range(ended + 1, cycles + 1):
            pipeline(Cycle(config=config, number=number, run_id=new_run_id()))
    after = Store(config.store).counts()
    return {table: count - before[table] for table, count in after.items() if count > before[table]}


def summary(config: Config, cycle: int, added: dict[str, int]) -> dict[str, Any]:
    """What came of a cycle that ended, as figures."""
    store = Store(config.store)
    promotion = queries.promotions_of(store, config.hash)[cycle]
    found = queries.evaluations_of(store, promotion.policy_id, promotion.baseline_id)
    deciding = next(e for e in found if e.id == promotion.evaluation_id)
    evaluations = [e for e in found if e.settings == deciding.settings]
    return {
        "cycle": cycle,
        "promoted": promotion.promoted,
        "reasons": list(promotion.reasons),
        "policy": promotion.policy_id,
        "baseline": promotion.baseline_id,
        "evaluations": [_figures(evaluation) for evaluation in evaluations],
        "kl": deciding.kl,
        "store": str(config.store),
        "added": added,
        "report": str(report_path(config, cycle)),
    }


def print_summary(found: dict[str, Any], to: Console) -> None:
    table = Table("judge", "role", "win rate", "interval", "before", "after")
    for row in found["evaluations"]:
        table.add_row(
            row["judge"],
            row["role"].replace("_", " "),
            _share(row["win_rate"]),
            f"{_share(row['win_rate_low'])} to {_share(row['win_rate_high'])}",
            _score(row["baseline_score"]),
            _score(row["policy_score"]),
        )
    to.print(table)
    verdict = "promoted" if found["promoted"] else "refused"
    to.print(f"cycle {found['cycle']}: {verdict}; {'; '.join(found['reasons'])}", highlight=False)
    if found["added"]:
        rows = ", ".join(f"{table} {count}" for table, count in found["added"].items())
        to.print(f"rows added: {rows}", highlight=False, soft_wrap=True)
    else:
        to.print("rows added: none; this cycle had ended before", highlight=False)
    to.print(f"store:  {found['store']}", highlight=False, soft_wrap=True)
    to.print(f"report: {found['report']}", highlight=False, soft_wrap=True)


def print_plan(found: Plan, to: Console) -> None:
    size = f"{found.parameters / 1e6:.1f} M parameters"
    to.print(f"[bold]{found.policy}[/bold] ({size}) on {found.compute}", highlight=False)
    to.print(
        f"{found.prompts} prompts: {found.train} to train on, {found.holdout} held out\n"
        f"judges: {', '.join(found.judges)}; evaluated by {', '.join(found.evaluation_judges)}",
        highlight=False,
    )
    table = Table("stage", "what", "count", "about", "US dollars")
    for row in found.rows:
        cost = f"{row.cost_usd:.2f}" if row.cost_usd else ""
        table.add_row(row.stage, row.what, f"{row.count:,}", _duration(row.seconds), cost)
    table.add_row("", "in all", "", _duration(found.seconds), f"{found.cost_usd:.2f}")
    to.print(table)


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    return evaluation.model_dump(
        include={
            "judge",
            "judge_version",
            "role",
            "prompts",
            "comparisons",
            "unscored",
            "win_rate",
            "win_rate_low",
            "win_rate_high",
            "policy_score",
            "baseline_score",
            "policy_tokens",
            "baseline_tokens",
        }
    )


class _ConsoleLog(logging.Handler):
    """Log lines through the console of the progress bars, so that neither tears the other."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(self.format(record), soft_wrap=True, highlight=False, markup=False)


def _log_to_console() -> None:
    handler = _ConsoleLog()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return ""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
