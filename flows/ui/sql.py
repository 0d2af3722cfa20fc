"""Page: one statement that reads, its rows as a table, a chart, a CSV file."""

import csv
import io
from pathlib import Path
from typing import Any

from fastapi import Request
from nicegui import ui

from flows._screen import shown
from flows.ui.charts import CHARTS, MOST_POINTS, chart, is_number
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
    if queries:
        picked = ui.select(list(queries), label="named queries").props(
            "dense outlined options-dense"
        )
        picked.classes("named").on_value_change(
            lambda event: statement.set_value(queries[event.value])
        )
    statement = ui.textarea("SQL", value=EXAMPLE).props("outlined autogrow spellcheck=false")
    statement.classes("sql")
    place = box("div", "answer-table")

    def run() -> None:
        load(place, lambda: _ask(source, statement.value or ""))

    with box("div", "pager"):
        ui.button("run", on_click=run).props("unelevated dense no-caps").classes("primary")
        words("span", "or Ctrl+Enter", "soft")
    statement.on("keydown.ctrl.enter.prevent", run)


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
        _chart(answer)
    table("rows", answer.columns, rows)


def _download(answer: Answer) -> None:
    ui.download.content(csv_text(answer).encode(), "solon.csv", "text/csv")


def csv_text(answer: Answer) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
    return stream.getvalue()


def _chart(answer: Answer) -> None:
    """Controls for a chart of two columns, where there are numbers to draw."""
    columns = {n: shown(name) for n, name in enumerate(answer.columns)}
    numbers = {n: name for n, name in columns.items() if any(is_number(r[n]) for r in answer.rows)}
    if not numbers:
        return
    first_y = list(numbers)[-1]
    first_x = next((n for n in columns if n != first_y), first_y)
    chosen: dict[str, Any] = {"kind": None, "x": first_x, "y": first_y}

    def draw() -> None:
        place.clear()
        if chosen["kind"] is None:
            return
        with place:
            x, y = chosen["x"], chosen["y"]
            ui.echart(
                chart(
                    chosen["kind"],
                    [row[x] for row in answer.rows],
                    [row[y] for row in answer.rows],
                    (answer.columns[x], answer.columns[y]),
                )
            ).classes("chart")
            if len(answer.rows) > MOST_POINTS:
                words("p", f"the first {MOST_POINTS:,} rows are drawn", "soft")

    def choose(name: str) -> Any:
        def chose(event: Any) -> None:
            chosen[name] = event.value
            draw()

        return chose

    with box("div", "filters"):
        for name, label, options in (
            ("kind", "chart", {None: "none", **{kind: kind for kind in CHARTS}}),
            ("x", "across", columns),
            ("y", "up", numbers),
        ):
            ui.select(options, label=label, value=chosen[name]).props(
                "dense outlined options-dense"
            ).on_value_change(choose(name))
    place = box("div")
