"""`solon sql`: query the store, by your own SQL or by a named query."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.screen import AsJson, Overrides, out, print_json, print_table
from rlhf_core.errors import QueryError

if TYPE_CHECKING:
    from flows.terminal.rows import Format
    from rlhf_core.store.snapshot import Snapshot

ROWS_ON_SCREEN = 1000
GRACE_SECONDS = 5.0
FORMATS = "table, csv, json, jsonl or parquet"


Query = Annotated[str | None, typer.Argument(help="One reading statement, in DuckDB's SQL.")]
Name = Annotated[str | None, typer.Option("--query", metavar="NAME", help="Run a named query.")]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--param", metavar="NAME=VALUE", help="Value of the query's parameter $NAME. Repeatable."
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--queries",
        help="Folder of more named queries. Default: deploy/queries here, if there is one.",
    ),
]
Lists = Annotated[bool, typer.Option("--list", help="List the named queries and their parameters.")]
Kind = Annotated[
    str | None,
    typer.Option("--format", metavar="FORMAT", help=f"{FORMATS}. Default: by the ending of --out."),
]
Target = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="A new file. Default: the screen.")
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, help=f"Most rows. Default: {ROWS_ON_SCREEN} in a table, else all."),
]
Timeout = Annotated[
    float,
    typer.Option(min=0.1, metavar="SECONDS", help="Time limit, including writing."),
]


def sql(
    query: Query = None,
    overrides: Overrides = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Config of the store to query. Default: runs/solon.duckdb."),
    ] = None,
    name: Name = None,
    parameters: Given = None,
    folder: Folder = None,
    lists: Lists = False,
    kind: Kind = None,
    as_json: AsJson = False,
    target: Target = None,
    limit: Limit = None,
    timeout: Timeout = 60.0,
) -> None:
    """Query the store, also while a run goes on. A query reads a snapshot and can write nothing.

    Without a query, the command lists the tables and views; deploy/docs/store.md explains every
    column. Begin with [bold]solon sql "SELECT * FROM pair_texts LIMIT 5"[/bold].

    Some queries have names, which --list shows. Example:
    [bold]solon sql --query closest_pairs --param rows=5 --out closest.csv[/bold]. A file gets every
    row. In CSV, a text that a spreadsheet would run as a formula gets an apostrophe in front; JSON
    and Parquet hold texts as they are. A query that takes longer than --timeout, or half of the
    machine's memory, is stopped.
    """
    from flows.terminal.rows import Format
    from rlhf_core.config import store_path
    from rlhf_core.store import reading
    from rlhf_core.store.audit.named import named_query, read_parameters
    from rlhf_core.store.limits import UNCOUNTED_BYTES, limit_process_memory, memory_bytes

    wanted = _format(kind, as_json, target)
    if lists:
        _print_queries(folder, wanted is Format.JSON)
        return
    if query is not None and name is not None:
        raise QueryError("give a query, or the name of one with --query, and not both")
    values: dict[str, Any] = read_parameters(parameters or [])
    if name is not None:
        named = named_query(name, folder)
        query, values = named.sql, {**named.defaults, **values}
    with reading(store_path(config, overrides or [])) as snapshot:
        typer.echo(f"snapshot of {snapshot.age_seconds:.0f} s ago", err=True)
        if query is None:
            _print_schema(snapshot, wanted is Format.JSON)
            return
        with limit_process_memory(memory_bytes() + UNCOUNTED_BYTES), _ended_after(timeout):
            _answer(snapshot, query, values, wanted, target, limit, timeout)


def _answer(
    snapshot: "Snapshot",
    query: str,
    values: dict[str, Any],
    wanted: "Format",
    target: Path | None,
    limit: int | None,
    timeout: float,
) -> None:
    from flows.terminal.rows import Format, rows_of, standard_output, write_parquet, write_rows
    from rlhf_core.files.whole import whole_file, whole_text

    if wanted is Format.TABLE:
        most = limit or ROWS_ON_SCREEN
        with snapshot.stream(query, values, timeout) as cursor:
            rows = list(rows_of(cursor, most + 1))
        print_table(cursor.columns, rows[:most])
        if len(rows) > most:
            typer.echo(f"the first {most} rows; there are more (--limit, or --out FILE)", err=True)
    elif target is None:
        with snapshot.stream(query, values, timeout) as cursor, standard_output() as stream:
            write_rows(wanted, cursor, limit, stream)
    else:
        if wanted is Format.PARQUET:
            with (
                whole_file(target, is_new=True) as file,
                snapshot.stream_arrow(query, values, timeout) as arrow,
            ):
                written = write_parquet(arrow, limit, file)
        else:
            with (
                whole_text(target, is_new=True) as text,
                snapshot.stream(query, values, timeout) as cursor,
            ):
                written = write_rows(wanted, cursor, limit, text)
        typer.echo(f"{written:,} rows written to {target}", err=True)


def _format(kind: str | None, as_json: bool, target: Path | None) -> "Format":
    from flows.terminal.rows import Format

    if as_json and kind not in (None, Format.JSON):
        raise QueryError(f"--json and --format {kind} do not go together")
    named = kind or ("json" if as_json else target.suffix.removeprefix(".") if target else "table")
    if named not in list(Format):
        raise QueryError(f"no format {named!r}: --format {FORMATS}")
    chosen = Format(named)
    if chosen is Format.PARQUET and target is None:
        raise QueryError("Parquet is no text: name a file with --out")
    if chosen is Format.TABLE and target is not None:
        raise QueryError("a table is for the screen; a file is csv, json, jsonl or parquet")
    return chosen


@contextmanager
def _ended_after(timeout: float) -> Iterator[None]:
    """End the process if a query cannot be stopped, such as one that builds a huge string."""
    from rlhf_core.files.whole import remove_unfinished

    def end() -> None:
        remove_unfinished()
        typer.echo(
            f"solon: the query took longer than {timeout:g} s and could not be stopped", err=True
        )
        os._exit(2)

    timer = threading.Timer(timeout + GRACE_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _print_queries(folder: Path | None, as_json: bool) -> None:
    from rlhf_core.store.audit.named import named_queries

    queries = sorted(named_queries(folder).values(), key=lambda query: query.name)
    if as_json:
        print_json(
            [
                {
                    "name": query.name,
                    "summary": query.summary,
                    "parameters": query.meanings,
                    "defaults": query.defaults,
                }
                for query in queries
            ]
        )
        return
    rows = []
    for query in queries:
        parameters = [
            f"{name}: {meaning} ({query.defaults.get(name, 'needed')})"
            for name, meaning in query.meanings.items()
        ]
        rows.append((query.name, query.summary, "\n".join(parameters)))
    print_table(["query", "answers", "parameters"], rows)


def _print_schema(snapshot: "Snapshot", as_json: bool) -> None:
    from rlhf_core.store.audit.describe import relations

    described = relations(snapshot)
    if as_json:
        print_json(
            [{"name": one.name, "kind": one.kind, "comment": one.comment} for one in described]
        )
    else:
        print_table(["", "name", "what it holds"], [(r.kind, r.name, r.comment) for r in described])
        out.print("solon sql --list shows the named queries")
