"""`solon check`: whether the facts in a store hold together, and what they are worth."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.screen import AsJson, Overrides, print_json, print_table

if TYPE_CHECKING:
    from rlhf_core.store.audit.checks import Check

COLUMNS = ("check", "severity", "found", "for example", "what to do")


def check(
    overrides: Overrides = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Whose store to check; runs/solon.duckdb if none."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings fail too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the facts in a store: whether they fit together, and whether they are worth much.

    [bold]error[/bold]: facts contradict each other, or what was promised of them. Exit code 1.
    [bold]warning[/bold]: they fit, and teach little, as a judge does that says the same of all.
    Exit code 1 with [bold]--strict[/bold], as in
    [bold]solon check --config deploy/configs/default.yaml --strict[/bold].

    Each check is a view: [bold]solon sql "SELECT * FROM check_orphans"[/bold] lists all it found.
    """
    from rlhf_core.config import store_path
    from rlhf_core.store import reading
    from rlhf_core.store.audit.checks import Severity, run_checks

    with reading(store_path(config, overrides or [])) as snapshot:
        checks = run_checks(snapshot)

    if as_json:
        print_json([asdict(found) for found in checks])
    else:
        _print(checks)
    fails = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(found.found and found.severity in fails for found in checks):
        raise typer.Exit(1)


def _print(checks: "Sequence[Check]") -> None:
    """What was found, errors first; the names of all that found nothing."""
    failed = sorted((one for one in checks if one.found), key=lambda one: (one.severity, one.name))
    if failed:
        print_table(COLUMNS, [_row(check) for check in failed])
    passed = [check.name for check in checks if not check.found]
    typer.echo(f"{len(passed)} of {len(checks)} checks found nothing: {', '.join(passed)}")


def _row(check: "Check") -> tuple[object, ...]:
    cases = "\n".join(f"{case.what}: {case.id} ({case.detail})" for case in check.examples)
    return check.name, check.severity, check.found, cases, check.advice
