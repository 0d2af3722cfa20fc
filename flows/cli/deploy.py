"""`solon deploy`: register the flows of one or many configs on a Prefect server with workers."""

import os
from typing import Annotated

import typer

from flows.terminal.screen import (
    Configs,
    Overrides,
    Zone,
    load_lines,
    prepare_prefect,
    print_table,
)
from rlhf_core.errors import ConfigError


def deploy(
    configs: Configs,
    cron: Annotated[
        str | None,
        typer.Option(help='When to collect feedback. Default: "0 * * * *", every hour.'),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How often to collect it instead, such as 30m or 6h."),
    ] = None,
    timezone: Zone = None,
    overrides: Overrides = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the deployments away instead.")
    ] = False,
) -> None:
    """Register the flows of each config on the Prefect server that PREFECT_API_URL names.

    Workers of the pools solon-cpu and solon-gpu run them: see `solon worker`. A repeated call
    brings the deployments up to date.
    """
    from flows.service.cron import Timing, time_zone

    lines = load_lines(configs, overrides)
    if not os.environ.get("PREFECT_API_URL"):
        raise ConfigError(
            "PREFECT_API_URL names no Prefect server; start one with `prefect server start` and "
            "set it to http://127.0.0.1:4200/api, or use `solon serve`, which needs none"
        )
    timing = None
    if cron is not None or interval is not None:
        timing = Timing(cron, interval, time_zone(timezone))
        timing.firings(1)  # refuses a wrong one
    prepare_prefect()
    from flows.deploy import deploy_line, remove_line

    for line, config in lines.items():
        if remove:
            typer.echo(f"line {line}: removed {', '.join(remove_line(line)) or 'nothing'}")
            continue
        deployed = deploy_line(config, overrides or [], timing.schedule() if timing else None)
        typer.echo(f"line {line}: deployed from {config}")
        rows = [(f"{each.flow}/{line}", each.pool, each.queue, when) for each, when in deployed]
        print_table(("deployment", "pool", "queue", "next, UTC"), rows)
