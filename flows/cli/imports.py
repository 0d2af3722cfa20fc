"""`solon import`: read preference data from elsewhere into the store."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.progress import console, progress
from flows.terminal.screen import AsJson, ColumnMap, Overrides, print_json
from rlhf_core.errors import QueryError
from rlhf_core.exchange import FORMS
from rlhf_core.files.format_names import FORMAT_NAMES

if TYPE_CHECKING:
    from rlhf_core.config.prompts import HygieneSettings
    from rlhf_core.exchange.account import Account
    from rlhf_core.exchange.source import ImportSource
    from rlhf_core.files.scales import Scale
    from rlhf_core.store import Store

ROWS_A_BATCH = 500
ACTIONS = {"count": "kept as it is", "mask": "masked", "drop": "left out with its row"}
SHOWN_BAD_ROWS = 5


SourcePath = Annotated[
    str,
    typer.Argument(
        help="A .jsonl, .json, .csv, .tsv (also .gz, .zst) or .parquet file, a data set's folder, "
        "or hf:owner/name:CONFIG:SPLIT."
    ),
]
Name = Annotated[str | None, typer.Option(help="Name to keep it under. Default: the file's name.")]
FormName = Annotated[
    str | None,
    typer.Option(
        "--format",
        help=f"{', '.join(FORMS)}, or a well-known data set: {', '.join(FORMAT_NAMES)}. Default: "
        "by the columns.",
    ),
]
Holdout = Annotated[
    float, typer.Option(min=0, max=1, help="Share of the prompts that are held out.")
]
ScaleText = Annotated[
    str | None,
    typer.Option(
        help="Lowest and highest possible score, such as 1:10. Default: the format's, else 0:1."
    ),
]
SkipsBad = Annotated[
    bool, typer.Option("--skip-bad", help="Count rows that cannot be read, and continue.")
]
Plans = Annotated[bool, typer.Option("--plan", help="Show what would be added; add nothing.")]
StoreOf = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Config of the store, with its rules. Default: runs/solon.duckdb."
    ),
]


def import_(
    path: SourcePath,
    name: Name = None,
    form: FormName = None,
    holdout: Holdout = 0.2,
    scale: ScaleText = None,
    columns: ColumnMap = None,
    skip_bad: SkipsBad = False,
    plan: Plans = False,
    overrides: Overrides = None,
    config: StoreOf = None,
    as_json: AsJson = False,
) -> None:
    r"""Read pairs, rankings, demonstrations or labelled answers from elsewhere into the store.

    Answers belong to a model of kind external, and labels are the judgements of a judge of the
    file's name, so [bold]solon sql[/bold] shows them beside your own. Reading the same rows again
    adds nothing, and neither do rows that this store exported. A row that cannot be read is an
    error with its line, and then nothing is written. Pairs may lack a prompt, as in Anthropic's
    hh-rlhf: it is what both answers begin with. Labelled answers (kto) make pairs where a prompt
    has answers of either label. Well-known data sets are recognised by their columns; name those
    of others: [bold]--map prompt=question --map chosen=messages\[1].content[/bold].

    Personal data and repetitions are treated by prompts.privacy and prompts.hygiene of the config,
    in answers and all other columns: [bold]--set prompts.privacy.policy=mask[/bold].

    Example: [bold]solon import helpful.jsonl --name helpful[/bold]; then
    [bold]preferences: {imported: {sources: \[helpful]}}[/bold] in a config trains on them.
    """
    from rlhf_core.config import import_rules, store_path
    from rlhf_core.exchange.screening import Screen
    from rlhf_core.exchange.source import ImportSource
    from rlhf_core.files.formats import check_format
    from rlhf_core.files.roles import parse_map

    known = check_format(form, FORMS)
    chosen = next((known for known in FORMS if known == form), None)
    named = parse_map(columns or [])
    privacy, hygiene = import_rules(config, overrides or [])
    source = ImportSource(path, chosen, known, named, _scale(scale), skip_bad, Screen(privacy))
    label = name or re.split(r"[.:]", path.rstrip("/").rpartition("/")[2])[0]
    outcome = _import(store_path(config, overrides or []), source, label, holdout, hygiene, plan)
    if as_json:
        print_json(outcome)
    elif not plan:
        typer.echo(f"{outcome['added']:,} facts added under the name {label}")


def _import(
    store: Path | str,
    source: "ImportSource",
    name: str,
    holdout: float,
    hygiene: "HygieneSettings | None" = None,
    plans: bool = False,
) -> dict[str, Any]:
    from rlhf_core.config.prompts import HygieneSettings
    from rlhf_core.exchange.account import account_of
    from rlhf_core.store import Store

    source = replace(source, known=_own(store, source))
    account = account_of(source, name, holdout, hygiene or HygieneSettings(), _deleted(store))
    policy = source.screen.settings.policy if source.screen else "off"
    outcome: dict[str, Any] = {
        "source": name,
        "format": account.survey.form,
        "data_format": account.survey.format,
        "judge_version": account.importer.judge_version,
        "rows": account.rows,
        "prompts": len(account.prompts),
        "new_prompts": len(account.prompts - _known(store, account.prompts)),
        "deleted_prompts": len(account.deleted),
        "pairs": account.pairs,
        "left_out": dict(account.left_out),
        "privacy": policy,
        "personal_data": account.personal_data,
        "bad": len(account.survey.bad),
    }
    _print_plan(outcome, account.survey.bad)
    if plans or not account.rows:
        return {**outcome, "added": 0}
    opened = Store(store)
    added = _keep(opened, account)
    return {**outcome, "added": added, "run_id": opened.run_id}


def _keep(opened: "Store", account: "Account") -> int:
    """Read the source a second time and append its facts in batches, the import's own fact last."""
    from rlhf_core.exchange.account import rows_in

    groups = account.facts()
    added = 0
    with progress("importing", account.rows) as advance:
        while facts := [fact for group in islice(groups, ROWS_A_BATCH) for fact in group]:
            added += opened.append(facts)
            advance(rows_in(facts), "")
    opened.publish()
    return added


