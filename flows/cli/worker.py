"""`solon worker`: check what a worker needs, and run it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.doctor import check_config, print_check
from flows.cli.run import RESUME
from flows.terminal import stopping
from flows.terminal.screen import prepare_prefect

POOL_HELP = "Work pool: solon-gpu for what loads a model, solon-cpu for the rest."


def worker(
    pool: Annotated[str, typer.Option(help=POOL_HELP)],
    config: Annotated[
        list[Path] | None,
        typer.Option(help="A config whose stages it will run: its needs are checked. Repeatable."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Flow runs at once. Default: 1 with a GPU, else one a processor core."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the worker.")] = None,
    only_check: Annotated[
        bool, typer.Option("--only-check", help="Check and exit; code 1 if a check failed.")
    ] = False,
) -> None:
    """Check what a worker needs on this machine, then run flows of a work pool until stopped.

    It is told where the Prefect server is by PREFECT_API_URL. On Ctrl-C or SIGTERM its flow runs
    keep what they have done and stop, and the next run resumes.
    """
    prepare_prefect(level="INFO")
    stopping.describe(f"`solon worker --pool {pool}`", RESUME)
    from flows.monitoring.diagnosis import diagnose
    from flows.service.deployments import GPU
    from flows.service.readiness import is_wrong
    from flows.service.worker import run_worker
    from flows.service.worker_checks import check_sharing, pool_checks

    needs_gpu = pool == GPU
    checks = []
    for check in pool_checks(pool, needs_gpu):
        checks.append(check)
        print_check(check)
    for path in config or []:
        loaded, checked = check_config(path, None)
        sharing = [check_sharing(loaded)] if loaded else []
        for check in (*checked, *diagnose(loaded, expects_workers=False), *sharing):
            checks.append(check)
            print_check(check)
    if is_wrong(checks):
        raise typer.Exit(1)
    if only_check:
        return
    from flows.service.janitor import close_dead_runs

    close_dead_runs()
    at_once = limit or (1 if needs_gpu else os.cpu_count() or 1)
    raise typer.Exit(run_worker(pool, at_once, name))
