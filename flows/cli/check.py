"""`solon check`: check that the facts of a store fit together and are worth learning from."""

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
        typer.Option("--config", help="Config of the store to check. Default: runs/solon.duckdb."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that the facts of a store fit together and are worth learning from.

    [bold]error[/bold]: facts contradict each other, or break a promise of the store. Exit code 1.
    [bold]warning[/bold]: the facts fit together but teach little; one judge gives every answer
    the same score, say. Exit code 1 with [bold]--strict[/bold].

    Example: [bold]solon check --config deploy/configs/default.yaml --strict[/bold]

    Each check is a view: [bold]solon sql "SELECT * FROM check_orphans"[/bold] lists every case.
    """
    from rlhf_core.config import store_path
    from rlhf_core.store import reading
    from rlhf_core.store.audit.checks import Severity, run_checks

    with reading(store_path(config, overrides or [])) as snapshot:
        checks = run_checks(snapshot)

    if as_json:
        print_json([asdict(one) for one in checks])
    else:
        _print(checks)
    fails = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(one.found and one.severity in fails for one in checks):
        raise typer.Exit(1)


def _print(checks: "Sequence[Check]") -> None:
    """Print failed checks, errors first, then the names of the checks that found nothing."""
    failed = sorted((one for one in checks if one.found), key=lambda one: (one.severity, one.name))
    if failed:
        print_table(COLUMNS, [_row(check) for check in failed])
    passed = [check.name for check in checks if not check.found]
    typer.echo(f"{len(passed)} of {len(checks)} checks found nothing: {', '.join(passed)}")


def _row(check: "Check") -> tuple[object, ...]:
    cases = "\n".join(f"{case.what}: {case.id} ({case.detail})" for case in check.examples)
    return check.name, check.severity, check.found, cases, check.advice
