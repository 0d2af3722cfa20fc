"""`solon what-if`: show which pairs another panel of judges would have made."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.screen import (
    AsJson,
    ConfigPath,
    Overrides,
    out,
    print_json,
    print_table,
    safe_text,
)
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
            help="Replace judge A by B: a judge of the store, its version or the version's "
            "beginning. Repeatable.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="JUDGE", help="Leave this judge out. Repeatable.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JUDGE=0.5", help="Give a judge this weight; 0 removes its say. Repeatable."
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, help="Number of flipped pairs to show with their texts.")
    ] = 0,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write every training pair that changes to this file, as JSON lines."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rank and pair again with another panel of judges, from the judgements in the store.

    The command shows how many training pairs would flip, disappear or appear, by mode and split,
    how far the two panels agree, what a judge that leaves has cost, and which judgements a judge
    that joins lacks; those are counted, never guessed. It writes nothing to the store, and works
    while a run goes on. Changes can be combined, and name judges as the config does.

    Example: [bold]solon what-if CONFIG --swap similarity=cross_encoder --weight brevity=0.2[/bold]
    """
    from flows.audit.panel_changes import PanelChanges
    from flows.audit.what_if import what_if as study
    from rlhf_core.config import load_config

    loaded = load_config(config, overrides or [])
    changes = PanelChanges(swap or (), drop or (), weight or ())
    if out_file is None:
        result = study(loaded, changes, examples)
    else:
        with whole_text(out_file) as stream:
            result = study(
                loaded,
                changes,
                examples,
                lambda words: stream.write(json.dumps(words, ensure_ascii=False) + "\n"),
            )
    if as_json:
        print_json(asdict(result))
    else:
        _print(result)


def _print(result: "WhatIf") -> None:
    print_table(
        ["panel", "judge", "version", "weight"],
        [
            (name, seat.judge, seat.version, seat.weight)
            for name, seats in (("now", result.panel), ("what if", result.changed_panel))
            for seat in seats
        ],
    )
    groups = {"all": result.overall, **result.by_mode, **result.by_split}
    print_table(
        COLUMNS,
        [(name, *_counts(compared)) for name, compared in groups.items()],
    )
    for gap in result.gaps:
        if gap.missing:
            price = _price(gap.cost_usd, gap.seconds) or "unknown"
            _say(
                f"missing of {gap.judge}: {gap.missing:,} of {gap.wanted:,} judgements, "
                f"{gap.candidates_never_judged:,} candidates it never judged; to ask: {price}"
            )
    for saving in result.savings:
        price = _price(saving.cost_usd, saving.seconds)
        _say(f"{saving.judge} has cost {price} for {saving.judgements:,} judgements so far")
    if result.examples:
        columns = ["prompt", "chosen now", "chosen what if", "margin now", "margin what if"]
        print_table(columns, [_example(words) for words in result.examples])


def _say(line: str) -> None:
    out.print(safe_text(line), highlight=False, markup=False)


def _price(cost_usd: float | None, seconds: float | None) -> str:
    """Return a price in words; without seconds for a judge that records none."""
    cost = "" if cost_usd is None else f"{cost_usd:.4f} US dollars"
    return cost if seconds is None else f"{cost} and {seconds:,.0f} s"


def _counts(comparison: "PanelComparison") -> tuple[Any, ...]:
    margins = (comparison.mean_margin_before, comparison.mean_margin_after)
    same = comparison.agreement
    return (
        comparison.pairs,
        f"{comparison.preferred_before} → {comparison.preferred_after}",
        comparison.changed,
        comparison.flipped,
        comparison.became_tie,
        comparison.became_unscored,
        comparison.appeared,
        " → ".join("none" if margin is None else f"{margin:.3f}" for margin in margins),
        f"{same.value:.3f} ({same.low:.2f}–{same.high:.2f})" if same else "",
    )


def _example(words: dict[str, Any]) -> tuple[Any, ...]:
    columns = ("prompt", "chosen_before", "chosen_after", "margin_before", "margin_after")
    return tuple(words[name] for name in columns)
