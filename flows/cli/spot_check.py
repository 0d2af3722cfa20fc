"""`solon spot-check`: let people check what judges decided."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.terminal.progress import console
from flows.terminal.screen import AsJson, Overrides, out, print_json
from rlhf_core.identity import login_name

StrategyName = Literal["mixed", "disagreement", "low_margin", "high_weight", "random"]
SplitName = Literal["train", "holdout"]


def spot_check(
    overrides: Overrides = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Config of the store. Default: runs/solon.duckdb."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of pairs to ask about.")] = 20,
    person: Annotated[str | None, typer.Option(help="Who checks. Default: the login name.")] = None,
    strategy: Annotated[StrategyName, typer.Option(help="How pairs are chosen.")] = "mixed",
    split: Annotated[SplitName | None, typer.Option(help="Only prompts of this split.")] = None,
    seed: Annotated[
        int, typer.Option(help="Draws the random pairs; people with one seed see the same pairs.")
    ] = 0,
    report: Annotated[
        bool,
        typer.Option("--report", help="Show how far judges and people agree; ask about no pair."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a person which of two answers is better, and measure the judges by that.

    Each pair is shown without the judges' verdicts, its answers in random order. Keys:
    [bold]1[/bold] or [bold]2[/bold] is better, [bold]0[/bold] alike, [bold]u[/bold] unsure,
    [bold]n[/bold] note, [bold]b[/bold] back, [bold]q[/bold] quit. Each answer is stored at
    once, so you can stop at any time and continue later: [bold]solon spot-check --count 20[/bold].

    Strategies: [bold]disagreement[/bold] chooses pairs on which judges disagree,
    [bold]low_margin[/bold] pairs near a tie, [bold]high_weight[/bold] pairs where a wrong label
    costs most, [bold]random[/bold] any pairs, and [bold]mixed[/bold] each kind in turn. Spot checks
    never become training data.

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
    person = person or login_name()
    pairs = checkable(store, person, Split(split) if split else None, seed)
    checks = choose(pairs, count, strategy, seed)
    answered = check_pairs(store, checks, person, console if as_json else out)
    if as_json:
        print_json({"person": person, "asked": len(checks), "answered": answered})
    elif not checks:
        typer.echo(f"there is no pair that {person} has not checked")
    else:
        typer.echo(f"{answered} of {len(checks)} pairs answered; `solon spot-check --report`")


def _report(path: Path | str, as_json: bool) -> None:
    from flows.audit.spot_check_report import print_report, spot_check_report

    report = spot_check_report(path)
    if as_json:
        print_json(report.as_json())
    else:
        print_report(report, out)
