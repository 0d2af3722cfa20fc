"""Running cycles from the command line: the plan first, then stage after stage."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.cycle.cycle import cycle_of, ended_cycles
from flows.cycle.forecast import forecasting
from flows.cycle.line import check_line
from flows.pipeline import pipeline
from flows.planning.plan import Plan, plan_run
from flows.service.janitor import close_dead_runs, owned
from flows.terminal.progress import console, duration
from rlhf_core.config import Config
from rlhf_core.store import Store

LOGGERS = ("flows", "judges", "rlhf_core")
BUSY = 1.2
"""From which slowdown on a plan says that others use the machine."""


def run_cycles(
    config: Config,
    cycles: int,
    is_quiet: bool,
    source: Path | None = None,
    when_checked: Callable[[], None] | None = None,
) -> dict[str, int]:
    """Bring a line to so many ended cycles; the rows that were added, by table.

    Args:
        config: Of the line.
        cycles: How many are to have ended.
        is_quiet: Print neither the plan nor what happens.
        source: The file that the config was read from.
        when_checked: Waits for the Prefect server that starts while the config is checked.
    """
    state = check_line(config, source)
    due = [
        cycle_of(config, number, source) for number in range(ended_cycles(config) + 1, cycles + 1)
    ]
    found = plan_run(config, cycles, due[0].budget if due else None, when_checked)
    if not is_quiet:
        _log_to_console()
        console.print(str(state), highlight=False, markup=False, soft_wrap=True)
        print_plan(found, console)
    before = Store(config.store).counts()
    # Heartbeats tell a server about crashes; here the store does, and each would cost a second.
    quiet = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with quiet, owned(), forecasting(found.by_stage):
        close_dead_runs()
        for cycle in due:
            pipeline(cycle)
    after = Store(config.store).counts()
    return {table: count - before[table] for table, count in after.items() if count > before[table]}


def print_plan(found: Plan, to: Console) -> None:
    spread = f", in {found.processes} processes" if found.processes > 1 else ""
    to.print(
        Text(found.policy, style="bold"),
        f"({found.parameters:,} parameters) on {found.compute}{spread}",
        highlight=False,
    )
    to.print(
        f"{found.prompts} prompts: {found.train} to train on, {found.holdout} held out\n"
        f"judges: {', '.join(found.judges)}; evaluated by {', '.join(found.evaluation_judges)}",
        highlight=False,
    )
    style = None if found.least_win_rate is not None else "bold red"
    to.print(found.decision, style=style, highlight=False, markup=False)
    _print_counts("left out", found.left_out, to)
    _print_counts("personal data found", found.personal_data, to)
    if not found.rows:
        to.print(
            f"nothing is missing: {_cycles(found.ended)} ended; --cycles {found.ended + 1} runs "
            "another",
            highlight=False,
        )
        return
    if found.ended:
        to.print(f"{_cycles(found.ended)} ended before; to come until cycle {found.cycles}:")
    table = Table("stage", "what", "count", "about", "US dollars")
    for row in found.rows:
        cost = f"{row.cost_usd:.2f}" if row.cost_usd else ""
        table.add_row(row.stage, row.what, f"{row.count:,}", _about(row.seconds), cost)
    least, most = found.time_range
    in_all = f"{duration(least)} to {duration(most)}"
    table.add_row("", "in all", "", in_all, f"{found.cost_usd:.2f}")
    to.print(table)
    if found.slowdown > BUSY:
        to.print(
            f"other programs keep this machine busy: work may take {found.slowdown:.1f} times as "
            "long as on an idle one",
            highlight=False,
        )


def _print_counts(title: str, counts: Mapping[str, int], to: Console) -> None:
    if counts:
        shown = ", ".join(f"{count} {name}" for name, count in counts.items())
        to.print(f"{title}: {shown}", highlight=False)


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


def _about(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else ""


def _cycles(count: int) -> str:
    return "1 cycle" if count == 1 else f"{count} cycles"
