"""`solon export`: write preference data for other trainers."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from flows.terminal.screen import AsJson, Overrides, print_json
from rlhf_core.errors import QueryError
from rlhf_core.exchange import FORMS, Form

if TYPE_CHECKING:
    from rlhf_core.exchange.containers import Container
    from rlhf_core.store.exchange import Counts, Selection

Choice = TypeVar("Choice", bound=StrEnum)
SOURCES = ("references", "rankings", "revisions")
ONLY_FOR: dict[str, tuple[str, ...]] = {
    "--min-margin": ("preference", "kto"),
    "--min-agreement": ("preference", "kto"),
    "--config-hash": ("preference", "kto", "ranking", "rankings"),
}
"""The formats that each of these filters applies to; the other filters apply to all."""


Target = Annotated[
    Path,
    typer.Argument(
        help="File to write: .jsonl or .parquet; a name without an ending is a data set's folder."
    ),
]
FormName = Annotated[str, typer.Option("--format", help="preference, ranking, sft or kto.")]
ContainerName = Annotated[
    str | None,
    typer.Option("--as", help="jsonl, parquet or datasets. Default: by the name's ending."),
]
WhichSplit = Annotated[
    str, typer.Option(help="train or holdout. Do not train on the held-out prompts.")
]
Completions = Annotated[
    str,
    typer.Option(
        "--from", help="For sft: references, rankings (the best answer of each) or revisions."
    ),
]
MinMargin = Annotated[
    float | None, typer.Option(min=0, help="Leave out pairs with a smaller margin.")
]
MinAgreement = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Leave out pairs on which a smaller share of the judges agrees."
    ),
]
OnlyMode = Annotated[
    str | None,
    typer.Option(help="Only prompts of this mode: text_grounded, knowledge_seeking or creative."),
]
OnlyRun = Annotated[
    str | None, typer.Option(help="Only what this run wrote; an id or its beginning.")
]
OnlyConfig = Annotated[
    str | None,
    typer.Option(help="Only what was ranked under the config with this hash, or its beginning."),
]
WithCutOff = Annotated[
    bool,
    typer.Option(
        "--with-cut-off", help="Keep answers that were cut off; trainers will give each an end."
    ),
]
Conversational = Annotated[
    bool | None,
    typer.Option(
        "--conversational/--plain",
        help="Write lists of role and content, or texts. Default: texts, unless a prompt is a "
        "conversation.",
    ),
]
StoreOf = Annotated[
    Path | None,
    typer.Option("--config", help="Config of the store to read. Default: runs/solon.duckdb."),
]


def export(
    path: Target,
    form: FormName = "preference",
    container: ContainerName = None,
    split: WhichSplit = "train",
    completions: Completions = "references",
    min_margin: MinMargin = None,
    min_agreement: MinAgreement = None,
    mode: OnlyMode = None,
    run: OnlyRun = None,
    config_hash: OnlyConfig = None,
    with_cut_off: WithCutOff = False,
    conversational: Conversational = None,
    overrides: Overrides = None,
    config: StoreOf = None,
    as_json: AsJson = False,
) -> None:
    """Write pairs, rankings, demonstrations or labelled answers for other trainers.

    The files load unchanged in TRL: [bold]load_dataset("json", data_files="pairs.jsonl")[/bold] for
    DPOTrainer and RewardTrainer, --format kto for KTOTrainer, --format sft for SFTTrainer. Prompts
    are what the model reads, including the text that a prompt is about and worked examples. Ties,
    unscored pairs, and answers that are equal, empty or cut off are left out and counted. Held-out
    prompts are written with --split holdout only.

    Example: [bold]solon export pairs.jsonl --min-margin 0.1 --mode creative[/bold]
    """
    from rlhf_core.config import store_path
    from rlhf_core.exchange.containers import container_of
    from rlhf_core.records import Mode, Split
    from rlhf_core.store.exchange import Selection

    chosen = _form(form)
    subject = completions if chosen == "sft" else chosen
    given = {
        "--min-margin": min_margin,
        "--min-agreement": min_agreement,
        "--config-hash": config_hash,
    }
    _refuse_idle_filters(subject, {name for name, value in given.items() if value is not None})
    selection = Selection(
        split=_choice(Split, "--split", split),
        mode=None if mode is None else _choice(Mode, "--mode", mode),
        run=run,
        config_hash=config_hash,
        min_margin=min_margin,
        min_agreement=min_agreement,
        with_cut_off=with_cut_off,
    )
    store, target = store_path(config, overrides or []), container_of(path, container)
    outcome = _export(store, path, target, chosen, subject, selection, conversational)
    if as_json:
        print_json(outcome)
    else:
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in outcome["left_out"].items())
        typer.echo(f"{outcome['rows']:,} rows written to {path}; left out: {left_out or 'none'}")


def _form(name: str) -> Form:
    for form in FORMS:
        if form == name:
            return form
    raise QueryError(f"no format {name!r}; use {', '.join(FORMS)}")


def _choice(kind: type[Choice], option: str, name: str) -> Choice:
    """Return what an option names.

    Args:
        kind: What there is to choose from.
        option: The option.
        name: What it was given.

    Raises:
        QueryError: If there is no such choice.
    """
    try:
        return kind(name)
    except ValueError:
        raise QueryError(f"{option} {name}: use {', '.join(kind)}") from None


def _refuse_idle_filters(subject: str, given: set[str]) -> None:
    """Refuse a filter that has no effect on this format, so that it does not look as if it had."""
    if subject not in (*FORMS, *SOURCES):
        raise QueryError(f"--from {subject}: use {', '.join(SOURCES)}")
    for name in sorted(given):
        if subject not in ONLY_FOR[name]:
            raise QueryError(f"{name} has no effect on {subject}; leave it out")


def _export(
    store: Path | str,
    path: Path,
    container: "Container",
    form: Form,
    subject: str,
    selection: "Selection",
    conversational: bool | None,
) -> dict[str, Any]:
    from rlhf_core.exchange.columns import export_row, schema_of, without_repeats
    from rlhf_core.exchange.containers import write_rows
    from rlhf_core.store import reading
    from rlhf_core.store.exchange import by_whole_ids, count_rows, select_rows

    with reading(store) as snapshot:
        selection = by_whole_ids(snapshot, selection)
        counts = count_rows(snapshot, subject, selection)
        is_conversation = counts.has_conversations if conversational is None else conversational
        rows: Iterable[dict[str, Any]] = select_rows(snapshot, subject, selection)
        if form == "ranking":
            rows = without_repeats(rows)
        lines = (export_row(form, {**row, "origin": subject}, is_conversation) for row in rows)
        schema = schema_of(form, is_conversation, counts)
        written = write_rows(path, container, schema, _with_bar(counts, lines))
    left_out = dict(counts.left_out)
    if written < counts.rows:
        left_out["equal answers"] = left_out.get("equal answers", 0) + counts.rows - written
    return {
        "written": path,
        "as": container,
        "format": form,
        "split": selection.split,
        "rows": written,
        "left_out": left_out,
        "columns": schema.names,
    }


def _with_bar(counts: "Counts", rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    from flows.terminal.progress import progress

    with progress("exporting", counts.rows) as advance:
        for row in rows:
            yield row
            advance(1, "")
