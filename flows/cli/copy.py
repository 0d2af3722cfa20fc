"""`solon copy`: copy all facts of a store into another."""

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.screen import AsJson, Overrides, print_json, print_table


def copy(
    target: Annotated[
        str, typer.Argument(help="A DuckDB file or a lake's address; created if missing.")
    ],
    overrides: Overrides = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Config of the store to copy. Default: runs/solon.duckdb."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy every fact of a store into another, such as from a file to a lake that machines share.

    Facts keep their writer and their time. Rows that the target holds already stay as they are, so
    you can run the command again after an interruption, or to copy newer facts. Models and reports
    are files and are not copied.

    Example: [bold]solon copy "ducklake:postgresql://solon@db/solon?data=s3://bucket/solon"[/bold]
    """
    from rlhf_core.config import store_path
    from rlhf_core.config.address import store_address
    from rlhf_core.errors import StoreError
    from rlhf_core.store import Store, store_exists
    from rlhf_core.store.copying import copy_facts

    source = store_path(config, overrides or [])
    if not store_exists(source):
        raise StoreError(f"no store at {source}; name its config with --config")
    added = copy_facts(source, Store(store_address(target)))
    if as_json:
        print_json(added)
    else:
        print_table(["table", "rows added"], [row for row in added.items() if row[1]])
        typer.echo(f"{sum(added.values()):,} rows copied from {source} to {target}")
