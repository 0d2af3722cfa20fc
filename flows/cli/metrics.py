"""`solon metrics`: figures of policy lines for Prometheus."""

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.screen import Overrides


def metrics(
    configs: Annotated[list[Path], typer.Argument(help="Configs of the lines.")],
    overrides: Overrides = None,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 9464,
    textfile: Annotated[
        Path | None,
        typer.Option(
            help="Write the figures into this file once and end, for the textfile collector of "
            "node_exporter; its name must end in .prom."
        ),
    ] = None,
) -> None:
    """Serve figures of policy lines for Prometheus, until Ctrl-C or SIGTERM.

    They are read from the snapshots of the stores, so a scrape keeps no run waiting: candidates,
    judgements and pairs by outcome, costs, times of stages, decisions, win rates, the champion.
    """
    from rlhf_core.config import load_config

    loaded = [load_config(path, overrides or []) for path in configs]
    from flows.monitoring.metrics import serve_metrics, write_metrics

    if textfile is not None:
        write_metrics(loaded, textfile)
        return
    typer.echo(f"serving http://{host}:{port}/metrics", err=True)
    serve_metrics(loaded, host, port)
