"""`solon what-if`: which pairs another panel would have made."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.screen import AsJson, ConfigPath, Overrides, out, print_json, print_table, shown
from rlhf_core.files.whole import whole_text

if TYPE_CHECKING:
    from flows.audit.what_if import WhatIf
    from rlhf_core.evaluation.counterfactual import PanelComparison

COLUMNS = (
    "",
    "pairs",
    "training pairs",
    "changed",
    "flipped",
    "to tie",
    "to unscored",
    "new",
    "mean margin",
    "same chosen",
)


def what_if(
    config: ConfigPath,
    overrides: Overrides = None,
    swap: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A=B",
            help="Put B, a judge of the store, its version or how that begins, in A's place. "
            "Repeatable.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="JUDGE", help="Do without it. Repeatable.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JUDGE=0.5", help="Let it count so much; 0 is not at all. Repeatable."
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, help="Show so many flipped pairs with their words.")
    ] = 0,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Write every training pair that changes as JSON lines."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank and pair anew with another panel, from the judgements in the store; change nothing.

    Says how many training pairs would flip, go or come, by mode and split, how far old and new
    agree, what a judge that leaves has cost, and what is missing of one that comes: judgements that
    were never asked for are counted, and never guessed. Works while a run goes on. Changes can be
    combined, and name judges as the config does:

    [bold]solon what-if CONFIG --swap similarity=cross_encoder --weight brevity=0.2[/bold]
    """
    from flows.audit.panel_changes import PanelChanges
    from flows.audit.what_if import what_if as study
    from rlhf_core.config import load_config

    loaded = load_config(config, overrides or [])
    changes = PanelChanges(swap or (), drop or (), weight or ())
    if out_file is None:
        found = study(loaded, changes, examples)
    else:
        with whole_text(out_file) as stream:
            found = study(
                loaded,
                changes,
                examples,
                lambda words: stream.write(json.dumps(words, ensure_ascii=False) + "\n"),
            )
    if as_json:
        print_json(asdict(found))
    else:
        _print(found)


def _print(found: "WhatIf") -> None:
    print_table(
        ["panel", "judge", "version", "weight"],
        [
            (name, seat.judge, seat.version, seat.weight)
            for name, seats in (("now", found.panel), ("what if", found.changed_panel))
            for seat in seats
        ],
    )
    groups = {"all": found.overall, **found.by_mode, **found.by_split}
    print_table(
        COLUMNS,
        [(name, *_counts(compared)) for name, compared in groups.items()],
    )
    for gap in found.gaps:
        if gap.missing:
            price = _price(gap.cost_usd, gap.seconds) or "unknown"
            _say(
                f"missing of {gap.judge}: {gap.missing:,} of {gap.wanted:,} judgements, "
                f"{gap.candidates_never_judged:,} candidates it never judged; to ask: {price}"
            )
    for saving in found.savings:
        price = _price(saving.cost_usd, saving.seconds)
        _say(f"{saving.judge} has cost {price} for {saving.judgements:,} judgements so far")
    if found.examples:
        columns = ["prompt", "chosen now", "chosen what if", "margin now", "margin what if"]
        print_table(columns, [_example(words) for words in found.examples])


def _say(line: str) -> None:
    out.print(shown(line), highlight=False, markup=False)


def _price(cost_usd: float | None, seconds: float | None) -> str:
    """Seconds are left out where a judge keeps no time."""
    cost = "" if cost_usd is None else f"{cost_usd:.4f} US dollars"
    return cost if seconds is None else f"{cost} and {seconds:,.0f} s"


def _counts(found: "PanelComparison") -> tuple[Any, ...]:
    margins = (found.mean_margin_before, found.mean_margin_after)
    same = found.agreement
    return (
        found.pairs,
        f"{found.preferred_before} → {found.preferred_after}",
        found.changed,
        found.flipped,
        found.became_tie,
        found.became_unscored,
        found.appeared,
        " → ".join("none" if margin is None else f"{margin:.3f}" for margin in margins),
        f"{same.value:.3f} ({same.low:.2f}–{same.high:.2f})" if same else "",
    )


def _example(words: dict[str, Any]) -> tuple[Any, ...]:
    shown = ("prompt", "chosen_before", "chosen_after", "margin_before", "margin_after")
    return tuple(words[name] for name in shown)
