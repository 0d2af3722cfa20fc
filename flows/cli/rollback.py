"""`solon rollback`: make an earlier policy of a line its champion again."""

from pathlib import Path
from typing import Annotated

import typer

from flows.terminal.screen import AsJson, Overrides, load_checked, prepare_prefect, print_json
from rlhf_core.identity import login_name

DecidingConfig = Annotated[Path, typer.Option("--config", help="Config of the line.")]
Reason = Annotated[str, typer.Option(help="Why; stored with the decision.")]
DecidedBy = Annotated[
    str | None, typer.Option("--by", help="Who decides. Default: the login name.")
]


def rollback(
    config: DecidingConfig,
    reason: Reason,
    to: Annotated[
        str | None,
        typer.Argument(help="Id to return to, or its beginning. Default: the champion before."),
    ] = None,
    overrides: Overrides = None,
    by: DecidedBy = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier policy of a line its champion again, or the line's SFT model.

    The decision is stored with who made it and why; nothing is deleted. From now on candidates are
    sampled from that model, and the next policy has to beat it. A cycle that is under way samples
    and trains again from it, and a policy of that cycle that was trained from the withdrawn
    champion is not promoted.

    Example: [bold]solon rollback --config my.yaml --reason "answers became rude"[/bold]
    """
    loaded = load_checked(config, overrides)
    prepare_prefect()
    from flows.champion.folder import place_champion
    from flows.champion.rollback import roll_back
    from flows.publishing.publish import announcement_of, publish_champion
    from flows.service.events import Event, announce_from_command
    from rlhf_core.errors import InputError
    from rlhf_core.store import Store, store_exists

    if not store_exists(loaded.store):
        raise InputError(f"no store at {loaded.store}: nothing was promoted; run the config first")
    store, models = Store(loaded.store), loaded.artifacts / "models"
    decision = roll_back(store, models, loaded.name, to, by or login_name(), reason)
    announce_from_command(
        Event.ROLLED_BACK, loaded.name, policy=decision.to_id, withdrawn=decision.from_id
    )
    if not as_json:  # first of all: what follows may fail, and a second rollback would go further
        typer.echo(
            f"line {loaded.name}: {decision.to_id} is the champion, no longer {decision.from_id}"
        )
    tried = publish_champion(loaded, store, place_champion(loaded, store))
    for each in tried:
        event, facts = announcement_of(each)
        announce_from_command(event, loaded.name, **facts)
    if as_json:
        print_json({**decision.model_dump(), "published": [each.model_dump() for each in tried]})
        return
    for each in tried:
        typer.echo(f"{each.target}: {each.detail}", err=not each.published)
