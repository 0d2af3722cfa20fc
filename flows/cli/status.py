"""`solon status`: what runs, what waits, what failed, and what comes next."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.screen import AsJson, Overrides, out, prepare_prefect, print_json
from rlhf_core.errors import ConfigError

if TYPE_CHECKING:
    from flows.reports.status import ServerStatus


def status(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Configs of policy lines. Default: all lines of the store runs/solon.duckdb.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show what runs, what waits, what failed, and what comes next.

    The store tells the champion, the last decision, the stages of the open cycle, the conditions
    that start a training, budget and disk, also while a run goes on. A Prefect server tells runs,
    firings and automations: the one that PREFECT_API_URL names, or one that `solon serve` started
    on this machine. Without a server none is asked.

    Example: [bold]solon status deploy/configs/default.yaml[/bold]
    """
    from flows.reports.status import line_status
    from flows.service.prefect_server import server_in_use
    from rlhf_core.config import load_config

    paths = configs or _known_configs()
    statuses = [line_status(load_config(path, overrides or []), path) for path in paths]
    address = server_in_use()
    servers = [_ask(address, each.line) if address else None for each in statuses]
    if as_json:
        print_json(
            [
                {**asdict(each), "server": asdict(server) if server else None}
                for each, server in zip(statuses, servers, strict=True)
            ]
        )
        return
    from flows.reports.status_screen import print_status

    for number, (each, server) in enumerate(zip(statuses, servers, strict=True)):
        if number:
            out.print()
        print_status(each, server, out)


def _ask(address: str, line: str) -> "ServerStatus":
    """Ask the Prefect server at an address, which Prefect reads when it is imported."""
    prepare_prefect()
    os.environ["PREFECT_API_URL"] = address
    from flows.reports.status_server import server_status

    return server_status(address, line)


def _known_configs() -> list[Path]:
    """Return the configs of the lines of the default store.

    Raises:
        ConfigError: If there is none.
    """
    from flows.reports.status import lines_of
    from rlhf_core.config import store_path
    from rlhf_core.store import reading, store_exists
    from rlhf_core.store.trigger_queries import query_of

    store = store_path(None)
    if not store_exists(store):
        raise ConfigError(f"there is no store {store}; name a config, as in `solon status my.yaml`")
    with reading(store) as snapshot:
        lines = lines_of(query_of(snapshot))
    known = [Path(source) for _, source in lines if source and Path(source).exists()]
    if not known:
        raise ConfigError(
            f"the configs of the lines of {store} are not where they were; name one, as in "
            "`solon status my.yaml`"
        )
    return known
