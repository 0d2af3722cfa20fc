"""Page: one statement that reads, its rows as a table, a chart, a CSV file."""

import csv
import io
from pathlib import Path

from fastapi import Request
from nicegui import ui

from flows.ui.answer_chart import draw_chart
from flows.ui.parts import box, frame, load, snapshot_age, table, words
from flows.ui.source import Source
from rlhf_core.store import Answer, Snapshot

EXAMPLE = "SELECT prompt, chosen, rejected, margin\nFROM pair_texts\nORDER BY margin DESC\nLIMIT 20"
QUERIES = Path("deploy/queries")
ROWS_SHOWN = 200


def register(source: Source) -> None:
    @ui.page("/sql")
    def sql(request: Request) -> None:
        with frame(request, "SQL", "/sql"):
            _draw(source, named_queries(QUERIES))


def named_queries(folder: Path) -> dict[str, str]:
    """SQL by name; none where the folder is not there."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}


def _draw(source: Source, queries: dict[str, str]) -> None:
    words(
        "p",
        "One statement that reads a snapshot of the store; it can write nothing and reach no file. "
        "SELECT table_name, comment FROM duckdb_tables() lists the tables, duckdb_views() the "
        "views.",
        "soft",
    )
    statement = ui.textarea("SQL", value=EXAMPLE).props("outlined autogrow spellcheck=false")
    statement.classes("sql")
    controls, place = box("div", "pager"), box()

    def run() -> None:
        load(place, lambda: _ask(source, statement.value or ""))

    statement.on("keydown.ctrl.enter.prevent", run)
    with controls:
        ui.button("run", on_click=run).props("unelevated dense no-caps").classes("primary")
        words("span", "or Ctrl+Enter", "soft")
        if queries:
            ui.select(list(queries), label="named queries").props(
                "dense outlined options-dense"
            ).classes("named").on_value_change(
                lambda event: statement.set_value(queries[event.value])
            )


async def _ask(source: Source, statement: str) -> None:
    answer = await source.ask(Snapshot.ask, statement)
    rows = answer.rows[:ROWS_SHOWN]
    with box("div", "pager"):
        count = f"{len(answer.rows):,} row{'' if len(answer.rows) == 1 else 's'}"
        if len(answer.rows) > ROWS_SHOWN:
            count += f"; the first {ROWS_SHOWN} are shown, the CSV holds all"
        words("span", count, "soft")
        ui.button("CSV", on_click=lambda: _download(answer)).props("flat dense no-caps")
        snapshot_age(source)
    if answer.rows:
        draw_chart(answer)
    table("rows", answer.columns, rows)


def _download(answer: Answer) -> None:
    ui.download.content(csv_text(answer).encode(), "solon.csv", "text/csv")


def csv_text(answer: Answer) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
    return stream.getvalue()
