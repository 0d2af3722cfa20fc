"""Runs of cycles from the command line: the plan first, then stage after stage."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.alone import run_alone
from flows.champion.approval import open_request
from flows.cycle.cycle import Cycle, cycle_of, ended_cycles, next_cycle
from flows.cycle.forecast import forecasting
from flows.cycle.line import check_line
from flows.pipeline import estimate, pipeline, promotion
from flows.planning.plan import Plan, plan_cycles
from flows.service.janitor import close_dead_runs, owned
from flows.terminal.logs import LogFormat, log_format, log_to_console
from flows.terminal.progress import console, duration
from rlhf_core.config import Config
from rlhf_core.endpoints.budget import Budget
from rlhf_core.store import Store

logger = logging.getLogger(__name__)

BUSY = 1.2
"""Slowdown from which a plan mentions that other programs use the machine."""


def run_cycles(
    config: Config,
    cycles: int,
    is_quiet: bool,
    source: Path | None = None,
    when_checked: Callable[[], None] | None = None,
    stage: str | None = None,
) -> dict[str, int]:
    """Run the cycles of a line that have not ended, until some number of cycles has ended.

    Args:
        config: Config of the line.
        cycles: Number of cycles that will have ended after the run.
        is_quiet: True prints neither the plan nor the log.
        source: File that the config was read from.
        when_checked: Waits for the Prefect server, which starts while the config is checked.
        stage: Runs only this stage or group of stages, of the cycle that has not ended.

    Returns:
        The number of rows added, by table.

    Raises:
        NotReadyError: If the stage before that stage has not ended.
    """
    state = check_line(config, source)
    if stage is not None:
        return _run_stage(next_cycle(config, source), stage, is_quiet, str(state), when_checked)
    due = [
        cycle_of(config, number, source) for number in range(ended_cycles(config) + 1, cycles + 1)
    ]
    plan = plan_run(config, cycles, due[0].budget if due else None, when_checked)
    if not is_quiet:
        log_to_console()
        if log_format() is LogFormat.JSON:
            least, most = (duration(seconds) for seconds in plan.time_range)
            logger.info("%s; %s to %s, %.2f US dollars", state, least, most, plan.cost_usd)
        else:
            console.print(str(state), highlight=False, markup=False, soft_wrap=True)
            print_plan(plan, console)
    with forecasting(plan.by_stage, plan.slowdown):
        return _run(config, [partial(pipeline, cycle) for cycle in due])


def _run_stage(
    cycle: Cycle,
    name: str,
    is_quiet: bool,
    state: str,
    when_checked: Callable[[], None] | None,
) -> dict[str, int]:
    """Run one stage of a cycle; arguments and result are those of `run_cycles`."""
    if not is_quiet:
        log_to_console()
        if log_format() is LogFormat.JSON:
            logger.info("%s", state)
        else:
            console.print(state, highlight=False, markup=False, soft_wrap=True)
    if when_checked is not None:
        when_checked()
    return _run(cycle.config, [partial(run_alone, cycle, name)])


def _run(config: Config, work: Sequence[Callable[[], object]]) -> dict[str, int]:
    """Run flows one after the other; return the number of rows added, by table."""
    before = Store(config.store).counts()
    # The store shows crashes, so no heartbeats are needed, each of which would take a second.
    quiet = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with quiet, owned():
        close_dead_runs()
        for each in work:
            each()
            if open_request(Store(config.store), config.name) is not None:
                break  # a person has to decide before the next cycle
    after = Store(config.store).counts()
    return {table: count - before[table] for table, count in after.items() if count > before[table]}


def finish_cycle(config: Config, source: Path | None = None) -> None:
    """Run the last stages of a line's open cycle, after a person has decided.

    Args:
        config: Config of the line.
        source: File that the config was read from.
    """
    with owned():
        promotion(next_cycle(config, source))


def plan_run(
    config: Config,
    cycles: int = 1,
    budget: Budget | None = None,
    before_measuring: Callable[[], None] | None = None,
) -> Plan:
    """Plan a run of all stages; arguments and errors are those of `plan_cycles`.

    Args:
        config: Config of the run.
        cycles: Number of cycles that will have ended after the run.
        budget: Limit on the cost of one tiny request to each remote model; None sends none.
        before_measuring: Called before the speed of this machine is measured.

    Returns:
        The plan.
    """
    return plan_cycles(estimate, config, cycles, budget, before_measuring)


def print_plan(plan: Plan, to: Console) -> None:
    """Print a plan: the config's models, prompts and judges, then the missing work by stage."""
    spread = f", in {plan.processes} processes" if plan.processes > 1 else ""
    to.print(
        Text(plan.policy, style="bold"),
        f"({plan.parameters:,} parameters) on {plan.compute}{spread}",
        highlight=False,
    )
    to.print(
        f"{plan.prompts} prompts: {plan.train} to train on, {plan.holdout} held out\n"
        f"judges: {', '.join(plan.judges)}; evaluated by {', '.join(plan.evaluation_judges)}",
        highlight=False,
    )
    if plan.engine:
        said = f"{plan.engine}; the times below are of this machine's own sampling"
        to.print(said, highlight=False, markup=False)
    style = None if plan.least_win_rate is not None else "bold red"
    to.print(plan.decision, style=style, highlight=False, markup=False)
    if plan.wear:
        to.print(plan.wear, highlight=False, markup=False)
    if plan.memory:
        to.print(plan.memory, style="bold red", highlight=False, markup=False)
    _print_counts("left out", plan.left_out, to)
    _print_counts("personal data found", plan.personal_data, to)
    if not plan.rows:
        to.print(
            f"nothing is missing: {_cycles(plan.ended)} ended; --cycles {plan.ended + 1} runs "
            "another",
            highlight=False,
        )
        return
    if plan.ended:
        to.print(f"{_cycles(plan.ended)} ended before; to come until cycle {plan.cycles}:")
    table = Table("stage", "what", "count", "about", "US dollars")
    for row in plan.rows:
        cost = f"{row.cost_usd:.2f}" if row.cost_usd else ""
        table.add_row(row.stage, row.what, f"{row.count:,}", _about(row.seconds), cost)
    least, most = plan.time_range
    in_all = f"{duration(least)} to {duration(most)}"
    table.add_row("", "in all", "", in_all, f"{plan.cost_usd:.2f}")
    to.print(table)
    if plan.slowdown > BUSY:
        to.print(
            f"other programs keep this machine busy: work may take {plan.slowdown:.1f} times as "
            "long as on an idle one",
            highlight=False,
        )


def _print_counts(title: str, counts: Mapping[str, int], to: Console) -> None:
    if counts:
        shown = ", ".join(f"{count} {name}" for name, count in counts.items())
        to.print(f"{title}: {shown}", highlight=False)


def _about(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else ""


def _cycles(count: int) -> str:
    return "1 cycle" if count == 1 else f"{count} cycles"
