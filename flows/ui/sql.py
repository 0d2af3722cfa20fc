"""Page: one statement that reads, its rows as a table, a chart, a CSV file."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui

from flows.ui.answer_chart import draw_chart
from flows.ui.overview import model_path, pair_path
from flows.ui.parts import box, complain, frame, load, snapshot_age, words
from flows.ui.source import Source
from flows.ui.statements import ROWS_IN_FILE, ROWS_READ, as_csv, first_rows
from flows.ui.tables import table
from rlhf_core.errors import SolonError
from rlhf_core.store.audit.describe import relations
from rlhf_core.store.audit.named import NamedQuery, named_queries, read_parameters

EXAMPLE = "SELECT prompt, chosen, rejected, margin\nFROM pair_texts\nORDER BY margin DESC\nLIMIT 20"
ROWS_SHOWN = 200
PATHS = {"pair_id": pair_path, "model_id": model_path, "policy_id": model_path}
"""Pages that ids in a result link to, by the name of their column."""


def register(source: Source) -> None:
    @ui.page("/sql")
    def sql(request: Request) -> None:
        with frame(request, "SQL", "/sql"):
            try:
                queries = named_queries()
            except SolonError as error:  # a file of the user's that is none
                complain(error)
                queries = {}
            _draw(source, queries, dict(request.query_params))


def _draw(source: Source, queries: dict[str, NamedQuery], query: dict[str, str]) -> None:
    """Draw the SQL box, filled with the statement `sql` and the parameters of a link."""
    words(
        "p",
        "One statement that reads a snapshot of the store; it can write nothing and reach no file, "
        f"and is stopped after {source.timeout_seconds:g} s.",
        "soft",
    )
    with box("details") as details:
        words("summary", "tables and views")
        known = box()
    details.on("toggle", lambda: load(known, lambda: _draw_schema(source)), args=[])
    statement = ui.textarea("SQL", value=query.pop("sql", EXAMPLE)).props(
        "outlined autogrow spellcheck=false"
    )
    statement.classes("sql on-slash")
    controls, parameters, place = box("div", "pager"), box("div", "filters"), box()
    given: dict[str, str] = {}

    def run() -> None:
        asked = statement.value or ""
        used = {name: value for name, value in given.items() if f"${name}" in asked}
        ui.navigate.history.replace(f"/sql?{urlencode({**used, 'sql': asked})}")
        values = read_parameters([f"{name}={value}" for name, value in used.items()])
        load(place, lambda: _ask(source, asked, values))

    def offer(meanings: Mapping[str, str]) -> None:
        parameters.clear()
        with parameters:
            for name, meaning in meanings.items():
                ui.input(f"${name}{meaning}").props("dense outlined").classes(
                    "parameter"
                ).bind_value(given, name)

    def pick(name: str) -> None:
        named = queries[name]
        statement.set_value(named.sql)
        given.clear()
        given.update({name: str(named.defaults.get(name, "")) for name in named.meanings})
        offer({name: f": {meaning}" for name, meaning in named.meanings.items()})

    given |= {name: value for name, value in query.items() if name.isidentifier()}
    offer(dict.fromkeys(given, ""))

    statement.on("keydown.ctrl.enter.prevent", run)
    with controls:
        ui.button("run", on_click=run, color=None).props("unelevated dense no-caps").classes(
            "primary"
        )
        words("span", "or Ctrl+Enter", "soft")
        if queries:
            options = {name: f"{name}: {query.summary}" for name, query in queries.items()}
            ui.select(options, label="named queries").props("dense outlined options-dense").classes(
                "named"
            ).on_value_change(lambda event: pick(event.value))


async def _draw_schema(source: Source) -> None:
    described = await source.ask(relations)
    table(
        "tables and views",
        ["name", "kind", "what it holds", "columns"],
        [
            (one.name, one.kind, one.comment, ", ".join(column.name for column in one.columns))
            for one in described
        ],
    )


async def _ask(source: Source, statement: str, values: Mapping[str, Any]) -> None:
    answer = await source.ask_apart(first_rows, statement, values)
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
            try:
                text = await source.ask_apart(as_csv, statement, values)
            except SolonError as error:
                with told:
                    complain(error)
                return
            ui.download.content(text.encode(), "solon.csv", "text/csv")

        ui.button("CSV", on_click=download).props("flat dense no-caps")
        snapshot_age(source)
    told = box()
    if answer.rows:
        draw_chart(answer)
    links = {n: PATHS[name] for n, name in enumerate(answer.columns) if name in PATHS}
    table("rows", answer.columns, rows, links, "No row answers that.", is_exact=True)
