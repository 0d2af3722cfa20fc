"""`solon serve`: run the next cycle of one or many configs on a schedule."""

from typing import Annotated

import typer

from flows.cli.run import RESUME
from flows.terminal import stopping
from flows.terminal.logs import use_format
from flows.terminal.screen import Configs, LogLines, Overrides, Zone, load_lines, prepare_prefect
from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.errors import ConfigError

UPCOMING = 3
STAGES_HELP = (
    "Serve the groups of stages by themselves: feedback on the schedule, the trainings after it by "
    "event and on schedules of their own."
)
CATCH_UP_HELP = "Run once at the start if a firing was missed; by default it is skipped."


def serve(
    configs: Configs,
    cron: Annotated[
        str | None,
        typer.Option(help='When to run, such as "0 3 * * *" for three at night.'),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How often to run instead, such as 30m, 6h or 1d."),
    ] = None,
    overrides: Overrides = None,
    timezone: Zone = None,
    stages: Annotated[
        bool,
        typer.Option("--stages", help=STAGES_HELP),
    ] = False,
    catch_up: Annotated[
        bool,
        typer.Option("--catch-up", help=CATCH_UP_HELP),
    ] = False,
    log_lines: LogLines = None,
) -> None:
    """Run the next cycle of each config on a schedule, until Ctrl-C or SIGTERM.

    The command uses the Prefect server that PREFECT_API_URL names, or starts one on this machine,
    which ends with the command. A cycle that was interrupted runs next.
    """
    from flows.service.cron import Timing, time_zone
    from flows.service.prefect_server import prefect_server

    use_format(log_lines)
    lines = load_lines(configs, overrides)
    timing = Timing(cron, interval, time_zone(timezone))
    if launched_world_size() > 1:
        raise ConfigError(
            "serve runs each cycle in a process of its own; have your scheduler call `torchrun … "
            "-m flows.cli run` instead"
        )
    prepare_prefect(level="INFO")
    stopping.describe(f"`solon serve {' '.join(map(str, configs))}`", RESUME)
    with prefect_server(has_page=True) as server:
        upcoming = timing.firings(UPCOMING)
        from flows.schedule import serve as serve_lines

        server.wait()
        when = ", ".join(f"{moment:%a %Y-%m-%d %H:%M:%S %Z}" for moment in upcoming)
        for config in lines.values():
            typer.echo(
                f"serving {config} at {timing.text}; its runs are shown at {server.page}", err=True
            )
            typer.echo(f"next, in {timing.zone}: {when}", err=True)
        serve_lines(
            server,
            list(lines.values()),
            timing.schedule(),
            overrides or [],
            by_stages=stages,
            is_catching_up=catch_up,
        )