def _own(store: Path | str, source: "ImportSource") -> frozenset[str]:
    """Return the keys of source rows that this store exported itself."""
    from rlhf_core.exchange.own import own_keys
    from rlhf_core.store import reading, store_exists

    if not store_exists(store):
        return frozenset()
    with reading(store) as snapshot:
        return frozenset(own_keys(snapshot, replace(source, screen=None).examples()))


def _known(store: Path | str, prompt_ids: set[str]) -> set[str]:
    from rlhf_core.store import Store, queries, store_exists

    return queries.known_ids(Store(store), "prompts", prompt_ids) if store_exists(store) else set()


def _deleted(store: Path | str) -> set[str]:
    """Return the ids of prompts that were deleted for a user and must not come back."""
    from rlhf_core.store import Store, queries, store_exists

    if not store_exists(store):
        return set()
    return {prompt_id for prompt_id, _ in queries.tombstones(Store(store))}


def _print_plan(outcome: dict[str, Any], bad: Sequence[str]) -> None:
    personal = _counts(outcome["personal_data"]) or "none"
    if outcome["privacy"] == "off":
        personal = "not looked for (prompts.privacy.policy is off)"
    elif outcome["personal_data"]:
        personal += f", {ACTIONS[outcome['privacy']]}"
    console.print(
        f"{outcome['rows']:,} rows of format {outcome['format']}{_recognised(outcome)}: "
        f"{outcome['pairs']:,} pairs, "
        f"{outcome['prompts']:,} prompts, {outcome['new_prompts']:,} of them new; left out: "
        f"{_counts(outcome['left_out']) or 'none'}; personal data: {personal}; "
        f"bad: {outcome['bad']:,}",
        highlight=False,
        markup=False,
    )
    for problem in bad[:SHOWN_BAD_ROWS]:
        console.print(f"  {ascii(problem)[1:-1]}", highlight=False, markup=False)


def _recognised(outcome: dict[str, Any]) -> str:
    return f", read as {outcome['data_format']}" if outcome["data_format"] else ""


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _scale(text: str | None) -> "Scale | None":
    from rlhf_core.files.scales import Scale

    if text is None:
        return None
    low, colon, high = text.partition(":")
    try:
        read = Scale(float(low), float(high))
    except ValueError:
        read = Scale(0, 0)
    if not colon or not read.low < read.high < float("inf") or read.low == float("-inf"):
        raise QueryError(f"--scale {text}: write the lowest and the highest score, as in 1:10")
    return read
