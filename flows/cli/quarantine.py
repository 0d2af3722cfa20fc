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
        str | None,
        typer.Option(
            metavar="PROMPT_ID", help="Have the prompt of this id, or its beginning, tried again."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it is lifted; stored with the decision.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the prompts that stages leave out because they failed again and again, or lift that.

    A stage leaves out a prompt after failures in [bold]service.quarantine_after[/bold] runs.
    """
    from rlhf_core.config import store_path
    from rlhf_core.errors import InputError
    from rlhf_core.store import Store, reading
    from rlhf_core.store.ids import whole_id
    from rlhf_core.store.quarantine import lift as lift_one

    if reason and lift is None:
        raise InputError("--reason belongs to --lift PROMPT_ID; name the prompt to try again")
    path = store_path(config, overrides or [])
    with reading(path) as snapshot:
        result = snapshot.query("SELECT * FROM quarantined ORDER BY since DESC, prompt_id")
    rows = result.as_dicts()
    if lift is not None:
        prompt_id = whole_id(lift, [row["prompt_id"] for row in rows], "prompt that is left out")
        found = [row for row in rows if row["prompt_id"] == prompt_id]
        store = Store(path)
        for row in found:
            lift_one(
                store, row["stage"], row["prompt_id"], reason or "lifted", row["judge_version"]
            )
        store.publish()
        stages = sorted({row["stage"] for row in found})
        typer.echo(f"lifted: {prompt_id}, in {', '.join(stages)}")
    elif as_json:
        print_json(rows)
    else:
        print_table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
