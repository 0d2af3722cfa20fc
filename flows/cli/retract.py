"""`solon retract`: stop relying on a fact, and mark the models that learnt from it."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.lineage import StoreConfig, SubjectId, print_branches
from flows.terminal.screen import AsJson, Overrides, print_json
from rlhf_core.identity import login_name


def retract(
    identity: SubjectId,
    reason: Annotated[str, typer.Option(help="Why; stored with the decision.")],
    overrides: Overrides = None,
    config: StoreConfig = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Withdraw the retraction.")] = False,
    by: Annotated[str | None, typer.Option(help="Who decides. Default: the login name.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Retract a judgement, every judgement of a judge's version, a pair, an answer or a prompt.

    The command shows what rests on the fact, and asks before it adds the decision. The facts stay.
    Nothing is learnt any more from what rests on a retracted fact, and the next run ranks the rest
    again. The views retracted, tainted_pairs, tainted_models and check_models_on_retracted show
    what is affected.

    Example: [bold]solon retract similarity-606c2416 --reason "read the wrong column"[/bold]
    """
    from rlhf_core.config import store_path
    from rlhf_core.store import Store, reading
    from rlhf_core.store.lineage import retracting as decisions
    from rlhf_core.store.lineage.tree import lineage_down, subject_of

    path = store_path(config, overrides or [])
    with reading(path) as snapshot:
        subject = subject_of(snapshot, identity, decisions.RETRACTABLE)
        rests = lineage_down(snapshot, subject)
    if not as_json:
        print_branches(f"on {subject.id} rest", rests)
    if not yes:
        verb = "rely on it again" if withdraw else "retract it"
        typer.confirm(verb, abort=True, err=True)
    store = Store(path)
    by = by or login_name()
    decision = decisions.retract(store, subject, reason, by, withdraw)
    store.publish()
    if as_json:
        print_json({**decision.model_dump(), "rests": [asdict(branch) for branch in rests]})
    else:
        typer.echo(f"{'withdrawn' if withdraw else 'retracted'}: {subject.id}")
