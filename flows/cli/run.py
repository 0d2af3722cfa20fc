"""`solon run` and `solon plan`: run a config to its end, or estimate the run."""

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from types import TracebackType
from typing import Annotated

import typer

from flows.terminal import stopping
from flows.terminal.logs import use_format
from flows.terminal.screen import (
    AsJson,
    ConfigPath,
    LogLines,
    Overrides,
    load_checked,
    out,
    prepare_prefect,
    print_json,
)
from rlhf_core.distributed.launch import launched_rank, launched_world_size

RESUME = "what was done is kept; the same command resumes"


def run(
    config: ConfigPath,
    overrides: Overrides = None,
    cycles: Annotated[
        int, typer.Option(min=1, help="Run until this many cycles of the line have ended.")
    ] = 1,
    stage: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Run only this stage or group of the open cycle: feedback, reward-model, policy, "
            "evaluate or promote.",
        ),
    ] = None,
    lines: LogLines = None,
    as_json: AsJson = False,
) -> None:
    """Run a config to its end. Work that is done is not done again: a rerun is a resume."""
    if launched_rank() > 0:
        follow_to_the_end()
        return
    use_format(lines)
    loaded = load_checked(config, overrides)
    from flows.cycle.cycle import ended_cycles
    from flows.reports.summary import (
        describe_added,
        print_summary,
        print_waiting,
        summary,
        waiting_for_approval,
    )

    added: dict[str, int] = {}
    with _leading():
        if stage is not None or ended_cycles(loaded) < cycles:
            prepare_prefect()
            from flows.service.prefect_server import prefect_server

            stopping.describe(f"`solon run {config}`", RESUME)
            with prefect_server(has_page=False) as server:
                from flows.run import run_cycles

                added = run_cycles(loaded, cycles, as_json, config, server.wait, stage)
    if stage is not None:
        if as_json:
            print_json({"line": loaded.name, "stage": stage, "added": added})
        else:
            typer.echo(f"line {loaded.name}, {stage}: {describe_added(added)}")
        return
    if waiting := waiting_for_approval(loaded, cycles):
        print_json(waiting) if as_json else print_waiting(waiting, out)
        return
    figures = summary(loaded, cycles, added)
    if as_json:
        print_json(figures)
    else:
        print_summary(figures, out)


def plan(
    config: ConfigPath,
    overrides: Overrides = None,
    cycles: Annotated[
        int, typer.Option(min=1, help="Plan until this many cycles of the line have ended.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Print what a run would do, how long it would take and what it would cost.

    Nothing is written. The plan counts only the work that is missing.
    """
    loaded = load_checked(config, overrides)
    prepare_prefect()
    from flows.cycle.line import check_line
    from flows.run import plan_run, print_plan
    from rlhf_core.endpoints.budget import Budget

    state = check_line(loaded, config)
    planned = plan_run(loaded, cycles, Budget(loaded.budget))
    if as_json:
        least, most = planned.time_range
        totals = {"seconds_at_least": least, "seconds_at_most": most, "cost_usd": planned.cost_usd}
        print_json(
            {
                "line": state.line,
                "cycle": state.cycle,
                **asdict(planned),
                "seconds": planned.seconds,
                **totals,
            }
        )
    else:
        out.print(str(state), highlight=False, markup=False, soft_wrap=True)
        print_plan(planned, out)


def _leading() -> AbstractContextManager[None]:
    """Return the context in which rank 0 leads the other ranks; an empty one without them."""
    if launched_world_size() == 1:
        return nullcontext()
    from rlhf_core.distributed.collective import lead

    return lead(stopping.end_now)


def follow_to_the_end() -> None:
    """Take part in the run of rank 0 until it ends."""
    from rlhf_core.distributed.collective import follow
    from rlhf_core.distributed.ranks import join_ranks

    stopping.stop_by(lambda: None)  # an exception would wait for the other processes
    join_ranks()
    report = sys.excepthook  # PyTorch's, by now, which says which process it was

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        report(kind, error, trace)
        end_at_once()

    sys.excepthook = end
    follow()


def end_at_once() -> None:
    """Exit with code 1 without waiting for the other ranks' barrier."""
    sys.stderr.flush()
    os._exit(1)
