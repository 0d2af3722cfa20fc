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
STRENGTHS = ("model", "cycle", "above", "log-odds", "interval", "win rate", "prompts")
DIFFERENCES = ("policy", "minus", "against", "prompts", "difference", "interval", "p")


def champion(
    config: Annotated[
        Path | None,
        typer.Argument(help="Config of a line. Default: every line of runs/solon.duckdb."),
    ] = None,
    overrides: Overrides = None,
    show_all: Annotated[
        bool,
        typer.Option("--all", help="Show every policy that the line decided on, on one scale."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the champion of a line, its figures, and who promoted or rolled back what, and why.

    The champion is the policy promoted last, unless a rollback withdrew it. New candidates are
    sampled from it, and the next policy has to beat it.

    With --all, show how good every policy is that the deciding judge compared, above the SFT model,
    by the Bradley-Terry model.

    Example: [bold]solon champion deploy/configs/default.yaml[/bold]
    """
    from flows.champion.history import describe_champion, lines_of
    from flows.champion.strengths import describe_strengths
    from rlhf_core.config import store_path
    from rlhf_core.config.evaluation import PromotionSettings
    from rlhf_core.errors import InputError
    from rlhf_core.store import Store, store_exists

    path = store_path(config, overrides or [])
    if not store_exists(path):
        raise InputError(f"no store at {path}: nothing was promoted; run a config first")
    store = Store(path)
    if config:
        loaded = load_checked(config, overrides)
        lines = {loaded.name: loaded.promotion}
    else:
        lines = dict.fromkeys(lines_of(store), PromotionSettings())
    told = [
        describe_strengths(store, line, promotion.confidence)
        if show_all
        else describe_champion(store, line, promotion)
        for line, promotion in lines.items()
    ]
    if as_json:
        print_json(told[0] if config else told)
        return
    for facts in told:
        if show_all:
            _print_strengths(facts)
        else:
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


def _print_strengths(facts: dict[str, Any]) -> None:
    models = facts["models"]
    if not models:
        typer.echo(safe_text(f"line {facts['line']}: no comparison of its models is stored"))
        return
    typer.echo(safe_text(f"line {facts['line']}: models by judge {facts['judge_version']}"))
    print_table(STRENGTHS, [_strength(row) for row in models])
    anchors = list(dict.fromkeys(row["anchor_id"] for row in models))
    if len(anchors) > 1:
        typer.echo(
            f"models above {', '.join(anchors)} were never compared with each other, not even "
            "through others"
        )
    if facts["left_out"]:
        typer.echo(f"left out: {facts['left_out']} decisions by other judges or versions")
    if facts["differences"]:
        print_table(DIFFERENCES, [_difference(row) for row in facts["differences"]])


def _strength(row: dict[str, Any]) -> tuple[Any, ...]:
    model = f"{row['model_id']} (champion)" if row["is_champion"] else row["model_id"]
    cycle = "–" if row["cycle"] is None else row["cycle"]
    if row["model_id"] == row["anchor_id"]:
        return model, cycle, "–", "0", "–", "–", row["prompts"]
    interval = "–" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}"
    above, rate = f"{row['strength']:+.2f}", f"{row['win_rate']:.1%}"
    return model, cycle, row["anchor_id"], above, interval, rate, row["prompts"]


def _difference(row: dict[str, Any]) -> tuple[Any, ...]:
    interval = f"{row['low']:+.1%} to {row['high']:+.1%}"
    names = row["policy_id"], row["earlier_id"], row["baseline_id"]
    return *names, row["prompts"], f"{row['difference']:+.1%}", interval, f"{row['p']:.3f}"
