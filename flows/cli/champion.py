"""`solon champion`: show the champion of a line, its history and its figures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.terminal.screen import (
    AsJson,
    Overrides,
    load_checked,
    print_json,
    print_table,
    safe_text,
)

FIGURES = ("judge", "role", "prompts", "win rate", "interval")
HISTORY = ("when", "cycle", "change", "to", "from", "by", "why")


def champion(
    config: Annotated[
        Path | None,
        typer.Argument(help="Config of a line. Default: every line of runs/solon.duckdb."),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show the champion of a line, its figures, and who promoted or rolled back what, and why.

    The champion is the policy promoted last, unless a rollback withdrew it. New candidates are
    sampled from it, and the next policy has to beat it.

    Example: [bold]solon champion deploy/configs/default.yaml[/bold]
    """
    from flows.champion.history import describe_champion, lines_of
    from rlhf_core.config import store_path
    from rlhf_core.errors import InputError
    from rlhf_core.store import Store, store_exists

    path = store_path(config, overrides or [])
    if not store_exists(path):
        raise InputError(f"no store at {path}: nothing was promoted; run a config first")
    store = Store(path)
    if config:
        loaded = load_checked(config, overrides)
        told = [describe_champion(store, loaded.name, loaded.promotion)]
    else:
        told = [describe_champion(store, line) for line in lines_of(store)]
    if as_json:
        print_json(told[0] if config else told)
        return
    for facts in told:
        _print(facts)


def _print(facts: dict[str, Any]) -> None:
    typer.echo(safe_text(_headline(facts)))
    if facts["waits_for_approval"]:
        typer.echo(f"waits for approval: {facts['waits_for_approval']}")
    if facts["wear_in_words"]:
        typer.echo(facts["wear_in_words"])
    if facts["figures"]:
        print_table(FIGURES, [_figures(row) for row in facts["figures"]])
    if facts["history"]:
        print_table(HISTORY, [_change(row) for row in facts["history"]])


def _headline(facts: dict[str, Any]) -> str:
    line = f"line {facts['line']}: "
    if facts["champion"] is None:
        return f"{line}no policy was promoted yet; the SFT model is used"
    refused = facts["refused_since"]
    return (
        f"{line}champion {facts['champion']} since {facts['since']:%Y-%m-%d %H:%M %Z}, by "
        f"{facts['decided_by']}: {facts['reason']}"
        + (f"; refused since then: {refused}" if refused else "")
    )


def _figures(row: dict[str, Any]) -> tuple[Any, ...]:
    rate, low, high = row["win_rate"], row["win_rate_low"], row["win_rate_high"]
    shares = ("–", "–") if rate is None else (f"{rate:.1%}", f"{low:.1%} to {high:.1%}")
    return row["judge"], row["role"].replace("_", " "), row["prompts"], *shares


def _change(row: dict[str, Any]) -> tuple[Any, ...]:
    when = f"{row['created_at']:%Y-%m-%d %H:%M}"
    names = ("cycle", "change", "to_id", "from_id", "decided_by", "reason")
    return when, *(row[name] for name in names)
