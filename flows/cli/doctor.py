"""`solon doctor`: check what a line needs to run here, and say how to fix what is wrong."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.screen import (
    AsJson,
    Overrides,
    load_checked,
    out,
    prepare_prefect,
    print_json,
    safe_text,
)

if TYPE_CHECKING:
    from flows.service.readiness import Check
    from rlhf_core.config import Config

STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(help="Config to check; without one, this machine and its Prefect server."),
    ] = None,
    overrides: Overrides = None,
    asks_endpoints: Annotated[
        bool,
        typer.Option(
            "--ask-endpoints", help="Send each remote model one tiny request, which may cost."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check what a line needs to run here, and say how to fix what is wrong, in seconds.

    Nothing is changed.

    It checks config, versions, store and its lock, models, judges, keys, model servers, GPU, disk,
    limits, ports, clock, and the Prefect server with its work pools. [bold]note[/bold]: it works,
    but somebody should know. [bold]wrong[/bold]: something will fail. Exit code 1.
    """
    prepare_prefect()
    from flows.monitoring.diagnosis import diagnose
    from flows.service.readiness import is_wrong

    checks = []
    loaded, checked = check_config(config, overrides)
    for check in (*checked, *diagnose(loaded, asks_endpoints=asks_endpoints)):
        checks.append(check)
        if not as_json:
            print_check(check)
    if as_json:
        print_json([asdict(check) for check in checks])
    if is_wrong(checks):
        raise typer.Exit(1)


def check_config(
    path: Path | None, overrides: list[str] | None
) -> "tuple[Config | None, list[Check]]":
    """Load the config; without one that loads, the other checks are of the machine alone."""
    from flows.service.readiness import Check, guarded, ok

    if path is None:
        return None, []
    loaded: list[Config] = []

    def check() -> Check:
        loaded.append(load_checked(path, overrides))
        return ok("config", f"{path}: line {loaded[0].name}")

    checked = guarded("config", check)
    return (loaded[0] if loaded else None), [checked]


def print_check(check: "Check") -> None:
    """Print a check in one line, and what to mend in another."""
    out.print(f"{check.state:<6}", style=STYLES[check.state], end="", highlight=False)
    mend = f"\n       → {check.mend}" if check.mend else ""
    line = f" {check.name}: {check.found}{mend}"
    out.print(safe_text(line), highlight=False, markup=False, soft_wrap=True)
