"""`solon approve` and `solon reject`: decide about a policy that waits for a person."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.rollback import DecidedBy, DecidingConfig, Reason
from flows.terminal.screen import AsJson, Overrides, load_checked, prepare_prefect, print_json
from rlhf_core.identity import login_name

PolicyId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the policy that waits, or its beginning.")
]
Later = Annotated[
    bool, typer.Option("--later", help="Only store the decision; the next run ends the cycle.")
]


def approve(
    policy: PolicyId,
    config: DecidingConfig,
    reason: Reason,
    overrides: Overrides = None,
    by: DecidedBy = None,
    later: Later = False,
    as_json: AsJson = False,
) -> None:
    """Promote a policy that meets the conditions and waits for a person.

    With [bold]promotion.approval: manual[/bold], a cycle whose policy meets the conditions of
    promotion stays open until somebody decides. The decision is stored with who made it and why,
    and the cycle ends.

    Example: [bold]solon approve policy-01ab --config my.yaml --reason "read 40 answers"[/bold]
    """
    _decide(policy, True, config, reason, overrides, by, later, as_json)


def reject(
    policy: PolicyId,
    config: DecidingConfig,
    reason: Reason,
    overrides: Overrides = None,
    by: DecidedBy = None,
    later: Later = False,
    as_json: AsJson = False,
) -> None:
    """Refuse a policy that meets the conditions of promotion and waits for a person.

    Example: [bold]solon reject policy-01ab --config my.yaml --reason "flatters the user"[/bold]
    """
    _decide(policy, False, config, reason, overrides, by, later, as_json)


def _decide(
    policy: str,
    approved: bool,
    config: Path,
    reason: str,
    overrides: list[str] | None,
    by: str | None,
    later: bool,
    as_json: bool,
) -> None:
    """Store the decision and, unless it is to be done later, end the cycle."""
    loaded = load_checked(config, overrides)
    prepare_prefect()
    from flows.champion.approval import answer
    from flows.service.prefect_server import prefect_server

    decision = answer(loaded, policy, approved, by or login_name(), reason)
    if not later:
        with prefect_server(has_page=False) as server:
            from flows.run import finish_cycle

            server.wait()
            finish_cycle(loaded, config)
    if as_json:
        print_json(decision.model_dump())
        return
    verb = "approved" if approved else "rejected"
    then = "the next run ends the cycle" if later else f"cycle {decision.cycle} has ended"
    typer.echo(f"line {loaded.name}: {decision.policy_id} is {verb}; {then}")
