"""A chart of two columns of a query's result, chosen below the statement."""

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from flows.terminal.screen import safe_text
from flows.ui.charts import CHARTS, MOST_POINTS, chart, is_number
from flows.ui.parts import box, words
from rlhf_core.store import QueryResult


def draw_chart(answer: QueryResult) -> None:
    """Draw the controls and the chart that they choose; nothing if no column holds numbers."""
    columns = {n: safe_text(name) for n, name in enumerate(answer.columns)}
    numbers = {n: name for n, name in columns.items() if any(is_number(r[n]) for r in answer.rows)}
    if not numbers:
        return
    up = next((n for n in numbers if n > 0), 0)
    across = next((n for n in columns if n != up), up)
    chosen: dict[str, Any] = {"kind": None, "across": across, "up": up}
    kinds: dict[str | None, str] = {None: "none", **{kind: kind for kind in CHARTS}}
    controls, place = box("div", "filters"), box()

    def choose(name: str) -> Callable[[ValueChangeEventArguments[Any]], None]:
        def chose(event: ValueChangeEventArguments[Any]) -> None:
            chosen[name] = event.value
            place.clear()
            with place:
                _draw(answer, **chosen)

        return chose

    choices: tuple[tuple[str, str, dict[Any, str]], ...] = (
        ("kind", "chart", kinds),
        ("across", "across", columns),
        ("up", "up", numbers),
    )
    with controls:
        for name, label, options in choices:
            ui.select(options, label=label, value=chosen[name]).props(
                "dense outlined options-dense"
            ).on_value_change(choose(name))


def _draw(answer: QueryResult, kind: str | None, across: int, up: int) -> None:
    if kind is None:
        return
    x, y = ([row[n] for row in answer.rows] for n in (across, up))
    drawn = ui.echart(chart(kind, x, y, (answer.columns[across], answer.columns[up])))
    drawn.classes("chart").props["role"] = "img"
    drawn.props["aria-label"] = safe_text(f"{kind} chart of {answer.columns[up]}")
    if len(answer.rows) > MOST_POINTS:
        words("p", f"the first {MOST_POINTS:,} rows are drawn", "soft")
