"""`solon lineage`: show what a fact came from and what it led to."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from flows.terminal.screen import AsJson, Overrides, out, print_json, safe_text

if TYPE_CHECKING:
    from rlhf_core.store.lineage.tree import Branch


class LineageDirection(StrEnum):
    UP = "up"
    DOWN = "down"
    BOTH = "both"


SubjectId = Annotated[
    str, typer.Argument(metavar="ID", help="An id or its beginning; a judge's version works too.")
]
StoreConfig = Annotated[
    Path | None,
    typer.Option("--config", help="Config of the store to read. Default: runs/solon.duckdb."),
]


def lineage(
    identity: SubjectId,
    overrides: Overrides = None,
    config: StoreConfig = None,
    direction: Annotated[
        LineageDirection, typer.Option(help="up: what it came from; down: what it led to.")
    ] = LineageDirection.BOTH,
    limit: Annotated[int, typer.Option(min=0, help="Ids shown for each group of rows.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show what a fact came from and what it led to, as a tree.

    For a policy: its parents, its reward model, the rankings, pairs, judgements, judges, answers
    and prompts behind them, and the models that came after. For a prompt, an answer, a judgement, a
    pair, a ranking or a judge's version: every model that learnt from it.

    Try [bold]solon sql "SELECT id FROM models"[/bold], then [bold]solon lineage policy-01ab
    --direction up[/bold]. The same is in the views model_ancestry, model_sources,
    prompt_models, model_pairs, model_judgements and model_judges.
    """
    from rlhf_core.config import store_path
    from rlhf_core.store import reading
    from rlhf_core.store.lineage.tree import lineage_down, lineage_up, subject_of

    with reading(store_path(config, overrides or [])) as snapshot:
        subject = subject_of(snapshot, identity)
        ways = {LineageDirection.UP: lineage_up, LineageDirection.DOWN: lineage_down}
        trees = {
            way.value: follow(snapshot, subject, limit)
            for way, follow in ways.items()
            if direction in (way, LineageDirection.BOTH)
        }
    if as_json:
        branches = {way: [asdict(branch) for branch in roots] for way, roots in trees.items()}
        print_json({**asdict(subject), **branches})
        return
    titles = {"up": "came from", "down": "led to"}
    for way, roots in trees.items():
        print_branches(f"{subject.id} ({_words(subject.table, 1)}) {titles[way]}", roots)


def print_branches(title: str, branches: "Sequence[Branch]") -> None:
    """Print branches as a tree under a title."""
    out.print(_add_branches(Tree(Text(safe_text(title), style="bold")), branches))
    if not branches:
        out.print("  nothing")


def _add_branches(tree: Tree, branches: "Iterable[Branch]") -> Tree:
    for branch in branches:
        _add_branches(tree.add(_label(branch)), branch.branches)
    return tree


def _label(branch: "Branch") -> Text:
    text = Text(safe_text(f"{branch.relation}: "), style="dim")
    if branch.table == "models":
        text.append(safe_text(branch.ids[0]), style="bold not dim")
        if branch.made and not branch.is_repeated:
            text.append(safe_text(f" ({branch.made})"), style="cyan not dim")
        if branch.is_repeated:
            text.append(", as above" if not branch.tainted else ", as above,")
        if branch.tainted:
            text.append(f" {branch.tainted:,} rows on retracted facts", style="red not dim")
        return text
    text.append(f"{branch.count:,} {_words(branch.table, branch.count)}", style="not dim")
    if branch.note:
        text.append(safe_text(f"  {branch.note}"), style="cyan not dim")
    if branch.tainted:
        text.append(f"  {branch.tainted:,} retracted or on retracted", style="red not dim")
    more = ", …" if branch.count > len(branch.ids) else ""
    if branch.ids:
        text.append(safe_text(f"  {', '.join(branch.ids)}{more}"))
    return text


def _words(table: str, count: int) -> str:
    words = table.replace("_", " ")
    return words.removesuffix("s") if count == 1 else words
