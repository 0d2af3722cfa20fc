"""`solon check`: whether the facts in a store hold together, and what they are worth."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows._screen import AsJson, Overrides, print_json, print_table

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
    from rlhf_core.store.checks import Check, Severity, run_checks

    with reading(store_path(config, overrides or [])) as snapshot:
        checks = run_checks(snapshot)

    def row(found: Check) -> tuple[object, ...]:
        cases = "\n".join(f"{case.what}: {case.id} ({case.detail})" for case in found.examples)
        advice = found.advice if found.found else ""
        return found.name, found.severity if found.found else "ok", found.found, cases, advice

    if as_json:
        print_json([asdict(found) for found in checks])
    else:
        print_table(COLUMNS, [row(found) for found in checks])
    fails = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(found.found and found.severity in fails for found in checks):
        raise typer.Exit(1)
