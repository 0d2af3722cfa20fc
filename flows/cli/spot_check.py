"""`solon spot-check`: people check what judges decided."""

from getpass import getuser
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.terminal.progress import console
from flows.terminal.screen import AsJson, Overrides, out, print_json
from rlhf_core.errors import ConfigError

StrategyName = Literal["mixed", "disagreement", "low_margin", "high_weight", "random"]
SplitName = Literal["train", "holdout"]


def spot_check(
    overrides: Overrides = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Whose store to check; runs/solon.duckdb if none."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many pairs to ask about.")] = 20,
    person: Annotated[str | None, typer.Option(help="Who checks; the login name, if none.")] = None,
    strategy: Annotated[StrategyName, typer.Option(help="Which pairs to ask about.")] = "mixed",
    split: Annotated[SplitName | None, typer.Option(help="Only prompts of this split.")] = None,
    seed: Annotated[
        int, typer.Option(help="Draws the random pairs; people of one seed meet the same ones.")
    ] = 0,
    report: Annotated[
        bool, typer.Option("--report", help="Show how far judges and people agree; ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a person which of two answers is better, and measure judges by it.

    Each pair is shown without what judges said of it, the two answers in random order. Keys:
    [bold]1[/bold] or [bold]2[/bold] is better, [bold]0[/bold] alike, [bold]u[/bold] unsure,
    [bold]n[/bold] note, [bold]b[/bold] back, [bold]q[/bold] quit. Every answer is kept at once,
    so that you can stop at any time and go on later: [bold]solon spot-check --count 20[/bold].

    [bold]disagreement[/bold] asks where judges dissent, [bold]low_margin[/bold] where a tie is
    near, [bold]high_weight[/bold] where a wrong label costs most, [bold]random[/bold] anywhere, and
    [bold]mixed[/bold] each in turn. Spot checks are never trained on.

    Then [bold]solon spot-check --report[/bold], or
    [bold]solon sql "SELECT * FROM judge_human_agreement"[/bold].
    """
    from rlhf_core.config import store_path

    path = store_path(config, overrides or [])
    if report:
        _report(path, as_json)
        return
    from flows.audit.spot_check_session import check_pairs
    from rlhf_core.preferences.spot_checks import choose
    from rlhf_core.records import Split
    from rlhf_core.store import Store, reading
    from rlhf_core.store.audit.spot_checks import checkable

    with reading(path):  # refuses where there is no store; the next line would make one
        store = Store(path)
    person = person or _login_name()
    pairs = checkable(store, person, Split(split) if split else None, seed)
    checks = choose(pairs, count, strategy, seed)
    answered = check_pairs(store, checks, person, console if as_json else out)
    if as_json:
        print_json({"person": person, "asked": len(checks), "answered": answered})
    elif not checks:
        typer.echo(f"there is no pair that {person} has not checked")
    else:
        typer.echo(f"{answered} of {len(checks)} pairs answered; `solon spot-check --report`")


def _login_name() -> str:
    try:
        return getuser()
    except (KeyError, OSError):
        raise ConfigError("nobody is logged in; say who checks with --person NAME") from None


def _report(path: Path | str, as_json: bool) -> None:
    from flows.audit.spot_check_report import print_report, spot_check_report

    found = spot_check_report(path)
    if as_json:
        print_json(found.as_json())
    else:
        print_report(found, out)
