"""`solon serve`: run the next cycle of a config on a schedule."""

from typing import Annotated

import typer

from flows.cli.run import RESUME
from flows.terminal import stopping
from flows.terminal.logs import use_format
from flows.terminal.screen import ConfigPath, LogLines, Overrides, load_checked, prepare_prefect
from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.errors import ConfigError

UPCOMING = 3


def serve(
    config: ConfigPath,
    cron: Annotated[str, typer.Option(help='When to run, such as "0 3 * * *" for three at night.')],
    overrides: Overrides = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE", help="Time zone, such as Europe/Berlin. Default: this machine's."
        ),
    ] = None,
    lines: LogLines = None,
) -> None:
    """Run the next cycle of a config on a schedule, until Ctrl-C or SIGTERM.

    The command uses the Prefect server that PREFECT_API_URL names, or starts one on this machine,
    which ends with the command. A cycle that was interrupted runs next.
    """
    from flows.service.cron import firings, time_zone
    from flows.service.prefect_server import prefect_server

    use_format(lines)
    load_checked(config, overrides)
    zone = time_zone(timezone)
    if launched_world_size() > 1:
        raise ConfigError(
            "serve runs each cycle in a process of its own; have your scheduler call `torchrun … "
            "-m flows.cli run` instead"
        )
    prepare_prefect(level="INFO")
    stopping.describe(f"`solon serve {config}`", RESUME)
    with prefect_server(has_page=True) as server:
        upcoming = firings(cron, zone, UPCOMING)
        from flows.schedule import serve as serve_config

        server.wait()
        typer.echo(f"serving {config} at {cron!r}; its runs are shown at {server.page}", err=True)
        when = ", ".join(f"{moment:%a %Y-%m-%d %H:%M:%S %Z}" for moment in upcoming)
        typer.echo(f"next, in {zone}: {when}", err=True)
        serve_config(server, config, cron, zone, overrides or [])
