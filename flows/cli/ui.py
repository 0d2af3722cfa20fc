"""`solon ui`: the audit page, served on this machine."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.screen import Overrides
from rlhf_core.errors import ConfigError


def ui(
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Config of the store to show. Default: runs/solon.duckdb."),
    ] = None,
    overrides: Overrides = None,
    host: Annotated[
        str, typer.Option(help="Address to serve on; on any but loopback, visitors need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 8787,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Time limit of a visitor's query.")
    ] = 60.0,
    should_open: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
) -> None:
    """Browse the store in a browser: pairs and votes, lineage, SQL with charts, spot checks.

    The page reads snapshots, so it can stay open while runs go on. Only spot checks write.
    Example: [bold]solon ui --config deploy/configs/default.yaml[/bold]

    On an address other than loopback, such as [bold]--host 0.0.0.0[/bold], visitors need the token
    in the printed URL; SOLON_UI_TOKEN sets it. Traffic is not encrypted: on a network that is not
    yours, put a proxy with TLS in front.
    """
    if find_spec("nicegui") is None:
        raise ConfigError("the page needs NiceGUI: `pip install 'solon[ui]'`")
    from flows.ui.server import serve
    from rlhf_core.config import store_path

    serve(store_path(config, overrides or []), host, port, should_open, timeout)
