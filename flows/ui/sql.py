"""Page: one statement that reads, its rows as a table, a chart, a CSV file."""

import io
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from nicegui import ui

from flows._answers import Format, rows_of, write_rows
from flows.ui.answer_chart import draw_chart
from flows.ui.parts import box, complain, frame, load, snapshot_age, table, words
from flows.ui.source import Source
from rlhf_core.errors import SolonError
from rlhf_core.store import Answer, Snapshot
from rlhf_core.store.named import NamedQuery, named_queries, read_parameters

EXAMPLE = "SELECT prompt, chosen, rejected, margin\nFROM pair_texts\nORDER BY margin DESC\nLIMIT 20"
ROWS_SHOWN = 200
ROWS_READ = 10_000
"""Of which a chart is drawn."""
ROWS_IN_FILE = 200_000


def register(source: Source) -> None:
    @ui.page("/sql")
    def sql(request: Request) -> None:
        with frame(request, "SQL", "/sql"):
            try:
                queries = named_queries()
            except SolonError as error:  # a file of the user's that is none
                complain(error)
                queries = {}
            _draw(source, queries)


def _draw(source: Source, queries: dict[str, NamedQuery]) -> None:
    words(
        "p",
        "One statement that reads a snapshot of the store; it can write nothing and reach no file. "
        "SELECT table_name, comment FROM duckdb_tables() lists the tables, duckdb_views() the "
        "views.",
        "soft",
    )
    statement = ui.textarea("SQL", value=EXAMPLE).props("outlined autogrow spellcheck=false")
    statement.classes("sql")
    controls, parameters, place = box("div", "pager"), box("div", "filters"), box()
    given: dict[str, str] = {}

    def run() -> None:
        asked = statement.value or ""
        used = [f"{name}={value}" for name, value in given.items() if f"${name}" in asked]
        load(place, lambda: _ask(source, asked, read_parameters(used)))

    def pick(name: str) -> None:
        query = queries[name]
        statement.set_value(query.sql)
        given.clear()
        given.update({name: str(query.defaults.get(name, "")) for name in query.meanings})
        parameters.clear()
        with parameters:
            for name, meaning in query.meanings.items():
                ui.input(f"${name}: {meaning}").props("dense outlined").classes("wide").bind_value(
                    given, name
                )

    statement.on("keydown.ctrl.enter.prevent", run)
    with controls:
        ui.button("run", on_click=run).props("unelevated dense no-caps").classes("primary")
        words("span", "or Ctrl+Enter", "soft")
        if queries:
            options = {name: f"{name}: {query.summary}" for name, query in queries.items()}
            ui.select(options, label="named queries").props("dense outlined options-dense").classes(
                "named"
            ).on_value_change(lambda event: pick(event.value))


async def _ask(source: Source, statement: str, values: Mapping[str, Any]) -> None:
    answer = await source.ask(_answer, statement, values)
    rows = answer.rows[:ROWS_SHOWN]
    with box("div", "pager"):
        read = len(answer.rows)
        count = f"{read:,} row{'' if read == 1 else 's'}"
        if read > ROWS_READ:
            count = f"more than {ROWS_READ:,} rows"
        if read > ROWS_SHOWN:
            count += f"; the first {ROWS_SHOWN} are shown, the CSV holds {ROWS_IN_FILE:,} at most"
        words("span", count, "soft")

        async def download() -> None:
            text = await source.ask(_csv, statement, values)
            ui.download.content(text.encode(), "solon.csv", "text/csv")

        ui.button("CSV", on_click=download).props("flat dense no-caps")
        snapshot_age(source)
    if answer.rows:
        draw_chart(answer)
    table("rows", answer.columns, rows)


def _answer(snapshot: Snapshot, statement: str, values: Mapping[str, Any]) -> Answer:
    with snapshot.asking(statement, values) as cursor:
        rows = [tuple(row) for row in rows_of(cursor, ROWS_READ + 1)]
        return Answer(cursor.columns, rows, snapshot.age_seconds)


def _csv(snapshot: Snapshot, statement: str, values: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    with snapshot.asking(statement, values) as cursor:
        write_rows(Format.CSV, cursor, ROWS_IN_FILE, stream)
    return stream.getvalue()
