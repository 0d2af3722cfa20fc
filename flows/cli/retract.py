"""`solon retract`: a fact is not relied on any more, and the models that did are marked."""

import getpass
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.lineage import StoreConfig, SubjectId, print_branches
from flows.terminal.screen import AsJson, Overrides, print_json


def retract(
    identity: SubjectId,
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")],
    overrides: Overrides = None,
    config: StoreConfig = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take back that it is retracted.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who decides; you, if none.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Retract a judgement, all of a judge's version, a pair, an answer or a prompt.

    Shows what rests on it and asks before it adds the decision. The facts stay. What rests on a
    retracted one is not learnt from any more, the next run ranks again what is left, and the views
    retracted, tainted_pairs, tainted_models and check_models_on_retracted say what is touched.

    [bold]solon retract similarity-606c2416 --reason "read the wrong column"[/bold]
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
    by = by or getpass.getuser()
    decision = decisions.retract(store, subject, reason, by, withdraw)
    store.publish()
    if as_json:
        print_json({**decision.model_dump(), "rests": [asdict(branch) for branch in rests]})
    else:
        typer.echo(f"{'withdrawn' if withdraw else 'retracted'}: {subject.id}")
