"""`solon quarantine`: list the prompts that stages leave out, or have them tried again."""

from typing import Annotated

import typer

from flows.cli.lineage import StoreConfig
from flows.terminal.screen import AsJson, Overrides, print_json, print_table

COLUMNS = ("stage", "prompt_id", "judge_version", "failures", "reason", "since")


def quarantine(
    overrides: Overrides = None,
    config: StoreConfig = None,
    lift: Annotated[
        str | None, typer.Option(metavar="PROMPT_ID", help="Have this prompt tried again.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it is lifted; stored with the decision.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the prompts that stages leave out because they failed again and again, or lift that.

    A stage leaves out a prompt after failures in [bold]service.quarantine_after[/bold] runs.
    """
    from rlhf_core.config import store_path
    from rlhf_core.errors import IdError
    from rlhf_core.store import Store, reading
    from rlhf_core.store.quarantine import lift as lift_one

    path = store_path(config, overrides or [])
    with reading(path) as snapshot:
        result = snapshot.query("SELECT * FROM quarantined ORDER BY since DESC, prompt_id")
    rows = result.as_dicts()
    if lift is not None:
        found = [row for row in rows if row["prompt_id"].startswith(lift)]
        if len({row["prompt_id"] for row in found}) != 1:
            raise IdError(f"no single prompt that is left out has the id {lift!r}")
        store = Store(path)
        for row in found:
            lift_one(
                store, row["stage"], row["prompt_id"], reason or "lifted", row["judge_version"]
            )
        store.publish()
        typer.echo(f"lifted: {found[0]['prompt_id']}, in {', '.join(r['stage'] for r in found)}")
    elif as_json:
        print_json(rows)
    else:
        print_table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
