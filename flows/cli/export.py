"""`solon export`: preference data out of the store, as trainers read it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.screen import AsJson, Overrides, print_json
from rlhf_core.errors import QueryError
from rlhf_core.exchange import FORMS, Form
from rlhf_core.records import Mode, Split

if TYPE_CHECKING:
    from rlhf_core.exchange.containers import Container
    from rlhf_core.store.exchange import Counts, Selection

SOURCES = ("references", "rankings", "revisions")
ONLY_FOR: dict[str, tuple[str, ...]] = {
    "--min-margin": ("preference", "kto"),
    "--min-agreement": ("preference", "kto"),
    "--config-hash": ("preference", "kto", "ranking", "rankings"),
}
"""What the filters can be asked of; the others hold everywhere."""


Target = Annotated[
    Path,
    typer.Argument(
        help="File to write: .jsonl, .parquet, or without an ending the folder of a data set."
    ),
]
FormName = Annotated[str, typer.Option("--format", help="preference, ranking, sft or kto.")]
ContainerName = Annotated[
    str | None,
    typer.Option("--as", help="jsonl, parquet or datasets, whatever the name ends in."),
]
WhichSplit = Annotated[
    Split, typer.Option(help="Which prompts. Nobody should train on the held-out ones.")
]
Completions = Annotated[
    str, typer.Option("--from", help="For sft: references, rankings (their best) or revisions.")
]
MinMargin = Annotated[
    float | None, typer.Option(min=0, help="Leave out pairs that differ by less.")
]
MinAgreement = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Leave out pairs on which a smaller share agrees."),
]
OnlyMode = Annotated[Mode | None, typer.Option(help="Only prompts of this mode.")]
OnlyRun = Annotated[
    str | None, typer.Option(help="Only what the run wrote whose id is this or begins so.")
]
OnlyConfig = Annotated[
    str | None,
    typer.Option(help="Only what was ranked under the config whose hash is this or begins so."),
]
WithCutOff = Annotated[
    bool,
    typer.Option("--with-cut-off", help="Keep answers cut off: trainers give each an end."),
]
Conversational = Annotated[
    bool | None,
    typer.Option(
        "--conversational/--plain",
        help="Lists of role and content, or texts. Texts, unless conversations were imported.",
    ),
]
StoreOf = Annotated[
    Path | None, typer.Option("--config", help="Whose store; runs/solon.duckdb if none.")
]


def export(
    path: Target,
    form: FormName = "preference",
    container: ContainerName = None,
    split: WhichSplit = Split.TRAIN,
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
    are what the model reads, the text a prompt is about included. Ties, unscored pairs, and answers
    that are equal, empty or cut off are left out and counted; a held-out prompt goes out by
    --split holdout alone.

    Example: [bold]solon export pairs.jsonl --min-margin 0.1 --mode creative[/bold]
    """
    from rlhf_core.config import store_path
    from rlhf_core.exchange.containers import container_of
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
        split=split,
        mode=mode,
        run=run,
        config_hash=config_hash,
        min_margin=min_margin,
        min_agreement=min_agreement,
        with_cut_off=with_cut_off,
    )
    store, target = store_path(config, overrides or []), container_of(path, container)
    found = _export(store, path, target, chosen, subject, selection, conversational)
    if as_json:
        print_json(found)
    else:
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in found["left_out"].items())
        typer.echo(f"{found['rows']:,} rows written to {path}; left out: {left_out or 'none'}")


def _form(name: str) -> Form:
    for form in FORMS:
        if form == name:
            return form
    raise QueryError(f"no format {name!r}; use {', '.join(FORMS)}")


def _refuse_idle_filters(subject: str, given: set[str]) -> None:
    """A filter that would hold nothing back must not look as if it did."""
    if subject not in (*FORMS, *SOURCES):
        raise QueryError(f"--from {subject}: use {', '.join(SOURCES)}")
    for name in sorted(given):
        if subject not in ONLY_FOR[name]:
            raise QueryError(f"{name} says nothing of {subject}; leave it out")


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
        schema = schema_of(form, is_conversation, counts.columns)
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
