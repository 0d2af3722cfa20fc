"""`solon import`: preference data from elsewhere into the store."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows._progress import console, progress
from flows._screen import AsJson, Overrides, print_json
from rlhf_core.errors import QueryError
from rlhf_core.exchange import FORMS

if TYPE_CHECKING:
    from rlhf_core.exchange.examples import Example, Scale
    from rlhf_core.exchange.facts import Importer
    from rlhf_core.exchange.source import Source, Survey
    from rlhf_core.records import Record
    from rlhf_core.store import Store

ROWS_A_BATCH = 500
SHOWN_BAD_ROWS = 5


SourcePath = Annotated[
    Path,
    typer.Argument(help="A .jsonl, .jsonl.gz, .json or .parquet file, or a data set's folder."),
]
Name = Annotated[str | None, typer.Option(help="What to keep it under; the file's name, if none.")]
FormName = Annotated[
    str | None,
    typer.Option("--format", help="preference, ranking, sft or kto; told by the columns."),
]
Holdout = Annotated[
    float, typer.Option(min=0, max=1, help="Share of the prompts that are held out.")
]
ScaleText = Annotated[str, typer.Option(help="Lowest and highest score there can be, as in 1:10.")]
SkipsBad = Annotated[
    bool, typer.Option("--skip-bad", help="Count rows that cannot be read, and go on.")
]
Plans = Annotated[bool, typer.Option("--plan", help="Say what would be added, and add nothing.")]
StoreOf = Annotated[
    Path | None, typer.Option("--config", help="Whose store; runs/solon.duckdb if none.")
]


def import_(
    path: SourcePath,
    name: Name = None,
    form: FormName = None,
    holdout: Holdout = 0.2,
    scale: ScaleText = "0:1",
    skip_bad: SkipsBad = False,
    plan: Plans = False,
    overrides: Overrides = None,
    config: StoreOf = None,
    as_json: AsJson = False,
) -> None:
    """Read pairs, rankings, demonstrations or labelled answers of other people into the store.

    Answers are kept as those of a model of kind external, labels as the judgements of a judge of
    the file's name, so [bold]solon sql[/bold] finds them beside your own. Reading the same rows
    again adds nothing. A row that cannot be read is an error with its line, and nothing is written.
    Pairs may lack a prompt, as Anthropic's hh-rlhf does: it is what both answers begin with.

    Example: [bold]solon import helpful.jsonl --name helpful[/bold], and then
    [bold]preferences: {imported: {sources: [helpful]}}[/bold] in a config trains on them.
    """
    from rlhf_core.config import store_path
    from rlhf_core.exchange.source import Source

    if form is not None and form not in FORMS:
        raise QueryError(f"no format {form!r}; use {', '.join(FORMS)}")
    chosen = next((known for known in FORMS if known == form), None)
    source = Source(path, chosen, _scale(scale), skip_bad)
    label = name or path.name.split(".")[0]
    found = _import(store_path(config, overrides or []), source, label, holdout, plan)
    if as_json:
        print_json(found)
    elif not plan:
        typer.echo(f"{found['added']:,} facts added under the name {label}")


def _import(
    store: Path | str, source: "Source", name: str, holdout: float, plans: bool
) -> dict[str, Any]:
    from rlhf_core.exchange.facts import Importer
    from rlhf_core.store import Store

    survey, prompt_ids, pairs = _survey(source, name, holdout)
    importer = Importer(name, survey.form, survey.digest, holdout, source.scale)
    deleted = prompt_ids & _deleted(store)
    found: dict[str, Any] = {
        "source": name,
        "format": survey.form,
        "judge_version": importer.judge_version,
        "rows": survey.rows,
        "prompts": len(prompt_ids),
        "new_prompts": len(prompt_ids - _known(store, prompt_ids) - deleted),
        "deleted_prompts": len(deleted),
        "pairs": pairs,
        "left_out": dict(survey.left_out),
        "bad": len(survey.bad),
    }
    _print_plan(found, survey.bad)
    if plans:
        return {**found, "added": 0}
    opened = Store(store)
    added = _keep(opened, source, importer, survey)
    return {**found, "added": added, "run_id": opened.run_id}


def _keep(opened: "Store", source: "Source", importer: "Importer", survey: "Survey") -> int:
    """The second reading: facts are added batch by batch, and last that all of them were."""
    from rlhf_core.records import ImportedRow

    begun: list[Record] = [importer.config, importer.model]
    left_out = sum(survey.left_out.values())
    ended: list[Record] = [importer.record(survey.rows, left_out, len(survey.bad))]
    groups = chain([begun], _facts(importer, source, _deleted(opened.address)), [ended])
    added = 0
    with progress("importing", survey.rows) as advance:
        while facts := [fact for group in islice(groups, ROWS_A_BATCH) for fact in group]:
            added += opened.append(facts)
            advance(sum(isinstance(fact, ImportedRow) for fact in facts), "")
    opened.publish()
    return added


def _survey(source: "Source", name: str, holdout: float) -> "tuple[Survey, set[str], int]":
    """The first reading: what is there, of which prompts, and how many pairs it makes."""
    from rlhf_core.exchange.facts import Importer, demonstrations
    from rlhf_core.exchange.source import survey
    from rlhf_core.records import Prompt

    prompt_ids, shown, pairs = set[str](), list["Example"](), 0
    for example, found in survey(source):
        importer = Importer(name, found.form, "", holdout)
        if found.form == "sft":
            shown.append(example)
        else:
            prompt_ids.add(importer.prompt(example).id)
            pairs += len(example.utilities) * (len(example.utilities) - 1) // 2
    facts = chain.from_iterable(demonstrations(importer, shown))
    prompt_ids |= {fact.id for fact in facts if isinstance(fact, Prompt)}
    return found, prompt_ids, pairs


def _known(store: Path | str, prompt_ids: set[str]) -> set[str]:
    from rlhf_core.store import Store, queries, store_exists

    return queries.known_ids(Store(store), "prompts", prompt_ids) if store_exists(store) else set()


def _deleted(store: Path | str) -> set[str]:
    """Prompts that a user had deleted, and that must not come back."""
    from rlhf_core.store import Store, queries, store_exists

    if not store_exists(store):
        return set()
    return {prompt_id for prompt_id, _ in queries.tombstones(Store(store))}


def _facts(importer: "Importer", source: "Source", deleted: set[str]) -> "Iterator[list[Record]]":
    """The facts of each row; of demonstrations, those of each prompt. None of deleted prompts."""
    from rlhf_core.exchange.facts import demonstrations
    from rlhf_core.records import Prompt

    groups = (
        demonstrations(importer, source.examples())
        if importer.form == "sft"
        else (list(importer.facts(example)) for example in source.examples())
    )
    for group in groups:
        if not any(isinstance(fact, Prompt) and fact.id in deleted for fact in group):
            yield group


def _print_plan(found: dict[str, Any], bad: Sequence[str]) -> None:
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in found["left_out"].items())
    console.print(
        f"{found['rows']:,} rows of format {found['format']}: {found['pairs']:,} pairs, "
        f"{found['prompts']:,} prompts, {found['new_prompts']:,} of them new; left out: "
        f"{left_out or 'none'}; bad: {found['bad']:,}; prompts that a user had deleted, which stay "
        f"out: {found['deleted_prompts']:,}",
        highlight=False,
        markup=False,
    )
    for problem in bad[:SHOWN_BAD_ROWS]:
        console.print(f"  {ascii(problem)[1:-1]}", highlight=False, markup=False)


def _scale(text: str) -> "Scale":
    from rlhf_core.exchange.examples import Scale

    low, colon, high = text.partition(":")
    try:
        found = Scale(float(low), float(high))
    except ValueError:
        found = Scale(0, 0)
    if not colon or not found.low < found.high < float("inf") or found.low == float("-inf"):
        raise QueryError(f"--scale {text}: write the lowest and the highest score, as in 1:10")
    return found
