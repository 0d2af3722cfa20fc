"""`solon report` and `solon schema`: write reports and schemas again."""

from typing import Annotated

import typer

from flows.terminal.screen import ConfigPath, Overrides, load_checked, prepare_prefect, print_json


def report(
    config: ConfigPath,
    overrides: Overrides = None,
    cycle: Annotated[int, typer.Option(min=1, help="Number of the cycle.")] = 1,
) -> None:
    """Write the page of a finished cycle again, and that of its line; print their paths."""
    prepare_prefect()
    from flows.cycle.cycle import Cycle, new_run_id
    from flows.reports.cycle_page import write_report
    from flows.reports.line_page import write_line_page

    described = Cycle(config=load_checked(config, overrides), number=cycle, run_id=new_run_id())
    store = described.open_store()
    typer.echo(write_report(store, described))
    typer.echo(write_line_page(store, described.config))


def schema(
    of_store: Annotated[
        bool, typer.Option("--store", help="Describe the tables and views of the store instead.")
    ] = False,
) -> None:
    """Print the JSON schema of the config, for editors that check YAML as you type.

    With --store, print the page deploy/docs/store.md: every table, view and column of a store.
    """
    if of_store:
        from flows.reports.store_page import store_page

        typer.echo(store_page(), nl=False)
        return
    from flows.reports.config_schema import config_schema

    print_json(config_schema())
